//! One object to one understood value and its diagnostics. No second object is looked at.
//!
//! An object with an error is dropped whole; warnings keep it.

use super::form::Form;
use super::node::{Node, Value};
use super::object::Object;
use super::reader::{Fields, Item, Report};
use crate::crd::{self, telemetry};
use crate::diagnostic::{Diagnostic, Severity};
use crate::identity::TrustDomain;
use crate::kind::{GroupKind, ObjectKind};
use crate::name::{Namespace, NamespacedName};
use std::sync::Arc;

/// What the meaning of an object depends on besides its own text: defaults that MeshConfig sets.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseContext {
    /// Suffix of Kubernetes service names; `cluster.local`.
    pub cluster_domain: Arc<str>,
    /// Namespace whose policies are the mesh's; `istio-system`.
    pub root_namespace: Namespace,
    /// `cluster.local`.
    pub trust_domain: TrustDomain,
    /// The ConfigMap that holds MeshConfig: of the control plane's own namespace and revision; others are not read.
    pub mesh_config: NamespacedName,
    /// `exportTo` of services and ServiceEntries that have none, as written (`*`, `.`, `~`, names); `["*"]`.
    pub default_service_export_to: Vec<Arc<str>>,
    /// Of VirtualServices that have none; `["*"]`.
    pub default_virtual_service_export_to: Vec<Arc<str>>,
    /// Of DestinationRules that have none; `["*"]`.
    pub default_destination_rule_export_to: Vec<Arc<str>>,
    /// Logs that Telemetry objects may name.
    pub logs: telemetry::LogProviders,
}

impl Default for ParseContext {
    fn default() -> Self {
        ParseContext {
            cluster_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            trust_domain: TrustDomain::default(),
            mesh_config: NamespacedName::new("istio-system", "istio"),
            default_service_export_to: vec!["*".into()],
            default_virtual_service_export_to: vec!["*".into()],
            default_destination_rule_export_to: vec!["*".into()],
            logs: telemetry::LogProviders::default(),
        }
    }
}

/// Whether objects of a kind may mean something else when the context changes. Cluster domain and the name of the
/// ConfigMap are the process's, and do not change.
pub fn depends_on_context(kind: &GroupKind) -> bool {
    use ObjectKind::{DestinationRule, ServiceEntry, Telemetry, VirtualService};
    matches!(kind, GroupKind::Of(VirtualService | DestinationRule | ServiceEntry | Telemetry))
}

/// What reads the fields of a kind. `None`: an error has been reported, or the object says nothing to the mesh.
type Read = fn(&Object, &mut Fields<'_>, &ParseContext) -> Option<Parsed>;

/// How the fields of a kind are read.
enum Fate {
    /// Into a value.
    Into(Read),
    /// They are checked, and have no effect yet.
    Checked(&'static Form),
}

impl Fate {
    fn read(self, object: &Object, f: &mut Fields<'_>, context: &ParseContext) -> Option<Parsed> {
        match self {
            Fate::Into(read) => read(object, f, context),
            Fate::Checked(form) => {
                let errors = f.errors();
                form.check(f);
                f.finish();
                if object.meta.annotations.get("istio.io/dry-run").is_some() {
                    f.invalid::<()>("annotation istio.io/dry-run is for AuthorizationPolicies alone");
                }
                if f.errors() == errors {
                    f.warn("kind-not-acted-on", format!("{} is well-formed and not acted on yet", object.kind));
                }
                None
            }
        }
    }
}

/// Where a kind keeps its fields.
enum Shape {
    /// Under `spec`; an absent one is empty. `status` is the control plane's own.
    Spec(Fate),
    /// At the top, beside `metadata`.
    Root(Fate),
}

/// Whether the fields of a kind stand under `spec`, and not beside `metadata`.
pub fn is_under_spec(kind: ObjectKind) -> bool {
    matches!(shape(kind), Shape::Spec(_))
}

/// Whether a kind has no effect yet, and is checked by its form alone.
pub fn is_read_by_form(kind: ObjectKind) -> bool {
    matches!(shape(kind), Shape::Spec(Fate::Checked(_)) | Shape::Root(Fate::Checked(_)))
}

/// [`Parsed`], and what makes one.
macro_rules! parsed {
    ($(
        $(#[$doc:meta])*
        $kind:ident: $group:literal $word:literal [$($version:literal)*] $plural:literal [$($short:literal)*]
        $scope:ident $lane:ident $shape:ident $([$form:path])? $($reader:path => $model:ty $(as $list:ident $(for $part:ident)?)?)?;
    )*) => {
        /// What an object means, not yet linked to others.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Parsed {
            $($(#[doc = concat!("A ", $word, ".")] $kind($model),)?)*
        }

        fn shape(kind: ObjectKind) -> Shape {
            match kind {
                $(ObjectKind::$kind => Shape::$shape(fate!($kind $([$form])? $($reader)?)),)*
            }
        }

        /// What the fields of a kind are, declared: of its `spec`, or of the whole where fields stand at the top.
        pub fn form(kind: ObjectKind) -> Option<&'static Form> {
            match kind {
                $(ObjectKind::$kind => {
                    let forms: &[&'static Form] = &[$(&$form)?];
                    forms.first().copied()
                })*
            }
        }
    };
}

macro_rules! fate {
    ($kind:ident [$form:path]) => {
        Fate::Checked(&$form)
    };
    ($kind:ident $([$form:path])? $reader:path) => {
        Fate::Into(|object, fields, context| $reader(object, fields, context).map(Parsed::$kind))
    };
}

crate::objects!(parsed);

/// The object's meaning (`None`: dropped for its errors, or nothing to this mesh), and all findings about it. Where there is
/// a meaning and an error, entries of the object were left out: servers, rules, hosts.
pub fn parse(object: &Object, context: &ParseContext) -> (Option<Parsed>, Vec<Diagnostic>) {
    let report = Report::new(object.reference(), object.origin.file.clone());
    let root = Item::new(&object.root, "", &report);
    let empty = Node::new(object.root.line, Value::Map(Vec::new()));
    let note = |severity, code, message: String| report.add(severity, code, ("", object.root.place()), message);
    let kind = match object.group_kind() {
        GroupKind::Of(kind) if kind.versions().contains(&object.version()) => kind,
        GroupKind::Of(kind) => {
            let message =
                format!("{} is not a served version of {kind}; use {}", object.api_version, kind.api_version());
            note(Severity::Error, "unknown-version", message);
            return (None, report.into_diagnostics());
        }
        GroupKind::Foreign { .. } => {
            let message = format!("{} {} means nothing to the mesh", object.api_version, object.kind);
            note(Severity::Info, "unknown-kind", message);
            return (None, report.into_diagnostics());
        }
    };
    let parsed = match shape(kind) {
        Shape::Spec(fate) => {
            root.object(|f| {
                f.ignore(&["apiVersion", "kind", "metadata", "spec", "status"]);
                Some(())
            });
            let spec = object.root.get("spec").filter(|n| n.value != Value::Null);
            if spec.is_none() && kind.group().starts_with("gateway.networking.") {
                note(Severity::Error, "missing-field", "spec is required".to_owned());
            }
            let spec = spec.unwrap_or(&empty);
            Item::new(spec, "spec", &report).object(|f| fate.read(object, f, context))
        }
        Shape::Root(fate) => root.object(|f| {
            f.ignore(&["apiVersion", "kind", "metadata"]);
            fate.read(object, f, context)
        }),
    };
    let parsed = parsed.filter(|_| report.is_usable());
    (parsed, report.into_diagnostics())
}
