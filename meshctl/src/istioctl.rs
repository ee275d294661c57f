//! istioctl's commands and flags, each with what becomes of it here. Whoever types one that this command does not have is
//! told so by name, and what to use instead; a page of the reference is made from the same rows.

mod table;

pub(crate) use table::{COMMANDS, Command, GLOBAL};

/// What becomes of a command or a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is here.
    Served,
    /// It is not, and why, or what to use instead.
    Refused(&'static str),
}

/// A flag of istioctl.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Long name, without dashes.
    pub(crate) long: &'static str,
    /// Short name.
    pub(crate) short: Option<char>,
    pub(crate) standing: Standing,
}

/// What to say of a command line that was not understood, if it is one of istioctl's.
pub(crate) fn about(words: &[String]) -> Option<String> {
    let command = command_of(words)?;
    let name = command.name();
    if let Standing::Refused(why) = command.standing {
        return Some(format!("istioctl's \"{name}\" is not served: {why}"));
    }
    let flag = words.iter().find_map(|word| refused_flag(command, word))?;
    match flag.standing {
        Standing::Refused(why) => Some(format!("istioctl's flag --{} of \"{name}\" is not served: {why}", flag.long)),
        Standing::Served => None,
    }
}

/// The longest path of the table that the words have, without flags; a flag's value may stand before it.
fn command_of(words: &[String]) -> Option<&'static Command> {
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    (0..words.len()).find_map(|start| command_at(&words[start..]))
}

fn command_at(words: &[&str]) -> Option<&'static Command> {
    let is_named = |command: &&Command| {
        let named = |(step, word): (&&[&str], &&str)| step.contains(word);
        let steps = command.names;
        steps.len() <= words.len() && steps.iter().zip(words).all(named)
    };
    COMMANDS.iter().filter(is_named).max_by_key(|command| command.names.len())
}

fn refused_flag(command: &Command, word: &str) -> Option<Flag> {
    let name = word.split('=').next().unwrap_or(word);
    let is_it = |flag: &&Flag| {
        let by_long = name.strip_prefix("--") == Some(flag.long);
        let by_short = flag.short.is_some_and(|short| name.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])));
        (by_long || by_short) && flag.standing != Standing::Served
    };
    command.flags.iter().chain(GLOBAL).find(is_it).copied()
}

#[cfg(test)]
mod tests;
