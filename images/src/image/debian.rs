//! Files of Debian packages that were unpacked: programs with the libraries they ask for, certificates of
//! the authorities that everybody trusts, and the copyright files of all of it.

use super::{File, Platform, elf::Elf};
use anyhow::{Context, bail, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// Packages, each unpacked in a folder of its own.
#[derive(Debug, Clone)]
pub struct Debian {
    root: PathBuf,
}

/// What was chosen of them.
#[derive(Default)]
struct Chosen {
    files: BTreeMap<String, File>,
    packages: BTreeSet<String>,
}

impl Debian {
    /// The packages in this folder.
    pub fn at(root: &Path) -> Self {
        Debian { root: root.to_owned() }
    }

    /// `nft`, iptables in both its forms, where `iptables` alone is the one on nftables, as in Debian, and `ip`, which gives
    /// loopback the address of IPv6 that applications are dialled from.
    ///
    /// # Errors
    /// When a file of theirs is not there, or asks for a library that is not.
    pub fn firewall(&self) -> anyhow::Result<Vec<File>> {
        let mut chosen = Chosen::default();
        for program in ["usr/sbin/nft", "usr/sbin/xtables-nft-multi", "usr/sbin/xtables-legacy-multi", "bin/ip"] {
            self.program(program, &mut chosen)?;
        }
        for module in self.modules()? {
            self.program(&module, &mut chosen)?;
        }
        let mut files = self.licensed(chosen)?;
        for family in ["iptables", "ip6tables"] {
            for tool in ["", "-save", "-restore"] {
                files.push(File::link(&format!("usr/sbin/{family}{tool}"), "xtables-nft-multi"));
                files.push(File::link(&format!("usr/sbin/{family}-nft{tool}"), "xtables-nft-multi"));
                files.push(File::link(&format!("usr/sbin/{family}-legacy{tool}"), "xtables-legacy-multi"));
            }
        }
        // The legacy form keeps its lock there.
        files.push(File::folder("run", 0o755));
        Ok(files)
    }

    /// These programs, by their paths, with the libraries that they ask for.
    ///
    /// # Errors
    /// As [`Self::firewall`].
    pub fn programs(&self, paths: &[&str]) -> anyhow::Result<Vec<File>> {
        let mut chosen = Chosen::default();
        for path in paths {
            self.program(path, &mut chosen)?;
        }
        self.licensed(chosen)
    }

    /// Roots of the public authorities, at the place where programs look first.
    ///
    /// # Errors
    /// When there are none.
    pub fn authorities(&self) -> anyhow::Result<Vec<File>> {
        let folder = "ca-certificates/usr/share/ca-certificates/mozilla";
        let mut certificates = names(&self.root.join(folder))?;
        certificates.retain(|name| name.ends_with(".crt"));
        ensure!(!certificates.is_empty(), "package ca-certificates holds no certificate");
        let mut bundle = Vec::new();
        for name in certificates {
            bundle.extend(read(&self.root.join(folder).join(name))?);
        }
        let mut chosen = Chosen::default();
        chosen.packages.insert("ca-certificates".to_owned());
        let mut files = self.licensed(chosen)?;
        files.push(File::new("etc/ssl/certs/ca-certificates.crt", 0o644, bundle));
        Ok(files)
    }

    /// The files, with a list of the packages they are of, and what each of these says of its licences.
    fn licensed(&self, chosen: Chosen) -> anyhow::Result<Vec<File>> {
        let mut files: Vec<File> = chosen.files.into_values().collect();
        let mut list = String::new();
        for line in String::from_utf8(read(&self.root.join(".packages"))?)?.lines() {
            let package = line.split(' ').next().unwrap_or_default();
            if chosen.packages.contains(package) {
                list.push_str(line);
                list.push('\n');
                let path = format!("usr/share/doc/{package}/copyright");
                let (_, place) = self.find(&path).with_context(|| format!("{package} says nothing of its licence"))?;
                files.push(File::new(&path, 0o644, read(&place)?));
            }
        }
        files.push(File::new("usr/share/doc/packages", 0o644, list.into_bytes()));
        Ok(files)
    }

    /// A program or a library, what loads it, and the libraries it asks for.
    fn program(&self, path: &str, chosen: &mut Chosen) -> anyhow::Result<()> {
        if chosen.files.contains_key(path) {
            return Ok(());
        }
        let (package, place) = self.find(path)?;
        let bytes = read(&place)?;
        let elf = Elf::parse(&bytes).with_context(|| place.display().to_string())?;
        chosen.files.insert(path.to_owned(), File::new(path, 0o755, bytes));
        chosen.packages.insert(package);
        if let Some(loader) = &elf.interpreter {
            self.program(loader.trim_start_matches('/'), chosen)?;
        }
        for library in &elf.needed {
            // The loader is asked for by name as well, and is where programs say that it is.
            if !chosen.files.keys().any(|path| path.ends_with(&format!("/{library}"))) {
                let path = format!("usr/lib/{}/{library}", triplet(elf.platform));
                self.program(&path, chosen).with_context(|| format!("asked for by {path}"))?;
            }
        }
        Ok(())
    }

    /// What iptables loads by the names of matches and targets.
    fn modules(&self) -> anyhow::Result<Vec<String>> {
        for platform in [Platform::Amd64, Platform::Arm64] {
            let folder = format!("usr/lib/{}/xtables", triplet(platform));
            let place = self.root.join("libxtables12").join(&folder);
            let place = if place.is_dir() { place } else { self.root.join("iptables").join(&folder) };
            if place.is_dir() {
                return Ok(names(&place)?.into_iter().map(|file| format!("{folder}/{file}")).collect());
            }
        }
        bail!("no modules of iptables in {}", self.root.display())
    }

    /// The package that has a path, and the file, links followed inside the packages. `/lib` and `/usr/lib` are the same.
    fn find(&self, path: &str) -> anyhow::Result<(String, PathBuf)> {
        let bare = path.strip_prefix("usr/").unwrap_or(path);
        for package in names(&self.root)? {
            for form in [bare.to_owned(), format!("usr/{bare}")] {
                let place = self.root.join(&package).join(&form);
                // A link itself, or in a folder that is one: packages of one source share such.
                let link = fs::read_link(&place).or_else(|error| {
                    let (folder, name) = place.parent().zip(place.file_name()).ok_or(error)?;
                    Ok::<_, std::io::Error>(Path::new("..").join(fs::read_link(folder)?).join(name))
                });
                match link {
                    Ok(target) => {
                        let target = Path::new("/").join(&form).parent().unwrap_or(Path::new("/")).join(target);
                        let plain = plain(&target);
                        return self.find(&plain).with_context(|| format!("{path} leads to {plain}"));
                    }
                    Err(_) if place.is_file() => return Ok((package, place)),
                    Err(_) => {}
                }
            }
        }
        bail!("/{path} is in no package in {}", self.root.display())
    }
}

/// As Debian calls a platform.
fn triplet(platform: Platform) -> &'static str {
    match platform {
        Platform::Amd64 => "x86_64-linux-gnu",
        Platform::Arm64 => "aarch64-linux-gnu",
    }
}

