//! `images`: packs the programs into images, and sends them to a registry.

use anyhow::{Context, ensure};
use clap::{Parser, builder::FalseyValueParser};
use mesh_images::image::{
    Bundle, Image, Platform,
    debian::Debian,
    push::{Login, Registry},
    recipe::Recipe,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// An image larger than this is a mistake.
const LARGEST: usize = 30 << 20;

/// Packs the programs into images.
#[derive(Parser)]
#[command(name = "images")]
struct Arguments {
    /// Where images will be fetched from: the first part of their names
    #[arg(long, env = "HUB", default_value = "ferromesh.local")]
    hub: String,
    /// Tag of all of them
    #[arg(long, env = "TAG", default_value = "dev")]
    tag: String,
    /// Platform and the folder of its static programs, as `amd64=target/…/release`; twice for images of both
    #[arg(long = "programs", required = true, value_name = "PLATFORM=FOLDER")]
    programs: Vec<String>,
    /// Folder whose subfolders `amd64` and `arm64` hold unpacked Debian packages
    #[arg(long, default_value = "target/images/debian")]
    packages: PathBuf,
    /// File with the licence
    #[arg(long, default_value = "LICENSE")]
    licence: PathBuf,
    /// Folder for `NAME.tar`
    #[arg(long, default_value = "target/images")]
    into: PathBuf,
    /// Other whole names under which the image `echo` is packed too
    #[arg(long = "echo-also", value_name = "NAME:TAG")]
    echo_also: Vec<String>,
    /// Sends images to the registry that their names begin with, instead of writing files
    #[arg(long)]
    push: bool,
    /// User at the registry
    #[arg(long, env = "REGISTRY_USER", requires = "password")]
    user: Option<String>,
    /// Its password, or a token; better given by the environment
    #[arg(long, env = "REGISTRY_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// The registry has no TLS
    #[arg(long, env = "REGISTRY_PLAIN_HTTP", value_parser = FalseyValueParser::new())]
    plain_http: bool,
    /// Roots that are trusted for registries
    #[arg(long, env = "SSL_CERT_FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    roots: PathBuf,
    /// Only these images; `redis` and `prometheus`, for tests, are not made unasked
    #[arg(value_name = "IMAGE")]
    only: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let licence = fs::read(&arguments.licence).context("no licence to put into images")?;
    fs::create_dir_all(&arguments.into)?;
    for recipe in asked(&arguments.only)? {
        let name = recipe.name();
        let bundle = Bundle::pack(&platforms(recipe, &arguments, &licence)?)?;
        let mut names = vec![format!("{}/{name}:{}", arguments.hub, arguments.tag)];
        if Recipe::OURS.contains(&recipe) {
            limited(&names[0], &bundle)?;
        }
        if arguments.push {
            send(&names[0], &bundle, &arguments).await?;
            continue;
        }
        if recipe == Recipe::Echo {
            names.extend(arguments.echo_also.iter().cloned());
        }
        write(&arguments.into.join(format!("{name}.tar")), &bundle, &names)?;
    }
    Ok(())
}

/// The images of these names; all of ours where there are no names.
fn asked(names: &[String]) -> anyhow::Result<Vec<Recipe>> {
    if names.is_empty() {
        return Ok(Recipe::OURS.to_vec());
    }
    let find = |name: &String| {
        let mut all = Recipe::OURS.into_iter().chain(Recipe::FOREIGN);
        all.find(|recipe| recipe.name() == name).with_context(|| format!("no image is called {name}"))
    };
    names.iter().map(find).collect()
}

fn platforms(recipe: Recipe, arguments: &Arguments, licence: &[u8]) -> anyhow::Result<Vec<Image>> {
    let mut images = Vec::new();
    for pair in &arguments.programs {
        let (platform, folder) = pair.split_once('=').with_context(|| format!("{pair} is no PLATFORM=FOLDER"))?;
        let platform: Platform = platform.parse()?;
        let packages = Debian::at(&arguments.packages.join(platform.architecture()));
        images.push(recipe.image(platform, Path::new(folder), &packages, licence)?);
    }
    Ok(images)
}

fn limited(name: &str, bundle: &Bundle) -> anyhow::Result<()> {
    let largest = bundle.blobs.values().map(Vec::len).max().unwrap_or_default();
    ensure!(largest <= LARGEST, "a layer of {name} has {largest} bytes, more than {LARGEST}");
    Ok(())
}

async fn send(name: &str, bundle: &Bundle, arguments: &Arguments) -> anyhow::Result<()> {
    let login = arguments.user.clone().zip(arguments.password.clone());
    let login = login.map(|(user, password)| Login { user, password });
    let mut registry = Registry::of(name, login, arguments.plain_http, arguments.roots.clone())?;
    registry.push(bundle).await.with_context(|| format!("{name} was not pushed"))?;
    report(&format!("pushed {name}@{}", bundle.top.digest));
    Ok(())
}

fn write(place: &Path, bundle: &Bundle, names: &[String]) -> anyhow::Result<()> {
    let archive = bundle.archive(names)?;
    fs::write(place, &archive).with_context(|| format!("{} cannot be written", place.display()))?;
    report(&format!("{} {} bytes, {}", place.display(), archive.len(), names.join(" ")));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a person or a script at a terminal asked for")]
fn report(line: &str) {
    println!("{line}");
}
