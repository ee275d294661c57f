//! Programs of a cluster as children: each in a process group of its own, so that Ctrl-C in a terminal reaches only whoever
//! started them, who ends them in order; and with a parent-death signal, so that they end also where that one is killed.
//! The signal is sent when the *thread* that started a program ends: start from one that stays.
//! Programs of a cluster that outlives the command which started it are left instead, see [`Component::leave`].

use anyhow::{Context, Result, bail};
use mesh_runtime::clock;
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Longest wait for a program to be ready; generous, as machines are loaded.
const READY: Duration = Duration::from_secs(120);
/// Time between two looks at a program that starts.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of a log that an error shows.
const SHOWN: usize = 3000;

/// A running component; killed when dropped, unless it was left.
#[derive(Debug)]
pub struct Component {
    name: String,
    child: Child,
    log: PathBuf,
    is_left: bool,
}

impl Component {
    /// Starts a program of a folder; what it says goes to a file in `logs`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(programs: &Path, name: &str, args: &[String], logs: &Path) -> Result<Self> {
        let program = programs.join(name);
        if !program.exists() {
            bail!("{} is not there: .ci/cluster builds it", program.display());
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&program).args(args).process_group(0);
        Self::spawn(name, command, logs, false)
    }

    /// Starts a command that goes on when this value and this process are gone: in a session of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn leave(name: &str, command: &Command, logs: &Path) -> Result<Self> {
        // Executes the command in its own place: who is no leader of a group need not fork.
        let mut session = Command::new("setsid");
        session.arg(command.get_program()).args(command.get_args());
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::spawn(name, session, logs, true)
    }

    fn spawn(name: &str, mut command: Command, logs: &Path, is_left: bool) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let output = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| {
            format!("cannot run {} (Debian package util-linux)", command.get_program().to_string_lossy())
        })?;
        Ok(Component { name: name.to_owned(), child, log, is_left })
    }

    /// Waits until `probe` answers; gives its answer.
    ///
    /// # Errors
    /// With the end of the log, when the program ends or the time is over.
    pub async fn ready<T, F: Future<Output = Result<T>>>(&mut self, mut probe: impl FnMut() -> F) -> Result<T> {
        let end = clock::now() + READY;
        loop {
            let last = match probe().await {
                Ok(answer) => return Ok(answer),
                Err(last) => last,
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before it was ready:\n{}", self.name, self.said());
            }
            if clock::now() > end {
                bail!("{} is not ready within {READY:?} ({last:#}):\n{}", self.name, self.said());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The end of its log.
    fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN)..]).into_owned()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        // Nothing of a test's cluster is worth an orderly end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::Component;
    use anyhow::{Result, bail};
    use std::path::Path;

    #[tokio::test]
    async fn a_component_that_ends_at_once_says_why() {
        let logs = tempfile::tempdir().expect("a folder");
        let args = ["-c".to_owned(), "echo no such flag; exit 3".to_owned()];
        let mut component = Component::start(Path::new("/bin"), "sh", &args, logs.path()).expect("a shell");
        let never = || async { Result::<()>::Err(anyhow::anyhow!("nobody listens")) };
        let error = component.ready(never).await.expect_err("it has ended").to_string();
        assert_eq!(error, "sh ended (exit status: 3) before it was ready:\nno such flag\n");
    }

    #[tokio::test]
    async fn a_component_ends_with_whoever_started_it() {
        let logs = tempfile::tempdir().expect("a folder");
        let args = ["-c".to_owned(), "echo $$; exec sleep 600".to_owned()];
        let mut component = Component::start(Path::new("/bin"), "sh", &args, logs.path()).expect("a shell");
        let log = logs.path().join("sh.log");
        let said = || async {
            match std::fs::read_to_string(&log)? {
                text if text.ends_with('\n') => Ok(text),
                text => bail!("only {text:?}"),
            }
        };
        let pid = component.ready(said).await.expect("a pid");
        let process = Path::new("/proc").join(pid.trim());
        assert!(process.exists());
        drop(component);
        assert!(!process.exists());
    }
}
