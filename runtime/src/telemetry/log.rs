//! Log set-up: text for people or JSON for machines, to standard error, with a filter that can be changed while the
//! process runs.

use std::{fmt, str::FromStr, sync::Arc};
use tracing_subscriber::{EnvFilter, Registry, filter::LevelFilter, fmt::layer, layer::SubscriberExt, reload};

/// The form of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl FromStr for Format {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "text" | "plain" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(LogError::Format(text.to_owned())),
        }
    }
}

/// Why logging cannot be set up or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not a known format.
    #[error("log format {0:?} is not known; use text or json")]
    Format(String),
    /// Not a filter.
    #[error("log filter {filter:?} cannot be used: {reason}; use e.g. info or info,mesh_proxy=debug")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// Logging was set up before.
    #[error("logging has been set up already in this process")]
    AlreadySet,
}

/// Changes the filter while the process runs; clones act on the same filter.
#[derive(Clone)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    /// The filter that the process was started with.
    first: Arc<str>,
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogHandle").field(&self.filter()).finish()
    }
}

/// A filter as it is given on a command line: refused there, and not when logging is set up with it.
///
/// # Errors
/// [`LogError::Filter`].
pub fn filter(text: &str) -> Result<String, LogError> {
    parse(text).map(|_| text.to_owned())
}

/// Sets up logging for the whole process.
///
/// # Errors
/// [`LogError::Filter`] for a filter that does not parse, [`LogError::AlreadySet`] when called twice.
pub fn init(format: Format, filter: &str) -> Result<LogHandle, LogError> {
    let first = filter.into();
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let base = tracing_subscriber::registry().with(filter);
    let set = match format {
        Format::Text => {
            let lines = layer().with_writer(std::io::stderr).with_ansi(false);
            tracing::subscriber::set_global_default(base.with(lines))
        }
        Format::Json => {
            let lines = layer().json().flatten_event(true).with_writer(std::io::stderr);
            tracing::subscriber::set_global_default(base.with(lines))
        }
    };
    set.map_err(|_| LogError::AlreadySet)?;
    Ok(LogHandle { filter: handle, first })
}

impl LogHandle {
    /// Replaces the filter: a level such as `debug`, or directives such as `info,mesh_proxy=trace`.
    ///
    /// # Errors
    /// [`LogError::Filter`]; the filter in force stays.
    pub fn set_level(&self, filter: &str) -> Result<(), LogError> {
        let parsed = parse(filter)?;
        let gone = |_| LogError::Filter { filter: filter.to_owned(), reason: "logging has ended".to_owned() };
        self.filter.reload(parsed).map_err(gone)
    }

    /// Puts the filter back that the process was started with.
    ///
    /// # Errors
    /// [`LogError::Filter`] when logging has ended.
    pub fn reset(&self) -> Result<(), LogError> {
        self.set_level(&self.first)
    }

    /// The filter in force.
    pub fn filter(&self) -> String {
        self.filter.with_current(ToString::to_string).unwrap_or_default()
    }
}

fn parse(text: &str) -> Result<EnvFilter, LogError> {
    let wrong = |reason: String| LogError::Filter { filter: text.to_owned(), reason };
    if text.trim().is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    // A bare word that is no level would be read as a target, and a misspelt level would silence the process.
    for word in text.split(',').map(str::trim).filter(|d| !d.contains(['=', '['])) {
        word.parse::<LevelFilter>().map_err(|_| wrong(format!("{word:?} is not a level")))?;
    }
    EnvFilter::try_new(text).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused() {
        assert!(parse("inof").is_err());
        assert!(parse("").is_err());
        assert!(parse("info,mesh_proxy=loud").is_err());
        assert_eq!(parse("info,mesh_proxy=debug").unwrap().to_string(), "mesh_proxy=debug,info");
    }

    #[test]
    fn the_filter_can_be_replaced_and_a_bad_one_leaves_it() {
        let (filter, handle) = reload::Layer::new(parse("info").unwrap());
        let _subscriber = tracing_subscriber::registry().with(filter);
        let handle = LogHandle { filter: handle, first: "info".into() };
        handle.set_level("debug").unwrap();
        assert!(handle.set_level("loud").is_err());
        assert_eq!(handle.filter(), "debug");
        handle.reset().unwrap();
        assert_eq!(handle.filter(), "info");
    }
}
