//! Container images without a container engine: what goes into one, as bytes that engines load.
//!
//! An image is one layer of files, and its archive is an OCI layout that also has the older `manifest.json` where it is of
//! one platform: containerd, Docker, podman and kind load it. The same input gives the same bytes: names are sorted and
//! nothing has a date.

pub mod debian;
pub mod elf;
pub mod push;
pub mod recipe;
mod tar;

use anyhow::{Context, ensure};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt, io::Write as _};
pub use tar::{Content, File};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What a program was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// `linux/amd64`
    Amd64,
    /// `linux/arm64`
    Arm64,
}

impl Platform {
    /// The platform of the running program.
    ///
    /// # Errors
    /// When no images are made for it.
    pub fn here() -> anyhow::Result<Self> {
        std::env::consts::ARCH.parse()
    }

    /// As images and nodes call it.
    pub fn architecture(self) -> &'static str {
        match self {
            Platform::Amd64 => "amd64",
            Platform::Arm64 => "arm64",
        }
    }
}

impl std::str::FromStr for Platform {
    type Err = anyhow::Error;

    /// By the name that images use, or that compilers use.
    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "amd64" | "x86_64" => Ok(Platform::Amd64),
            "arm64" | "aarch64" => Ok(Platform::Arm64),
            other => anyhow::bail!("no images are made for {other}: amd64 and arm64 are"),
        }
    }
}

/// One image of one platform.
#[derive(Debug, Clone)]
pub struct Image {
    pub platform: Platform,
    /// What runs, and its first arguments.
    pub entrypoint: Vec<String>,
    /// Numeric user; its group has the same number.
    pub user: u32,
    /// The file system, in any order; folders above these files come by themselves.
    pub files: Vec<File>,
}

/// The sha256 of a blob, as registries write it: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::from("sha256:");
        for byte in Sha256::digest(bytes) {
            let _ = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        }
        Digest(text)
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.0.replacen(':', "/", 1))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that an image consists of, of one platform or more.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Layers and configurations, which a registry takes first.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// The manifest of each platform, which a registry takes second.
    pub manifests: BTreeMap<Digest, Vec<u8>>,
    /// What a tag names: the index of several platforms, or the one manifest.
    pub top: Top,
}

/// What a tag names.
#[derive(Debug, Clone)]
pub struct Top {
    pub media_type: &'static str,
    pub digest: Digest,
    pub bytes: Vec<u8>,
}

impl Bundle {
    /// Packs an image: one value a platform.
    ///
    /// # Errors
    /// When there is none, when two are of one platform, or when a file has an impossible name.
    pub fn pack(images: &[Image]) -> anyhow::Result<Self> {
        let mut bundle = Bundle {
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            top: Top { media_type: MANIFEST, digest: Digest::of(b""), bytes: Vec::new() },
        };
        let mut sorted: Vec<&Image> = images.iter().collect();
        sorted.sort_by_key(|image| image.platform);
        ensure!(!sorted.is_empty(), "an image needs a platform");
        ensure!(sorted.windows(2).all(|w| w[0].platform != w[1].platform), "two images of one platform");
        let mut descriptors = Vec::new();
        for image in sorted {
            let manifest = bundle.add(image)?;
            bundle.top = Top { media_type: MANIFEST, digest: Digest::of(&manifest), bytes: manifest.clone() };
            let mut descriptor = described(MANIFEST, &manifest);
            descriptor["platform"] = json!({"architecture": image.platform.architecture(), "os": "linux"});
            descriptors.push(descriptor);
            bundle.manifests.insert(Digest::of(&manifest), manifest);
        }
        if descriptors.len() > 1 {
            let bytes = text(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}));
            bundle.top = Top { media_type: INDEX, digest: Digest::of(&bytes), bytes };
        }
        Ok(bundle)
    }

    fn add(&mut self, image: &Image) -> anyhow::Result<Vec<u8>> {
        let plain = tar::with_folders(&image.files)?;
        let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
        packed.write_all(&plain)?;
        let layer = packed.finish()?;
        let config = text(&json!({
            "architecture": image.platform.architecture(),
            "os": "linux",
            "config": {
                "User": format!("{0}:{0}", image.user),
                "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Entrypoint": image.entrypoint,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&plain).0]},
        }));
        let manifest = text(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, &config),
            "layers": [described(LAYER, &layer)],
        }));
        self.blobs.insert(Digest::of(&layer), layer);
        self.blobs.insert(Digest::of(&config), config);
        Ok(manifest)
    }

    /// The archive that container engines load, under all these names (`host/path:tag`).
    ///
    /// # Errors
    /// When a name has no tag, or there is none.
    pub fn archive(&self, names: &[String]) -> anyhow::Result<Vec<u8>> {
        ensure!(!names.is_empty(), "an image needs a name");
        let mut references = Vec::new();
        for name in names {
            let (_, tag) = name.rsplit_once(':').with_context(|| format!("{name} has no tag"))?;
            let mut reference = described(self.top.media_type, &self.top.bytes);
            reference["annotations"] =
                json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
            references.push(reference);
        }
        let mut files = vec![
            File::new("oci-layout", 0o644, text(&json!({"imageLayoutVersion": "1.0.0"}))),
            File::new(
                "index.json",
                0o644,
                text(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": references})),
            ),
        ];
        if let Some(older) = self.older(names)? {
            files.push(File::new("manifest.json", 0o644, older));
        }
        let top = [(&self.top.digest, &self.top.bytes)];
        for (digest, bytes) in self.blobs.iter().chain(&self.manifests).chain(top) {
            files.push(File::new(&digest.path(), 0o644, bytes.clone()));
        }
        tar::with_folders(&files)
    }

    /// `manifest.json` of Docker before version 25, which knows no platforms.
    fn older(&self, names: &[String]) -> anyhow::Result<Option<Vec<u8>>> {
        if self.top.media_type != MANIFEST {
            return Ok(None);
        }
        let manifest: Value = serde_json::from_slice(&self.top.bytes)?;
        let path = |descriptor: &Value| descriptor["digest"].as_str().map(|digest| Digest(digest.to_owned()).path());
        let layers: Vec<_> = manifest["layers"].as_array().into_iter().flatten().filter_map(path).collect();
        Ok(Some(text(&json!([{"Config": path(&manifest["config"]), "RepoTags": names, "Layers": layers}]))))
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).0, "size": bytes.len()})
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests;
