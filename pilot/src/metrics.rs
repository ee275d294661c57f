//! What an operator watches of pilot, under the names that dashboards for Istio know where there is one.

use mesh_config::diagnostic::Diagnostic;
use mesh_runtime::telemetry::metrics::{RegisterError, Registry};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts};

/// Counters and gauges of one pilot; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Streams of proxies.
    pub clients: IntGauge,
    /// Responses sent, by kind.
    pub pushes: IntCounterVec,
    /// Parts that proxies refused, by kind.
    pub rejects: IntCounterVec,
    /// Callers that were not believed or claimed to be somebody else.
    pub refused_callers: IntCounterVec,
    /// Streams that pilot ended, by reason.
    pub streams_ended: IntCounterVec,
    /// Version of the mesh in force.
    pub mesh_version: IntGauge,
    /// Seconds that compiling took.
    pub compile: Histogram,
    /// Services of the mesh in force.
    pub services: IntGauge,
    /// VirtualServices that pilot knows, whatever of them is in force.
    pub virtual_services: IntGauge,
    diagnostics: IntGaugeVec,
    stand_ins: IntGauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let counters = |name: &str, help: &str, label: &str| {
            registry.register(IntCounterVec::new(Opts::new(name, help), &[label])?)
        };
        let buckets = vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
        let compile = HistogramOpts::new("pilot_compile_seconds", "Time to compile the mesh").buckets(buckets);
        let diagnostics = Opts::new("pilot_diagnostics", "Findings about objects by severity");
        let info = IntGaugeVec::new(Opts::new("pilot_info", "Version of pilot"), &["version"])?;
        registry.register(info)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Metrics {
            clients: registry.register(IntGauge::new("pilot_xds", "Proxies connected")?)?,
            pushes: counters("pilot_xds_pushes", "Discovery responses sent, by kind", "type")?,
            rejects: counters("pilot_total_xds_rejects", "Resources that proxies refused, by kind", "type")?,
            refused_callers: counters("pilot_refused_callers_total", "Discovery calls refused, by reason", "reason")?,
            streams_ended: counters("pilot_streams_ended_total", "Discovery streams that pilot ended, by reason", "reason")?,
            mesh_version: registry.register(IntGauge::new("pilot_mesh_version", "Version of the mesh in force")?)?,
            compile: registry.register(Histogram::with_opts(compile)?)?,
            services: registry.register(IntGauge::new("pilot_services", "Services in force")?)?,
            virtual_services: registry.register(IntGauge::new("pilot_virt_services", "VirtualServices known")?)?,
            stand_ins: registry.register(IntGauge::new(
                "pilot_stand_ins",
                "Objects with errors, and without a last good version, for which something that narrows access stands in",
            )?)?,
            diagnostics: registry.register(IntGaugeVec::new(diagnostics, &["severity"])?)?,
        })
    }

    /// How many findings of each severity there are, and how many objects have a stand-in: findings of code
    /// `stands_in`.
    pub fn findings(&self, found: &[Diagnostic], stands_in: &str) {
        let mut counts = [0; 3];
        for finding in found {
            counts[finding.severity as usize] += 1;
        }
        self.stand_ins.set(found.iter().filter(|finding| finding.code == stands_in).count() as i64);
        for (name, count) in ["error", "warning", "info"].into_iter().zip(counts) {
            self.diagnostics.with_label_values(&[name]).set(count);
        }
    }
}
