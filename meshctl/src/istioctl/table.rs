//! The rows, after istioctl 1.30.

use super::{
    Flag,
    Standing::{self, Refused as no, Served},
};

/// A command of istioctl.
#[derive(Debug)]
pub(crate) struct Command {
    /// Of each of its words every name that it has, ours first.
    pub(crate) names: &'static [&'static [&'static str]],
    /// Its own flags; looked at where it is served.
    pub(crate) flags: &'static [Flag],
    pub(crate) standing: Standing,
}

impl Command {
    /// Its words, as we call it.
    pub(crate) fn name(&self) -> String {
        let words: Vec<&str> = self.names.iter().map(|names| names[0]).collect();
        words.join(" ")
    }
}

type Names = &'static [&'static [&'static str]];

const fn served(names: Names, flags: &'static [Flag]) -> Command {
    Command { names, flags, standing: Served }
}

const fn refused(names: Names, why: &'static str) -> Command {
    Command { names, flags: &[], standing: no(why) }
}

const fn flag(long: &'static str, standing: Standing) -> Flag {
    Flag { long, short: None, standing }
}

const fn short(short: char, long: &'static str, standing: Standing) -> Flag {
    Flag { long, short: Some(short), standing }
}

const LOG: &str = "what a command says goes to standard error, and there is no log to set levels of";
const CHARTS: &str = "the charts are part of the command; helm installs others";
const WHOLE: &str = "logs of all chosen proxies are taken whole";
const TRACES: &str = "no line of a log has a stack trace";
const PAGES: &str = "pages come over HTTP from pilot's port 15014, through the API server";
const WAITS: &str = "installing waits until everything is ready; meshctl status looks again";
const LABELS: &str = "what was installed is found by its labels";
const FROM_CLUSTER: &str =
    "it asks no cluster; save keys config and values of ConfigMap istio-sidecar-injector in files";
const AMBIENT: &str = "ambient mode is not served; sidecars are";

/// Of `tag set` and `tag generate`.
const TAG: &[Flag] = &[
    short('r', "revision", Served),
    flag("overwrite", Served),
    flag("webhook-name", Served),
    flag("auto-inject-namespaces", Served),
    short('y', "skip-confirmation", Served),
    short('d', "manifests", no(CHARTS)),
];

/// Flags of every command.
pub(crate) const GLOBAL: &[Flag] = &[
    short('c', "kubeconfig", Served),
    flag("context", Served),
    short('n', "namespace", Served),
    short('i', "istioNamespace", Served),
    flag("as", Served),
    flag("as-uid", Served),
    flag("as-group", Served),
    flag("kubeclient-timeout", Served),
    flag("vklog", no(LOG)),
    flag("log_output_level", no(LOG)),
    flag("log_target", no(LOG)),
    flag("log_as_json", no(LOG)),
    flag("log_caller", no(LOG)),
    flag("log_stacktrace_level", no(LOG)),
];

/// Every command, in the order of the page.
pub(crate) const COMMANDS: &[Command] = &[
    served(
        &[&["admin", "istiod"], &["log", "l"]],
        &[
            short('l', "selector", Served),
            flag("level", Served),
            flag("reset", Served),
            flag("log-reset", Served),
            short('o', "output", Served),
            short('r', "revision", Served),
            flag("stack-trace-level", no(TRACES)),
            flag("stack-trace-reset", no(TRACES)),
            flag("ctrlz_port", no("there is no ControlZ; pilot's port 15014 has the levels")),
        ],
    ),
    refused(
        &[&["analyze"]],
        "validate judges files as pilot reads them, and pilot's port 15014 has what holds of each object: /debug/diagnostics",
    ),
    served(
        &[&["bug-report"]],
        &[
            flag("include", Served),
            flag("exclude", Served),
            flag("istio-namespace", Served),
            flag("timeout", Served),
            flag("duration", Served),
            flag("start-time", Served),
            flag("tail", Served),
            flag("rq-concurrency", Served),
            flag("output-dir", Served),
            flag("proxy-admin-port", Served),
            flag("dry-run", Served),
            flag("skip-analyze", Served),
            flag("skip-cluster-dump", Served),
            flag("skip-proxy-debug", Served),
            flag("skip-coredumps", Served),
            flag("skip-netstat", Served),
            short('f', "filename", no("flags say the same")),
            flag("end-time", no("a log is read to its end; --start-time or --duration says from where")),
            flag("critical-errs", no(WHOLE)),
            flag("ignore-errs", no(WHOLE)),
            flag("full-secrets", no("data of Secrets is never asked for")),
            flag("dir", no("the archive is written as it is gathered; --output-dir says where")),
        ],
    ),
    refused(&[&["authz"]], "there too it only points to x authz check; explain says which policy decides a call"),
    refused(
        &[&["experimental", "x", "exp"], &["authz"], &["check"]],
        "explain says which policy decides a call, and why",
    ),
    refused(
        &[&["experimental", "x", "exp"], &["check-inject"]],
        "kube-inject says whether a pod is injected, and why not; pilot's log has each decision",
    ),
    refused(
        &[&["experimental", "x", "exp"], &["describe", "des"]],
        "explain tells where a call goes; status tells what is wrong",
    ),
    refused(
        &[&["experimental", "x", "exp"], &["envoy-stats", "es"]],
        "the proxy's metrics are on its port 15020, /stats/prometheus",
    ),
    refused(
        &[&["experimental", "x", "exp"], &["injector"], &["list"]],
        "status -o json lists the namespaces that ask for injection, and the webhooks",
    ),
    served(
        &[&["experimental", "x", "exp"], &["internal-debug"]],
        &[
            short('L', "list", Served),
            flag("all", Served),
            short('r', "revision", Served),
            flag("xds-label", Served),
            flag("timeout", Served),
            flag("xds-address", no(PAGES)),
            flag("xds-port", no(PAGES)),
            flag("cert-dir", no(PAGES)),
            flag("authority", no(PAGES)),
            flag("insecure", no(PAGES)),
            flag("plaintext", no(PAGES)),
        ],
    ),
    refused(
        &[&["experimental", "x", "exp"], &["metrics", "m"]],
        "the standard metrics are in Prometheus, under Istio's names",
    ),
    served(
        &[&["experimental", "x", "exp"], &["precheck"]],
        &[
            short('f', "from-version", no("there is no earlier version whose changes would have to be looked for")),
            flag("skip-controlplane", Served),
            short('o', "output", Served),
            flag("output-threshold", Served),
            short('r', "revision", Served),
        ],
    ),
    refused(&[&["experimental", "x", "exp"], &["proxy-status", "ps"]], "the stable proxy-status is the same command"),
    refused(&[&["experimental", "x", "exp"], &["version"]], "the stable version is the same command"),
    refused(
        &[&["experimental", "x", "exp"], &["config"], &["list"]],
        "flags are in --help, with the variables that set them",
    ),
    refused(
        &[&["experimental", "x", "exp"], &["workload"], &["group"], &["create"]],
        "write the WorkloadGroup as YAML; docs/reference/kinds has its fields",
    ),
    refused(
        &[&["experimental", "x", "exp"], &["workload"], &["entry"], &["configure"]],
        "machines outside of a cluster are not served yet",
    ),
    served(&[&["completion"]], &[flag("no-descriptions", no("descriptions are left out where a shell shows none"))]),
    refused(&[&["collateral"]], "the reference is in docs/reference"),
    refused(&[&["options"]], "options of every command stand in its --help"),
    refused(&[&["create-remote-secret"]], "several clusters in one mesh are not served yet"),
    refused(&[&["remote-clusters"]], "several clusters in one mesh are not served yet"),
    refused(
        &[&["dashboard", "dash", "d"]],
        "kubectl port-forward reaches any of them: Prometheus 9090, Grafana 3000, Kiali 20001, a proxy 15000, pilot 15014",
    ),
    served(
        &[&["install", "apply"]],
        &[
            short('f', "filename", Served),
            short('s', "set", Served),
            short('r', "revision", Served),
            flag("force", Served),
            flag("dry-run", Served),
            short('y', "skip-confirmation", Served),
            flag("readiness-timeout", Served),
            short('d', "manifests", no(CHARTS)),
            flag("verify", no(WAITS)),
        ],
    ),
    served(
        &[&["upgrade"]],
        &[
            short('f', "filename", Served),
            short('s', "set", Served),
            short('r', "revision", Served),
            flag("force", Served),
            flag("dry-run", Served),
            short('y', "skip-confirmation", Served),
            flag("readiness-timeout", Served),
            short('d', "manifests", no(CHARTS)),
            flag("verify", no(WAITS)),
        ],
    ),
    refused(&[&["manifest"], &["install", "apply"]], "install is the same command"),
    served(
        &[&["manifest"], &["generate"]],
        &[
            short('f', "filename", Served),
            short('s', "set", Served),
            short('r', "revision", Served),
            flag("force", Served),
            short('o', "output", Served),
            short('d', "manifests", no(CHARTS)),
            flag("dry-run", no("it writes nothing to a cluster")),
            flag("cluster-specific", no("it asks no cluster; what depends on one is seen by install --dry-run")),
        ],
    ),
    served(
        &[&["manifest"], &["translate"]],
        &[
            short('f', "filename", Served),
            short('s', "set", Served),
            short('r', "revision", Served),
            short('o', "output", Served),
            short('d', "manifests", no(CHARTS)),
        ],
    ),
    served(
        &[&["uninstall"]],
        &[
            short('r', "revision", Served),
            flag("purge", Served),
            flag("dry-run", Served),
            short('y', "skip-confirmation", Served),
            short('f', "filename", no(LABELS)),
            short('s', "set", no(LABELS)),
            short('d', "manifests", no(LABELS)),
            flag("force", no(LABELS)),
            short('v', "verbose", no("everything that is removed is listed in any case")),
        ],
    ),
    served(
        &[&["kube-inject"]],
        &[
            short('f', "filename", Served),
            short('o', "output", Served),
            flag("injectConfigMapName", no(FROM_CLUSTER)),
            flag("injectConfigFile", Served),
            flag("meshConfigFile", Served),
            flag("meshConfigMapName", no(FROM_CLUSTER)),
            flag("valuesFile", Served),
            flag("webhookConfig", no(FROM_CLUSTER)),
            flag("operatorFileName", Served),
            short('r', "revision", Served),
        ],
    ),
    served(
        &[&["proxy-config", "pc"], &["cluster", "clusters", "c"]],
        &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("fqdn", Served),
            flag("direction", Served),
            flag("subset", Served),
            flag("port", Served),
        ],
    ),
    served(
        &[&["proxy-config", "pc"], &["endpoint", "endpoints", "ep"]],
        &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("address", Served),
            flag("port", Served),
            flag("cluster", Served),
            flag("status", Served),
        ],
    ),
    served(
        &[&["proxy-config", "pc"], &["listener", "listeners", "l"]],
        &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("address", Served),
            flag("port", Served),
            flag("type", Served),
            flag("verbose", Served),
            flag("waypoint", no(AMBIENT)),
        ],
    ),
    served(
        &[&["proxy-config", "pc"], &["route", "routes", "r"]],
        &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("name", Served),
            flag("verbose", Served),
        ],
    ),
    served(
        &[&["proxy-config", "pc"], &["secret", "secrets", "s"]],
        &[short('o', "output", Served), flag("proxy-admin-port", Served), short('f', "file", Served)],
    ),
    refused(&[&["proxy-config", "pc"], &["eds"]], "proxy-config endpoint lists them"),
    served(
        &[&["proxy-config", "pc"], &["all", "a"]],
        &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("fqdn", Served),
            flag("direction", Served),
            flag("subset", Served),
            flag("port", Served),
            flag("address", Served),
            flag("type", Served),
            flag("name", Served),
            flag("verbose", Served),
            flag("with-headers", Served),
        ],
    ),
    refused(
        &[&["proxy-config", "pc"], &["bootstrap", "b"]],
        "a proxy has no bootstrap file; its settings are variables, which docs/reference/proxy.md lists",
    ),
    refused(&[&["proxy-config", "pc"], &["ecds", "ec"]], "extensions are not sent apart from routes"),
    served(
        &[&["proxy-config", "pc"], &["log", "o"]],
        &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            flag("level", Served),
            short('r', "reset", Served),
            short('l', "selector", Served),
        ],
    ),
    refused(&[&["proxy-config", "pc"], &["rootca-compare", "rc"]], "proxy-config secret shows the roots of each"),
    served(
        &[&["proxy-status", "ps"]],
        &[
            short('o', "output", Served),
            short('v', "verbosity", Served),
            flag(
                "file",
                no(
                    "there are no two configurations to compare: proxy-status NAME shows what was sent and what was taken",
                ),
            ),
            flag("proxy-admin-port", no("pilot knows what each proxy has; the proxy itself is not asked")),
            short('r', "revision", Served),
            flag("xds-address", Served),
            flag("xds-label", Served),
            flag("xds-port", Served),
            flag("cert-dir", Served),
            flag("authority", Served),
            flag("insecure", Served),
            flag("plaintext", Served),
            flag("timeout", Served),
        ],
    ),
    served(
        &[&["version"]],
        &[
            short('o', "output", Served),
            short('s', "short", Served),
            flag("remote", Served),
            short('r', "revision", Served),
            flag("xds-address", Served),
            flag("xds-label", Served),
            flag("xds-port", Served),
            flag("cert-dir", Served),
            flag("authority", Served),
            flag("insecure", Served),
            flag("plaintext", Served),
            flag("timeout", Served),
        ],
    ),
    served(&[&["validate", "v"]], &[short('f', "filename", Served), short('x', "referential", Served)]),
    served(&[&["tag"], &["set"]], TAG),
    served(&[&["tag"], &["generate"]], TAG),
    served(&[&["tag"], &["list", "show"]], &[short('o', "output", Served)]),
    served(&[&["tag"], &["remove", "delete"]], &[short('y', "skip-confirmation", Served)]),
    refused(&[&["waypoint"], &["apply"]], AMBIENT),
    refused(&[&["waypoint"], &["generate"]], AMBIENT),
    refused(&[&["waypoint"], &["delete"]], AMBIENT),
    refused(&[&["waypoint"], &["list"]], AMBIENT),
    refused(&[&["waypoint"], &["status"]], AMBIENT),
    refused(&[&["ztunnel-config", "zc"], &["workload", "workloads", "w"]], AMBIENT),
    refused(&[&["ztunnel-config", "zc"], &["service", "services", "s", "svc"]], AMBIENT),
    refused(&[&["ztunnel-config", "zc"], &["policy", "policies", "p", "pol"]], AMBIENT),
    refused(&[&["ztunnel-config", "zc"], &["certificate", "certificates", "certs", "cert"]], AMBIENT),
    refused(&[&["ztunnel-config", "zc"], &["connections", "cons"]], AMBIENT),
    refused(&[&["ztunnel-config", "zc"], &["all"]], AMBIENT),
    refused(&[&["ztunnel-config", "zc"], &["log", "o"]], AMBIENT),
];
