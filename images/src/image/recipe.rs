//! Which images there are, and what is in each.

use super::{File, Image, Platform, debian::Debian, elf::Elf};
use anyhow::{Context, ensure};
use std::{fs, path::Path};

/// User of the proxy, whose connections the rules of a pod leave alone.
const PROXY: u32 = 1337;
/// Everybody else's.
const NOBODY: u32 = 65532;

/// An image that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    Pilot,
    Proxy,
    Ca,
    /// The proxy with what writes rules of the kernel: the init container of a pod.
    ProxyInit,
    Echo,
    /// What a node holds a pod's namespaces with.
    Pause,
    /// Redis and its client, which tests have in a pod; not one that is made unasked.
    Redis,
    /// A Prometheus that scrapes pods of tests; not one that is made unasked.
    Prometheus,
}

impl Recipe {
    /// Those with programs of ours.
    pub const OURS: [Recipe; 6] =
        [Recipe::Pilot, Recipe::Proxy, Recipe::Ca, Recipe::ProxyInit, Recipe::Echo, Recipe::Pause];
    /// Those with programs of Debian alone.
    pub const FOREIGN: [Recipe; 2] = [Recipe::Redis, Recipe::Prometheus];

    /// The last part of its name.
    pub fn name(self) -> &'static str {
        match self {
            Recipe::Pilot => "pilot",
            Recipe::Proxy => "proxy",
            Recipe::Ca => "ca",
            Recipe::ProxyInit => "proxy-init",
            Recipe::Echo => "echo",
            Recipe::Pause => "pause",
            Recipe::Redis => "redis",
            Recipe::Prometheus => "prometheus",
        }
    }

    /// Reads what goes in: `programs` has our programs, built for `platform`; `packages` the unpacked Debian packages.
    ///
    /// # Errors
    /// When a file is missing, or a program of ours is not static or is for another platform.
    pub fn image(
        self,
        platform: Platform,
        programs: &Path,
        packages: &Debian,
        licence: &[u8],
    ) -> anyhow::Result<Image> {
        let name = match self {
            Recipe::Pilot => "pilot",
            Recipe::Proxy | Recipe::ProxyInit => "proxy",
            Recipe::Ca => "ca",
            Recipe::Echo | Recipe::Pause => "echo",
            Recipe::Redis => return foreign(platform, packages, &["usr/bin/redis-server", "usr/bin/redis-cli"]),
            Recipe::Prometheus => return foreign(platform, packages, &["usr/bin/prometheus"]),
        };
        let place = programs.join(name);
        let bytes = fs::read(&place).with_context(|| format!("{} cannot be read: was it built?", place.display()))?;
        let elf = Elf::parse(&bytes).with_context(|| place.display().to_string())?;
        ensure!(elf.platform == platform, "{} is for {}", place.display(), elf.platform.architecture());
        ensure!(
            elf.interpreter.is_none() && elf.needed.is_empty(),
            "{} is not static: it asks for {:?}, which no image has",
            place.display(),
            elf.needed
        );
        let path = format!("usr/local/bin/{name}");
        let mut entrypoint = vec![format!("/{path}")];
        let mut files =
            vec![File::new(&path, 0o755, bytes), File::new("usr/share/doc/ferromesh/LICENSE", 0o644, licence.to_vec())];
        let mut user = NOBODY;
        match self {
            Recipe::Pilot | Recipe::Ca => files.extend(packages.authorities()?),
            Recipe::Proxy => {
                files.extend(packages.authorities()?);
                user = PROXY;
            }
            Recipe::ProxyInit => {
                files.extend(packages.firewall()?);
                user = 0;
            }
            // Suites that come with tests of their own call this name.
            Recipe::Echo => files.push(File::link("usr/local/bin/client", "echo")),
            Recipe::Pause => entrypoint.push("pause".to_owned()),
            Recipe::Redis | Recipe::Prometheus => {}
        }
        Ok(Image { platform, entrypoint, user, files })
    }
}

/// Programs of Debian, the first of which is the image's.
fn foreign(platform: Platform, packages: &Debian, programs: &[&str]) -> anyhow::Result<Image> {
    let entrypoint = programs.iter().take(1).map(|program| format!("/{program}")).collect();
    Ok(Image { platform, entrypoint, user: NOBODY, files: packages.programs(programs)? })
}
