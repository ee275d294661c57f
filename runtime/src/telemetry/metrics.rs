//! The metrics registry of a process, with what Prometheus expects of every process, and its text form.

use prometheus::{IntGauge, Opts, TextEncoder, core::Collector};
use std::{fmt::Write, fs, sync::Arc};

/// All metrics of the process; clones are the same registry.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<prometheus::Registry>,
}

/// A metric of this name exists already, or its description is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("metric cannot be registered: {0}")]
pub struct RegisterError(#[from] prometheus::Error);

impl Default for Registry {
    fn default() -> Self {
        Registry::new()
    }
}

impl Registry {
    /// A registry with the process metrics only.
    pub fn new() -> Self {
        Registry { inner: Arc::new(prometheus::Registry::new()) }
    }

    /// Adds a metric and gives it back, to be kept by whoever updates it.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, RegisterError> {
        self.inner.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// Adds `istio_build{component,tag} 1`.
    ///
    /// # Errors
    /// When called twice with the same values.
    pub fn build_info(&self, component: &str, tag: &str) -> Result<(), RegisterError> {
        let opts = Opts::new("istio_build", "Version of the component in the label tag")
            .const_label("component", component)
            .const_label("tag", tag);
        self.register(IntGauge::with_opts(opts)?)?.set(1);
        Ok(())
    }

    /// The underlying registry.
    pub fn prometheus(&self) -> &prometheus::Registry {
        &self.inner
    }

    /// The text exposition format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.inner.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        Process::read().write(&mut text);
        text
    }
}

/// What `/proc` says about this process; absent values are left out.
#[derive(Debug, Default, PartialEq)]
struct Process {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    open_fds: Option<u64>,
    start_seconds: Option<f64>,
}

/// `USER_HZ`, the unit of times in `/proc`: 100 on every architecture that Linux supports today.
const TICKS: f64 = 100.0;

impl Process {
    fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open_fds = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as u64);
        Process::parse(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/stat"), open_fds)
    }

    fn parse(stat: &str, status: &str, system: &str, open_fds: Option<u64>) -> Self {
        // The second field is the command in brackets and may hold blanks; fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or("").split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
        let keyed = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Process {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS),
            resident_bytes: keyed(status, "VmRSS:").map(|kib| kib * 1024),
            open_fds,
            start_seconds: field(22).zip(keyed(system, "btime ")).map(|(ticks, boot)| boot as f64 + ticks / TICKS),
        }
    }

    fn write(&self, out: &mut String) {
        let mut metric = |name: &str, kind: &str, help: &str, value: Option<String>| {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
            }
        };
        let text = |value: Option<f64>| value.map(|v| v.to_string());
        let count = |value: Option<u64>| value.map(|v| v.to_string());
        metric("process_cpu_seconds_total", "counter", "User and system CPU time in seconds", text(self.cpu_seconds));
        metric("process_resident_memory_bytes", "gauge", "Resident memory in bytes", count(self.resident_bytes));
        metric("process_open_fds", "gauge", "Open file descriptors", count(self.open_fds));
        metric("process_start_time_seconds", "gauge", "Start time since the epoch", text(self.start_seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_values_are_read_from_proc() {
        let stat = "42 (a (b) c) S 1 1 1 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 1000 1 1";
        let got = Process::parse(stat, "Name: x\nVmRSS:\t  10 kB\n", "cpu 1\nbtime 500\n", Some(7));
        let want = Process {
            cpu_seconds: Some(2.0),
            resident_bytes: Some(10240),
            open_fds: Some(7),
            start_seconds: Some(510.0),
        };
        assert_eq!(got, want);
        assert_eq!(Process::parse("", "", "", None), Process::default());
    }

    #[test]
    fn the_text_holds_own_build_and_process_metrics() {
        let registry = Registry::new();
        registry.build_info("proxy", "1.2.3").unwrap();
        let counter = registry.register(prometheus::IntCounter::new("hits_total", "hits").unwrap()).unwrap();
        counter.inc_by(3);
        let text = registry.render();
        for line in ["hits_total 3", "istio_build{component=\"proxy\",tag=\"1.2.3\"} 1"] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        for name in ["process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds "] {
            assert!(text.lines().any(|l| l.starts_with(name)), "{name} in\n{text}");
        }
        assert!(registry.build_info("proxy", "1.2.3").is_err());
    }
}
