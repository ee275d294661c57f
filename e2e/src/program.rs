//! Programs that are not ours, as children that end with their handle.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A running program; killed when dropped.
pub struct Program(Child);

impl Program {
    /// Starts it, its output going to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(program: &str, args: &[&str], log: &Path) -> Program {
        let log = std::fs::File::create(log).expect("a log file");
        let again = log.try_clone().expect("the log file twice");
        let child = Command::new(program).args(args).stdin(Stdio::null()).stdout(log).stderr(again).spawn();
        Program(child.unwrap_or_else(|e| panic!("{program}: {e}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end and gives what it wrote to its standard output.
///
/// # Panics
/// When it cannot be started or says that it failed.
pub async fn run(program: &str, args: &[&str]) -> String {
    let done = tokio::process::Command::new(program).args(args).kill_on_drop(true).output();
    let done = tokio::time::timeout(crate::PATIENCE, done).await.unwrap_or_else(|_| panic!("{program} does not end"));
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{program} {args:?}: {}\n{}{}", done.status, text(&done.stdout), text(&done.stderr));
    text(&done.stdout)
}

/// One of our own programs, as the build of this one put it beside it.
///
/// # Panics
/// When it was not built.
pub fn ours(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let beside = own.parent().expect("a program is in a folder");
    let folder = if beside.ends_with("deps") { beside.parent().expect("deps is in a folder") } else { beside };
    let program = folder.join(name);
    assert!(program.is_file(), "{} is not there: cargo build --workspace --bins", program.display());
    program
}
