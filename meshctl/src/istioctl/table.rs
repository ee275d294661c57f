//! The rows, after istioctl 1.30.

use super::{
    Flag,
    Standing::{self, Refused as no, Served},
};

/// A command of istioctl.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its words, as we call it.
    pub(crate) path: &'static [&'static str],
    /// Of each word every name that it has.
    names: &'static [&'static [&'static str]],
    /// Its own flags; looked at where it is served.
    pub(crate) flags: &'static [Flag],
    pub(crate) standing: Standing,
}

impl Command {
    /// Of each word every name that it has.
    pub(crate) fn names(&self) -> &'static [&'static [&'static str]] {
        self.names
    }
}

const fn flag(long: &'static str, standing: Standing) -> Flag {
    Flag { long, short: None, standing }
}

const fn short(short: char, long: &'static str, standing: Standing) -> Flag {
    Flag { long, short: Some(short), standing }
}

const LOG: &str = "what a command says goes to standard error, and there is no log to set levels of";
const AMBIENT: &str = "ambient mode is not served; sidecars are";

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
    Command {
        path: &["admin", "log"],
        names: &[&["admin", "istiod"], &["log", "l"]],
        flags: &[],
        standing: no("levels of pilot's log are set on its port 15014, POST /logging"),
    },
    Command {
        path: &["analyze"],
        names: &[&["analyze"]],
        flags: &[],
        standing: no(
            "validate judges files as pilot reads them, and pilot's port 15014 has what holds of each object: /debug/diagnostics",
        ),
    },
    Command {
        path: &["bug-report"],
        names: &[&["bug-report"]],
        flags: &[],
        standing: no("status says what is wrong; proxy-config and pilot's debug pages have the rest"),
    },
    Command {
        path: &["authz"],
        names: &[&["authz"]],
        flags: &[],
        standing: no("there too it only points to x authz check; explain says which policy decides a call"),
    },
    Command {
        path: &["experimental", "authz", "check"],
        names: &[&["experimental", "x", "exp"], &["authz"], &["check"]],
        flags: &[],
        standing: no("explain says which policy decides a call, and why"),
    },
    Command {
        path: &["experimental", "check-inject"],
        names: &[&["experimental", "x", "exp"], &["check-inject"]],
        flags: &[],
        standing: no("kube-inject says whether a pod is injected, and why not; pilot's log has each decision"),
    },
    Command {
        path: &["experimental", "describe"],
        names: &[&["experimental", "x", "exp"], &["describe", "des"]],
        flags: &[],
        standing: no("explain tells where a call goes; status tells what is wrong"),
    },
    Command {
        path: &["experimental", "envoy-stats"],
        names: &[&["experimental", "x", "exp"], &["envoy-stats", "es"]],
        flags: &[],
        standing: no("the proxy's metrics are on its port 15020, /stats/prometheus"),
    },
    Command {
        path: &["experimental", "injector", "list"],
        names: &[&["experimental", "x", "exp"], &["injector"], &["list"]],
        flags: &[],
        standing: no("status lists namespaces with what they inject"),
    },
    Command {
        path: &["experimental", "internal-debug"],
        names: &[&["experimental", "x", "exp"], &["internal-debug"]],
        flags: &[],
        standing: no("pilot's debug pages are on its port 15014, /debug"),
    },
    Command {
        path: &["experimental", "metrics"],
        names: &[&["experimental", "x", "exp"], &["metrics", "m"]],
        flags: &[],
        standing: no("the standard metrics are in Prometheus, under Istio's names"),
    },
    Command {
        path: &["experimental", "precheck"],
        names: &[&["experimental", "x", "exp"], &["precheck"]],
        flags: &[
            short('f', "from-version", no("there is no earlier version whose changes would have to be looked for")),
            flag("skip-controlplane", Served),
            short('o', "output", Served),
            flag("output-threshold", Served),
            short('r', "revision", Served),
        ],
        standing: Served,
    },
    Command {
        path: &["experimental", "proxy-status"],
        names: &[&["experimental", "x", "exp"], &["proxy-status", "ps"]],
        flags: &[],
        standing: no("the stable proxy-status is the same command"),
    },
    Command {
        path: &["experimental", "version"],
        names: &[&["experimental", "x", "exp"], &["version"]],
        flags: &[],
        standing: no("the stable version is the same command"),
    },
    Command {
        path: &["experimental", "config", "list"],
        names: &[&["experimental", "x", "exp"], &["config"], &["list"]],
        flags: &[],
        standing: no("flags are in --help, with the variables that set them"),
    },
    Command {
        path: &["experimental", "workload", "group", "create"],
        names: &[&["experimental", "x", "exp"], &["workload"], &["group"], &["create"]],
        flags: &[],
        standing: no("write the WorkloadGroup as YAML; docs/reference/kinds has its fields"),
    },
    Command {
        path: &["experimental", "workload", "entry", "configure"],
        names: &[&["experimental", "x", "exp"], &["workload"], &["entry"], &["configure"]],
        flags: &[],
        standing: no("machines outside of a cluster are not served yet"),
    },
    Command {
        path: &["completion"],
        names: &[&["completion"]],
        flags: &[],
        standing: no("it comes with a later version"),
    },
    Command {
        path: &["collateral"],
        names: &[&["collateral"]],
        flags: &[],
        standing: no("the reference is in docs/reference"),
    },
    Command {
        path: &["options"],
        names: &[&["options"]],
        flags: &[],
        standing: no("options of every command stand in its --help"),
    },
    Command {
        path: &["create-remote-secret"],
        names: &[&["create-remote-secret"]],
        flags: &[],
        standing: no("several clusters in one mesh are not served yet"),
    },
    Command {
        path: &["remote-clusters"],
        names: &[&["remote-clusters"]],
        flags: &[],
        standing: no("several clusters in one mesh are not served yet"),
    },
    Command {
        path: &["dashboard"],
        names: &[&["dashboard", "dash", "d"]],
        flags: &[],
        standing: no(
            "kubectl port-forward reaches any of them: Prometheus 9090, Grafana 3000, Kiali 20001, a proxy 15000, pilot 15014",
        ),
    },
    Command { path: &["install"], names: &[&["install", "apply"]], flags: &[], standing: no("it is not here yet") },
    Command {
        path: &["upgrade"],
        names: &[&["upgrade"]],
        flags: &[],
        standing: no("install again with the new version's command, which changes what differs"),
    },
    Command {
        path: &["manifest", "install"],
        names: &[&["manifest"], &["install", "apply"]],
        flags: &[],
        standing: no("install is the same command"),
    },
    Command {
        path: &["manifest", "generate"],
        names: &[&["manifest"], &["generate"]],
        flags: &[],
        standing: no("it is not here yet"),
    },
    Command {
        path: &["manifest", "translate"],
        names: &[&["manifest"], &["translate"]],
        flags: &[],
        standing: no("it is not here yet"),
    },
    Command { path: &["uninstall"], names: &[&["uninstall"]], flags: &[], standing: no("it is not here yet") },
    Command { path: &["kube-inject"], names: &[&["kube-inject"]], flags: &[], standing: no("it is not here yet") },
    Command {
        path: &["proxy-config", "cluster"],
        names: &[&["proxy-config", "pc"], &["cluster", "clusters", "c"]],
        flags: &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("fqdn", Served),
            flag("direction", Served),
            flag("subset", Served),
            flag("port", Served),
        ],
        standing: Served,
    },
    Command {
        path: &["proxy-config", "endpoint"],
        names: &[&["proxy-config", "pc"], &["endpoint", "endpoints", "ep"]],
        flags: &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("address", Served),
            flag("port", Served),
            flag("cluster", Served),
            flag("status", Served),
        ],
        standing: Served,
    },
    Command {
        path: &["proxy-config", "listener"],
        names: &[&["proxy-config", "pc"], &["listener", "listeners", "l"]],
        flags: &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("address", Served),
            flag("port", Served),
            flag("type", Served),
            flag("verbose", Served),
            flag("waypoint", no(AMBIENT)),
        ],
        standing: Served,
    },
    Command {
        path: &["proxy-config", "route"],
        names: &[&["proxy-config", "pc"], &["route", "routes", "r"]],
        flags: &[
            short('o', "output", Served),
            flag("proxy-admin-port", Served),
            short('f', "file", Served),
            flag("name", Served),
            flag("verbose", Served),
        ],
        standing: Served,
    },
    Command {
        path: &["proxy-config", "secret"],
        names: &[&["proxy-config", "pc"], &["secret", "secrets", "s"]],
        flags: &[short('o', "output", Served), flag("proxy-admin-port", Served), short('f', "file", Served)],
        standing: Served,
    },
    Command {
        path: &["proxy-config", "eds"],
        names: &[&["proxy-config", "pc"], &["eds"]],
        flags: &[],
        standing: no("proxy-config endpoint lists them"),
    },
    Command {
        path: &["proxy-config", "all"],
        names: &[&["proxy-config", "pc"], &["all", "a"]],
        flags: &[],
        standing: no("ask for each of cluster, listener, route, endpoint, secret"),
    },
    Command {
        path: &["proxy-config", "bootstrap"],
        names: &[&["proxy-config", "pc"], &["bootstrap", "b"]],
        flags: &[],
        standing: no("a proxy has no bootstrap file; its settings are variables, which docs/reference/proxy.md lists"),
    },
    Command {
        path: &["proxy-config", "ecds"],
        names: &[&["proxy-config", "pc"], &["ecds", "ec"]],
        flags: &[],
        standing: no("extensions are not sent apart from routes"),
    },
    Command {
        path: &["proxy-config", "log"],
        names: &[&["proxy-config", "pc"], &["log", "o"]],
        flags: &[],
        standing: no("the proxy's port 15000 sets it: POST /logging?level=debug"),
    },
    Command {
        path: &["proxy-config", "rootca-compare"],
        names: &[&["proxy-config", "pc"], &["rootca-compare", "rc"]],
        flags: &[],
        standing: no("proxy-config secret shows the roots of each"),
    },
    Command {
        path: &["proxy-status"],
        names: &[&["proxy-status", "ps"]],
        flags: &[
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
        standing: Served,
    },
    Command {
        path: &["version"],
        names: &[&["version"]],
        flags: &[
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
        standing: Served,
    },
    Command {
        path: &["validate"],
        names: &[&["validate", "v"]],
        flags: &[short('f', "filename", Served), short('x', "referential", Served)],
        standing: Served,
    },
    Command {
        path: &["tag", "set"],
        names: &[&["tag"], &["set"]],
        flags: &[],
        standing: no("the chart's value revisionTags makes and moves tags"),
    },
    Command {
        path: &["tag", "generate"],
        names: &[&["tag"], &["generate"]],
        flags: &[],
        standing: no("the chart's value revisionTags makes and moves tags"),
    },
    Command {
        path: &["tag", "list"],
        names: &[&["tag"], &["list", "show"]],
        flags: &[],
        standing: no("kubectl get mutatingwebhookconfigurations -l istio.io/tag lists them"),
    },
    Command {
        path: &["tag", "remove"],
        names: &[&["tag"], &["remove", "delete"]],
        flags: &[],
        standing: no("take it out of the chart's value revisionTags"),
    },
    Command { path: &["waypoint", "apply"], names: &[&["waypoint"], &["apply"]], flags: &[], standing: no(AMBIENT) },
    Command {
        path: &["waypoint", "generate"],
        names: &[&["waypoint"], &["generate"]],
        flags: &[],
        standing: no(AMBIENT),
    },
    Command { path: &["waypoint", "delete"], names: &[&["waypoint"], &["delete"]], flags: &[], standing: no(AMBIENT) },
    Command { path: &["waypoint", "list"], names: &[&["waypoint"], &["list"]], flags: &[], standing: no(AMBIENT) },
    Command { path: &["waypoint", "status"], names: &[&["waypoint"], &["status"]], flags: &[], standing: no(AMBIENT) },
    Command {
        path: &["ztunnel-config", "workload"],
        names: &[&["ztunnel-config", "zc"], &["workload", "workloads", "w"]],
        flags: &[],
        standing: no(AMBIENT),
    },
    Command {
        path: &["ztunnel-config", "service"],
        names: &[&["ztunnel-config", "zc"], &["service", "services", "s", "svc"]],
        flags: &[],
        standing: no(AMBIENT),
    },
    Command {
        path: &["ztunnel-config", "policy"],
        names: &[&["ztunnel-config", "zc"], &["policy", "policies", "p", "pol"]],
        flags: &[],
        standing: no(AMBIENT),
    },
    Command {
        path: &["ztunnel-config", "certificate"],
        names: &[&["ztunnel-config", "zc"], &["certificate", "certificates", "certs", "cert"]],
        flags: &[],
        standing: no(AMBIENT),
    },
    Command {
        path: &["ztunnel-config", "connections"],
        names: &[&["ztunnel-config", "zc"], &["connections", "cons"]],
        flags: &[],
        standing: no(AMBIENT),
    },
    Command {
        path: &["ztunnel-config", "all"],
        names: &[&["ztunnel-config", "zc"], &["all"]],
        flags: &[],
        standing: no(AMBIENT),
    },
    Command {
        path: &["ztunnel-config", "log"],
        names: &[&["ztunnel-config", "zc"], &["log", "o"]],
        flags: &[],
        standing: no(AMBIENT),
    },
];
