//! Programs that are not ours, as children that end with their handle.

use std::{
    path::Path,
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
