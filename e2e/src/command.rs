//! Commands of the machine, run to their end; errors are values and say what the command said.

use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsStr,
    io::Write,
    process::{Command, Stdio},
};

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started, or says that it failed: with what it wrote to its standard error.
pub fn run(program: impl AsRef<OsStr>, words: &[&str]) -> Result<()> {
    output(program, words).map(drop)
}

/// Runs a program to its end; gives what it wrote to its standard output.
///
/// # Errors
/// As [`run`].
pub fn output(program: impl AsRef<OsStr>, words: &[&str]) -> Result<String> {
    finish(Command::new(program).args(words).stdin(Stdio::null()))
}

/// As [`output`], with a text on its standard input.
///
/// # Errors
/// As [`run`].
pub fn output_of(program: impl AsRef<OsStr>, words: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", said(&command)))?;
    // A thread of its own: a program that writes while it reads would else wait for us, and we for it.
    let (mut pipe, input) = (child.stdin.take().context("no way to write to it")?, input.to_owned());
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let done = child.wait_with_output()?;
    // A program that fails has often not read all; what it says tells more than a broken pipe.
    let _ = writer.join();
    checked(&command, &done)
}

/// Runs a command as it was prepared to its end; gives what it wrote to its standard output.
///
/// # Errors
/// As [`run`].
pub fn finish(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("cannot run {}", said(command)))?;
    checked(command, &done)
}

fn checked(command: &Command, done: &std::process::Output) -> Result<String> {
    let [stdout, stderr] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    ensure!(done.status.success(), "{} ({}): {}\n{}", said(command), done.status, stderr.trim(), stdout.trim());
    Ok(stdout.into_owned())
}

fn said(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
