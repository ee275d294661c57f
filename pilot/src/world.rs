//! All inputs as received, keyed. One owner applies changes to it; compiling only reads.
//!
//! Each object's meaning is kept beside it, so that a change parses one object and not the mesh; when MeshConfig
//! changes what objects mean, all of them are parsed again. An object that had a meaning and has errors now keeps
//! its last good version in force, as if the change had been refused at the door; a policy is not lost for a slip.

mod change;
mod touched;

pub use self::{
    change::{Change, ObjectId},
    touched::Touched,
};

use bytes::Bytes;
use mesh_config::{
    crd::{self, Object, ParseContext, Parsed, mesh_config::MeshConfig},
    diagnostic::{Diagnostic, Severity},
    identity::TrustDomain,
    model::Settings,
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Root certificates (DER) by trust domain, as the certificate authority gives them.
pub type TrustRoots = BTreeMap<TrustDomain, BTreeSet<Bytes>>;

/// Everything that a mesh is compiled from.
#[derive(Default)]
pub struct World {
    inputs: BTreeMap<ObjectId, Input>,
    mesh_config: Option<(ObjectId, MeshConfig)>,
    /// In force where no object says otherwise (a file given at the start).
    base: Option<MeshConfig>,
    context: ParseContext,
    notes: Vec<Diagnostic>,
    roots: TrustRoots,
    synced: bool,
}

struct Input {
    /// As it was last received.
    latest: Arc<Object>,
    /// The version in force: the latest, or the last good one.
    good: Option<Good>,
    /// About the latest.
    notes: Vec<Diagnostic>,
}

struct Good {
    object: Arc<Object>,
    parsed: Parsed,
}

impl World {
    /// A world whose MeshConfig is `base` until an object says otherwise.
    pub fn with_mesh_config(base: MeshConfig) -> Self {
        World { context: base.context.clone(), base: Some(base), ..World::default() }
    }

    /// Takes in changes that belong together.
    pub fn apply_all(&mut self, changes: impl IntoIterator<Item = Change>) -> Touched {
        let mut touched = Touched::default();
        for change in changes {
            touched.merge(self.apply(change));
        }
        touched
    }

    /// Takes in one change.
    pub fn apply(&mut self, change: Change) -> Touched {
        match change {
            Change::Upsert(object) => {
                let id = ObjectId::of(&object);
                let touched = Touched::of_kind(&id.kind);
                let before = self.inputs.remove(&id).and_then(|input| input.good);
                self.inputs.insert(id, Input::parse(object, before, &self.context));
                self.choose_config();
                touched
            }
            Change::Delete(id) => match self.inputs.remove(&id) {
                None => Touched::default(),
                Some(_) => {
                    self.choose_config();
                    Touched::of_kind(&id.kind)
                }
            },
            Change::Notes(notes) => {
                self.notes = notes;
                Touched::of_kind("")
            }
            Change::Synced => {
                self.synced = true;
                Touched::of_kind("")
            }
        }
    }

    /// Takes in the root certificates.
    pub fn set_roots(&mut self, roots: TrustRoots) -> Touched {
        if self.roots == roots {
            return Touched::default();
        }
        self.roots = roots;
        Touched::of_kind("")
    }

    /// Whether the source has handed over everything that was there at its start.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.config().map(|c| c.settings.clone()).unwrap_or_default()
    }

    /// What objects are read with.
    pub fn context(&self) -> &ParseContext {
        &self.context
    }

    pub(crate) fn roots(&self) -> &TrustRoots {
        &self.roots
    }

    /// Objects that mean something, with their meaning.
    pub(crate) fn parsed(&self) -> impl Iterator<Item = (&Arc<Object>, &Parsed)> {
        self.inputs.values().filter_map(|input| input.good.as_ref()).map(|good| (&good.object, &good.parsed))
    }

    /// Findings about the source and about single objects.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &Diagnostic> {
        self.notes.iter().chain(self.inputs.values().flat_map(|input| &input.notes))
    }

    fn config(&self) -> Option<&MeshConfig> {
        self.mesh_config.as_ref().map(|(_, config)| config).or(self.base.as_ref())
    }

    /// `istio` before `istio-REVISION`. One that can no longer be read leaves its last good state in force.
    fn choose_config(&mut self) {
        let configs =
            self.inputs.range(config_maps()).take_while(|(id, _)| id.group.is_empty() && &*id.kind == CONFIG_MAP);
        let read = configs.filter_map(|(id, input)| match input.good.as_ref().map(|good| &good.parsed) {
            Some(Parsed::MeshConfig(config)) => Some((id, config)),
            _ => None,
        });
        let best = read.min_by_key(|(id, _)| (&*id.name.name != "istio", *id));
        match (best, &self.mesh_config) {
            (Some((id, config)), held) => {
                let mut config = (**config).clone();
                if let Some(base) = &self.base {
                    // MeshConfig has no field for it: the process says it.
                    config.settings.cluster_domain = base.settings.cluster_domain.clone();
                    config.context.cluster_domain = base.context.cluster_domain.clone();
                }
                if held.as_ref().is_some_and(|(from, known)| from == id && *known == config) {
                    return;
                }
                self.mesh_config = Some((id.clone(), config));
            }
            (None, Some((from, _))) if !self.inputs.contains_key(from) => self.mesh_config = None,
            (None, _) => return,
        }
        self.reread_if_context_changed();
    }

    fn reread_if_context_changed(&mut self) {
        let context = self.config().map(|c| c.context.clone()).unwrap_or_default();
        if context == self.context {
            return;
        }
        self.context = context;
        for input in self.inputs.values_mut() {
            *input = Input::parse(input.latest.clone(), input.good.take(), &self.context);
        }
    }
}

const CONFIG_MAP: &str = "ConfigMap";

/// From the first ConfigMap on: the core group's name is empty and sorts first.
fn config_maps() -> std::ops::RangeFrom<ObjectId> {
    ObjectId { group: "".into(), kind: CONFIG_MAP.into(), name: NamespacedName::new("", "") }..
}

impl Input {
    /// `before`: the version that was in force until now.
    fn parse(latest: Arc<Object>, before: Option<Good>, context: &ParseContext) -> Self {
        let (parsed, mut notes) = crd::parse(&latest, context);
        let has_errors = notes.iter().any(|note| note.severity == Severity::Error);
        let good = match parsed {
            Some(parsed) => Some(Good { object: latest.clone(), parsed }),
            None if has_errors => before.map(|before| before.read_again(context)),
            None => None,
        };
        if has_errors && good.is_some() {
            notes.push(kept(&latest));
        }
        Input { latest, good, notes }
    }
}

impl Good {
    /// With what MeshConfig says now; where that leaves nothing of it, as it was.
    fn read_again(self, context: &ParseContext) -> Self {
        match crd::parse(&self.object, context).0 {
            Some(parsed) => Good { parsed, ..self },
            None => self,
        }
    }
}

fn kept(object: &Object) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code: "last-good-kept",
        object: object.reference(),
        field: String::new(),
        message: "has errors, so its last good version stays in force until it is fixed or deleted".to_owned(),
        origin: object.origin.clone(),
    }
}

#[cfg(test)]
mod tests;
