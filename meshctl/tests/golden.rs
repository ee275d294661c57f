//! Each `tests/data/<command>/<case>.in` is a command line; its `.out` is the exit code and what is printed. Run with
//! `MESHCTL_ACCEPT=1` to write the `.out` files again, and read the difference before committing it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn run(line: &str, directory: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(line.split_whitespace())
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    format!("exit {code}\n--- stdout\n{out}--- stderr\n{err}")
}

fn inputs(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for command in fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let cases = fs::read_dir(command).unwrap().map(|e| e.unwrap().path());
        found.extend(cases.filter(|p| p.extension().is_some_and(|e| e == "in")));
    }
    found.sort();
    found
}

#[test]
fn every_command_line_prints_what_it_did() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let accept = std::env::var_os("MESHCTL_ACCEPT").is_some();
    let inputs = inputs(&directory);
    assert!(inputs.len() > 30, "the data is gone: {}", inputs.len());
    let mut failed = Vec::new();
    for input in inputs {
        let got = run(&fs::read_to_string(&input).unwrap(), &directory);
        let output = input.with_extension("out");
        if accept {
            fs::write(&output, &got).unwrap();
        }
        let want = fs::read_to_string(&output).unwrap_or_default();
        if got != want {
            failed.push(format!("{}\n===== want\n{want}\n===== got\n{got}", input.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
