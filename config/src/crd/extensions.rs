//! Code that proxies run: WasmPlugin and TrafficExtension of `extensions.istio.io`.

use super::{
    form::{Fact, Holds, forms},
    reader::{Fields, Item},
    target::{self, MOST_TARGETS, ONE_OF_THREE, ONE_OF_TWO, REFERENCE, SELECTOR},
};

/// Most bytes of a name.
const MAX_NAME: usize = 255;
/// Most bytes of a script.
const MAX_SCRIPT: usize = 64 << 10;

const PHASES: Holds = Holds::Word(&["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"]);
/// The same, as TrafficExtension has it.
const STAGES: Holds = Holds::Word(&["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"]);
const POLICIES: Holds = Holds::Word(&["UNSPECIFIED_POLICY", "IfNotPresent", "Always"]);
const FAILURES: Holds = Holds::Word(&["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"]);
const KINDS: Holds = Holds::Word(&["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"]);
const MODES: Holds = Holds::Word(&["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"]);
const ORDER: Holds = Holds::Whole(i32::MIN as i64, i32::MAX as i64);

/// What API servers are told about a module's URL; one without a scheme is looked at as a host.
const MODULE: Fact = Fact::Rule(
    "[self, 'http://' + self].exists(u, isURL(u) && url(u).getScheme() in ['', 'http', 'https', 'file', 'oci'])",
    "url must have schema one of [http, https, file, oci]",
);

forms! {
    /// `spec`.
    pub(super) WASM_PLUGIN {
        "selector": Holds::Of(&SELECTOR), "Which workloads; without it, and without a target, those of the namespace.";
        "targetRef": Holds::Of(&REFERENCE), "What it is for, instead of a selector. Superseded by targetRefs.";
        "targetRefs": Holds::List(&Holds::Of(&REFERENCE)), "What it is for, instead of a selector.", MOST_TARGETS;
        "url": Holds::Judged(url), "Where the module is: oci, http, https or file; without a scheme an image.",
            Fact::Required, Fact::LeastLength(1), MODULE;
        "sha256": Holds::Judged(sha256), "Checksum of the module.", Fact::Pattern("^([a-f0-9]{64})?$");
        "imagePullPolicy": POLICIES, "When an image is fetched.";
        "imagePullSecret": Holds::Judged(name), "Secret of the own namespace to fetch it with.",
            Fact::LeastLength(1), Fact::MostLength(253);
        "verificationKey": Holds::Text, "Key that the image is signed by.";
        "pluginConfig": Holds::Struct, "What the module is given.";
        "pluginName": Holds::Judged(name), "Its name within the module.", Fact::LeastLength(1), Fact::MostLength(256);
        "phase": PHASES, "Before which of the mesh's own filters it stands.";
        "priority": ORDER, "Order within a phase: the greater comes first.", Fact::Nullable;
        "failStrategy": FAILURES, "What becomes of a request when the module fails.";
        "vmConfig": Holds::Of(&VM), "Settings of its machine.";
        "match": Holds::List(&Holds::Of(&MATCH)), "Which traffic it sees.";
        "type": KINDS, "Whether it sees requests or connections.";
    } with [ONE_OF_THREE] => target::one_way;

    /// `spec`.
    pub(super) TRAFFIC_EXTENSION {
        "selector": Holds::Of(&SELECTOR), "Which workloads; without it, and without a target, those of the namespace.";
        "targetRefs": Holds::List(&Holds::Of(&REFERENCE)), "What it is for, instead of a selector.", MOST_TARGETS;
        "phase": STAGES, "Before which of the mesh's own filters it stands.";
        "priority": ORDER, "Order within a phase: the greater comes first.", Fact::Nullable;
        "match": Holds::List(&Holds::Of(&MATCH)), "Which traffic it sees.";
        "wasm": Holds::Of(&WASM), "A module.";
        "lua": Holds::Of(&LUA), "A script.";
    } with [
        Fact::OneOf(&["wasm", "lua"]),
        Fact::Rule("has(self.wasm) != has(self.lua)", "exactly one of wasm or lua must be set"),
        ONE_OF_TWO,
    ] => traffic_extension;

    WASM {
        "url": Holds::Judged(url), "Where the module is: oci, http, https or file; without a scheme an image.",
            Fact::Required, Fact::LeastLength(1), MODULE;
        "sha256": Holds::Judged(sha256), "Checksum of the module.", Fact::Pattern("^([a-f0-9]{64})?$");
        "imagePullPolicy": POLICIES, "When an image is fetched.";
        "imagePullSecret": Holds::Judged(name), "Secret of the own namespace to fetch it with.",
            Fact::LeastLength(1), Fact::MostLength(253);
        "verificationKey": Holds::Text, "Key that the image is signed by.";
        "pluginConfig": Holds::Struct, "What the module is given.";
        "pluginName": Holds::Judged(name), "Its name within the module.", Fact::LeastLength(1), Fact::MostLength(256);
        "failStrategy": FAILURES, "What becomes of a request when the module fails.";
        "vmConfig": Holds::Of(&VM), "Settings of its machine.";
        "type": KINDS, "Whether it sees requests or connections.";
    };

    LUA {
        "inlineCode": Holds::Judged(script), "The script.", Fact::Required, Fact::LeastLength(1), Fact::MostLength(65536);
    };

    VM {
        "env": Holds::List(&Holds::Of(&ENV)), "Its environment.", Fact::MostEntries(256), Fact::KeyedBy("name");
    } => vm;

    ENV {
        "name": Holds::Judged(name), "Name of the variable.", Fact::Required, Fact::LeastLength(1), Fact::MostLength(256);
        "valueFrom": Holds::Word(&["INLINE", "HOST"]), "Where its value is.";
        "value": Holds::Text, "Its value, with INLINE.", Fact::MostLength(2048);
    } with [
        Fact::Rule("!(has(self.value) && has(self.valueFrom) && self.valueFrom == 'HOST')",
            "value may only be set when valueFrom is INLINE"),
    ] => env;

    MATCH {
        "mode": MODES, "Which side of a call.";
        "ports": Holds::List(&Holds::Of(&PORT)), "Which ports; none: all.", Fact::KeyedBy("number");
    };

    PORT {
        "number": Holds::Port, "The port.", Fact::Required, Fact::Least(1), Fact::Most(65535);
    };
}

