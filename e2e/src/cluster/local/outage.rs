//! A part of a cluster that is ended while the rest goes on, and begun again as it was.

use super::{
    machine::Machine,
    plan::Plan,
    remains::{end, of_part},
};
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path};

/// What was ended, and how it was started.
#[must_use = "a part stays away until it is begun again"]
#[derive(Debug)]
pub struct Ended {
    part: String,
    /// The program, then its arguments.
    words: Vec<String>,
}

/// Ends a part at once, as when its machine fails.
pub(super) fn kill(state: &Path, part: &str) -> Result<Ended> {
    let ids = of_part(state, part)?;
    let id = ids.first().with_context(|| format!("{part} does not run"))?;
    let line = fs::read(format!("/proc/{id}/cmdline")).with_context(|| format!("{part} is gone"))?;
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    ensure!(!words.is_empty(), "{part} is gone");
    end(state, part)?;
    Ok(Ended { part: part.to_owned(), words })
}

/// Begins it again, where it was.
pub(super) fn begin(plan: &Plan, built: &Path, ended: Ended) -> Result<()> {
    let machine = Machine::new(plan, built)?;
    let node = plan.nodes().find(|node| ended.part.ends_with(&format!("-{}", node.name)));
    machine
        .start(&ended.part, &node.unwrap_or_else(|| plan.first()), Path::new(&ended.words[0]), &ended.words[1..])
        .map(drop)
}
