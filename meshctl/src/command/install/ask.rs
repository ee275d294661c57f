//! What is said while something is done: progress for a person at a terminal, nothing in a pipe; and questions.

use anyhow::{Context as _, Result, bail};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Says it on standard error, wherever that leads.
pub(crate) fn say(text: &str) {
    // There is nobody to tell that standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Says it to a person at a terminal.
pub(crate) fn tell(text: &str) {
    if io::stderr().is_terminal() {
        say(text);
    }
}

/// Goes on only where the answer is yes.
///
/// # Errors
/// Where it is not.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    match agreed(question, yes)? {
        true => Ok(()),
        false => bail!("nothing was done: the answer was not yes (-y does without a question)"),
    }
}

/// Whether the answer is yes.
///
/// # Errors
/// Where nobody can be asked.
pub(crate) fn agreed(question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    say(&format!("{question}\nProceed? (y/N) "));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer; -y does without one")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// One thing that is being done.
pub(crate) struct Progress(String);

impl Progress {
    pub(crate) fn begin(name: &str) -> Self {
        tell(&format!("  {name} …"));
        Progress(name.to_owned())
    }

    /// It is done: `verb` says what.
    pub(crate) fn end(self, verb: &str) {
        tell(&format!("\r✔ {} {verb}\n", self.0));
    }
}