fn traffic_extension(f: &mut Fields<'_>) {
    target::one_way(f);
    if f.has("wasm") == f.has("lua") {
        f.one_is_required::<()>(&["wasm", "lua"], "exactly one of wasm and lua must be set");
    }
}

fn env(f: &mut Fields<'_>) {
    let from_host = f.opt_string("valueFrom").as_deref() == Some("HOST");
    if let Some(item) = f.item("value").filter(|_| from_host)
        && item.string().is_some_and(|value| !value.is_empty())
    {
        item.invalid::<()>("a value goes with valueFrom INLINE alone");
    }
}

fn vm(f: &mut Fields<'_>) {
    let mut seen = std::collections::BTreeSet::new();
    f.list("env", |item| {
        let name = item.node().get("name")?.as_str()?;
        if !name.is_empty() && !seen.insert(name.to_owned()) {
            item.invalid::<()>(format!("there is a variable {name:.40} already"));
        }
        None::<()>
    });
}

fn name(item: &Item<'_>) {
    if item.non_empty().is_some_and(|name| name.len() > MAX_NAME) {
        item.invalid::<()>(format!("is longer than {MAX_NAME} bytes"));
    }
}

fn script(item: &Item<'_>) {
    if item.non_empty().is_some_and(|script| script.len() > MAX_SCRIPT) {
        item.invalid::<()>(format!("is longer than {MAX_SCRIPT} bytes"));
    }
}

fn url(item: &Item<'_>) {
    let Some(url) = item.non_empty() else { return };
    let scheme = url.split_once("://").map_or("oci", |(scheme, _)| scheme);
    if url.contains(|c: char| c.is_control() || c == ' ') || url.starts_with('#') {
        item.invalid::<()>(format!("{url:.80?} is no URL"));
    } else if !["oci", "http", "https", "file"].contains(&scheme) {
        item.invalid::<()>(format!("{scheme:.20} is no scheme for a module; use oci, http, https or file"));
    }
}

fn sha256(item: &Item<'_>) {
    let Some(sum) = item.string().filter(|sum| !sum.is_empty()) else { return };
    if sum.len() != 64 || !sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        item.invalid::<()>("must be 64 digits 0 to 9 and a to f, in small letters");
    }
}
