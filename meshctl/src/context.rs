//! What every command needs of the arguments, resolved: output form, namespace, time limit.

use crate::{cli::KubeArgs, report::Format, usage::Usage};
use anyhow::{Result, bail};
use std::time::Duration;

/// Shared by all commands.
#[derive(Debug)]
pub(crate) struct Context {
    namespace: Option<String>,
    /// The cluster, where a command asks one.
    pub(crate) kube: KubeArgs,
}

impl Context {
    /// From the flags given before or after any command.
    pub(crate) fn new(namespace: Option<String>, kube: KubeArgs) -> Self {
        Context { namespace: namespace.filter(|ns| !ns.is_empty()), kube }
    }

    /// The namespace of names that have none.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// The namespace that was asked for, if one was.
    pub(crate) fn only_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

/// The output form; `usual` is the command's own name for what a person reads, beside which `table` and `short` are taken.
pub(crate) fn format(text: &str, usual: &str) -> Result<Format> {
    match text.to_ascii_lowercase().as_str() {
        "table" | "short" | "" => Ok(Format::Table),
        word if word == usual => Ok(Format::Table),
        "json" => Ok(Format::Json),
        "yaml" => Ok(Format::Yaml),
        _ => bail!(Usage::new(format!("output format {text:?} not supported; use {usual}, json or yaml"))),
    }
}

/// A duration as Go writes it: `30s`, `1m30s`, `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 30s, 1m30s or 500ms");
    let total = mesh_config::time::duration(text).ok_or_else(wrong)?;
    match total.is_zero() || total > Duration::from_secs(24 * 3600) {
        true => Err(format!("{text:?} must be above zero and at most 24h")),
        false => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, want) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5s", Some(1_500)),
            ("30", None),
            ("", None),
            ("0s", None),
            ("s", None),
            ("5d", None),
            ("25h", None),
            ("1e9h", None),
        ] {
            assert_eq!(duration(text).ok().map(|d| d.as_millis()), want, "{text:?}");
        }
    }

    #[test]
    fn output_forms_have_istioctls_names() {
        for (text, want) in
            [("short", Format::Table), ("table", Format::Table), ("json", Format::Json), ("yaml", Format::Yaml)]
        {
            assert_eq!(format(text, "short").unwrap(), want);
        }
        assert_eq!(format("log", "log").unwrap(), Format::Table);
        assert!(format("log", "short").is_err());
        assert!(format("xml", "short").unwrap_err().to_string().contains("xml"));
    }
}