/// A path from the root, without the root and without `..`.
fn plain(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.join("/")
}

fn read(place: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(place).with_context(|| format!("{} cannot be read", place.display()))
}

/// Names in a folder, sorted, without the hidden ones.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let listing = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut names = listing
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Content;

    /// Packages made of these files: path and bytes.
    fn packages(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), text).unwrap();
        }
        root
    }

    #[test]
    fn roots_are_one_file_in_the_order_of_their_names_with_their_copyright() {
        let root = packages(&[
            (".packages", "ca-certificates 1 all\nother 2 all\n"),
            ("ca-certificates/usr/share/ca-certificates/mozilla/B.crt", "b"),
            ("ca-certificates/usr/share/ca-certificates/mozilla/A.crt", "a"),
            ("ca-certificates/usr/share/ca-certificates/mozilla/readme", "r"),
            ("ca-certificates/usr/share/doc/ca-certificates/copyright", "c"),
        ]);
        let files = Debian::at(root.path()).authorities().unwrap();
        let shown = files.into_iter().map(|file| match file.content {
            Content::Bytes(bytes) => (file.path, String::from_utf8(bytes).unwrap()),
            other => panic!("{other:?}"),
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                ("usr/share/doc/ca-certificates/copyright", "c"),
                ("usr/share/doc/packages", "ca-certificates 1 all\n"),
                ("etc/ssl/certs/ca-certificates.crt", "ab"),
            ]
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn links_stay_inside_the_packages_and_the_two_folders_of_libraries_are_one() {
        let root = packages(&[("libc6/lib/x86_64-linux-gnu/ld.so", "loader"), ("libc6/lib64/none", "")]);
        let place = |path: &str| root.path().join(path);
        std::os::unix::fs::symlink("/lib/x86_64-linux-gnu/ld.so", place("libc6/lib64/ld-linux.so.2")).unwrap();
        std::os::unix::fs::symlink("../../../etc/hostname", place("libc6/lib64/out")).unwrap();
        let packages = Debian::at(root.path());
        let found = ("libc6".to_owned(), place("libc6/lib/x86_64-linux-gnu/ld.so"));
        assert_eq!(packages.find("lib64/ld-linux.so.2").unwrap(), found);
        assert_eq!(packages.find("usr/lib/x86_64-linux-gnu/ld.so").unwrap(), found);
        std::os::unix::fs::symlink("x86_64-linux-gnu", place("libc6/lib/other")).unwrap();
        assert_eq!(packages.find("lib/other/ld.so").unwrap(), found);
        let refused = format!("{:#}", packages.find("lib64/out").unwrap_err());
        assert!(refused.starts_with("lib64/out leads to etc/hostname: /etc/hostname is in no package"), "{refused}");
    }
}
