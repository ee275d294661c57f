//! `proxy redirect`: rules of the kernel by which a pod's connections come to the proxy, applied by an init container or by
//! hand, and taken back. [`settings`] are those of `istio-iptables`; [`plan`] says what is matched and what becomes of it,
//! once; [`nft`] and [`iptables`] write it down; [`apply`] is the only part that touches the machine.

pub mod apply;
pub mod iptables;
pub mod nft;
pub mod plan;
pub mod settings;

pub use settings::Redirect;

use anyhow::Result;
use std::io::Write;

/// Applies the rules, prints them, or removes them.
///
/// # Errors
/// What is wrong with the settings; what the machine does not allow.
pub fn run(redirect: &Redirect) -> Result<()> {
    let has_ipv6 = apply::has_ipv6()?;
    let plan = plan::plan(redirect, has_ipv6)?;
    for note in &plan.notes {
        tracing::warn!("{note}");
    }
    if redirect.dry_run {
        std::io::stdout().lock().write_all(nft::text(&plan).as_bytes())?;
        return Ok(());
    }
    let back_end = match redirect.cleanup_only {
        true => apply::remove(&plan, redirect.back_end()?)?,
        false => apply::apply(&plan, redirect.back_end()?)?,
    };
    let done = if redirect.cleanup_only { "removed" } else { "applied" };
    tracing::info!(%back_end, ipv6 = plan.ipv6, "rules {done}");
    Ok(())
}
