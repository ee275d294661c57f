//! Writes the Rust form of `config/proto` into `config/src/wire/gen`, which is committed, so that
//! building the mesh needs no protobuf compiler. An argument names another folder to write to;
//! `.ci/generated.sh` uses that to prove the committed files current.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file that nests the generated packages into modules; `config/src/wire.rs` includes it.
const PACKAGES: &str = "packages.rs";

/// What stands before a full message name in a type URL, as everywhere in the discovery protocol.
const TYPE_URL_DOMAIN: &str = "type.googleapis.com";

fn main() -> ExitCode {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let protos = config.join("proto");
    let out = std::env::args_os().nth(1).map_or_else(|| config.join("src/wire/gen"), PathBuf::from);
    match generate(&protos, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Debug of a compiler error names file, line and column; Display only the message.
            eprintln!("cannot generate Rust from {}: {error}\n{error:?}", protos.display());
            ExitCode::FAILURE
        }
    }
}

/// Compiles every contract below `protos` and replaces the generated files in `out`. Nothing in
/// `out` changes when a contract does not compile.
fn generate(protos: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let contracts = contracts_below(protos)?;
    let descriptors = protox::compile(contracts, [protos])?;

    fs::create_dir_all(out)?;
    remove_generated(out)?;

    let mut messages = prost_build::Config::new();
    messages
        .enable_type_names()
        .type_name_domain(["."], TYPE_URL_DOMAIN)
        .btree_map(["."])
        .bytes(["."])
        // Key material: shown by a Debug of its own, beside the conversions.
        .skip_debug([".ferromesh.v1.Credential"]);

    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // `connect` would choose a transport; the caller brings its own channel.
        .build_transport(false)
        .emit_rerun_if_changed(false)
        // The stock type keeps its value in a Vec: a copy of each resource received.
        .extern_path(".google.protobuf.Any", "crate::wire::Packed")
        .include_file(PACKAGES)
        .out_dir(out)
        .compile_fds_with_config(descriptors, messages)?;
    Ok(())
}

/// Every `.proto` file below a folder, sorted so that the output does not depend on the file system.
fn contracts_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new("proto")) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Removes earlier output, so that a package taken out of the contracts leaves no file behind.
fn remove_generated(out: &Path) -> io::Result<()> {
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("rs")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
