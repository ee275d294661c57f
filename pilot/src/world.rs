//! All inputs as received, by object and source. One owner applies changes to it; compiling only reads.
//!
//! Each object's meaning is kept beside it, so that a change parses one object and not the mesh; when MeshConfig
//! changes what objects mean, all of them are parsed again. An object that has errors keeps its last good version in
//! force, as if the change had been refused at the door, or has a stand-in where it narrows access: a policy is not
//! lost for a slip.

mod change;
mod counts;
mod input;
mod kept;
mod stand_in;
mod touched;

#[cfg(feature = "serve")]
pub(crate) use self::input::STANDS_IN;
pub use self::{
    change::{Batch, Change, SourceId},
    touched::Touched,
};
pub use crate::object::{CLUSTER, ObjectId};

use crate::object::{Holds, InForce};
use bytes::Bytes;
use counts::Counts;
use input::{How, Input};
use mesh_config::{
    crd::{
        Head, ParseContext, Parsed,
        mesh_config::{IngressSettings, MeshConfig},
    },
    diagnostic::{Diagnostic, Severity},
    identity::TrustDomain,
    kind::{GroupKind, ObjectKind},
    model::{Part, Settings},
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Root certificates (DER) by trust domain, as the certificate authority gives them.
pub type TrustRoots = BTreeMap<TrustDomain, BTreeSet<Bytes>>;

/// Everything that a mesh is compiled from.
pub struct World {
    inputs: BTreeMap<ObjectId, Versions>,
    sources: BTreeMap<SourceId, Source>,
    /// Where the mesh's settings stand.
    mesh_config: ObjectId,
    /// In force where no object says otherwise.
    base: MeshConfig,
    config: MeshConfig,
    /// Which objects count.
    counts: Counts,
    /// Objects that something is to be said of, whether they count or not; see [`Self::holds`].
    told: BTreeSet<ObjectId>,
    roots: TrustRoots,
    /// Some objects may be known from kept state alone.
    restored: bool,
}

/// An object, as each source that has it says. In boxes: most have one source, and a map has room for eleven.
type Versions = BTreeMap<SourceId, Box<Input>>;

/// How far a source is.
#[derive(Default)]
struct Source {
    synced: bool,
    notes: Vec<Diagnostic>,
}

impl Source {
    /// Whether it has shown everything that it has. A file that cannot be read may hold any object.
    fn is_whole(&self) -> bool {
        self.synced && self.notes.iter().all(|note| note.severity != Severity::Error)
    }
}

impl Default for World {
    fn default() -> Self {
        World::with_mesh_config(MeshConfig::default())
    }
}

impl World {
    /// A world whose MeshConfig is `base` until an object says otherwise: the ConfigMap that
    /// [`ParseContext::mesh_config`] of `base` names.
    pub fn with_mesh_config(base: MeshConfig) -> Self {
        let mesh_config = ObjectId::new(ObjectKind::ConfigMap, base.context.mesh_config.clone());
        let mut world = World {
            inputs: BTreeMap::new(),
            sources: BTreeMap::new(),
            mesh_config,
            config: base.clone(),
            base,
            counts: Counts::default(),
            told: BTreeSet::new(),
            roots: TrustRoots::default(),
            restored: false,
        };
        world.choose_namespaces();
        world
    }

    /// Of this revision: objects that a label gives to another one do not count. Without it all do.
    pub fn of_revision(mut self, revision: &str) -> Self {
        self.counts.revision = Some(revision.into());
        self
    }

    /// Expects changes of a source: the world is not synced before it is.
    pub fn register(&mut self, source: SourceId) {
        self.sources.entry(source).or_default();
    }

    /// Takes in versions that were good in a process before this one (see [`Self::to_keep`]), before any change. Each
    /// is in force until its source shows the object, or is seen whole and does not have it.
    pub fn restore(&mut self, source: SourceId, kept: impl IntoIterator<Item = Part>) {
        self.register(source);
        self.restored = true;
        for (id, head, parsed) in kept.into_iter().filter_map(kept::object_of) {
            self.inputs.entry(id.clone()).or_default().insert(source, Box::new(Input::restored(head, parsed)));
            self.tell(&id);
        }
    }

    /// Good versions of objects that narrow access, in the order of their names.
    pub fn to_keep(&self) -> impl Iterator<Item = Part> {
        let good = self.first_of_each().filter_map(|(_, input)| input.good.as_ref());
        good.filter(|good| good.how() != How::StandIn).filter_map(|good| kept::part_of(&good.parsed))
    }

    /// Takes in changes of one source that belong together.
    pub fn apply(&mut self, batch: Batch) -> Touched {
        let Batch { source, changes } = batch;
        self.register(source);
        let mut touched = Touched::default();
        for change in changes {
            touched.merge(self.apply_one(source, change));
        }
        touched.merge(self.forget_unseen(source));
        if touched.objects.contains(&self.mesh_config) && self.choose_config() {
            touched.merge(Touched::EVERYTHING);
        }
        let is_namespace = |id: &ObjectId| id.kind == GroupKind::Of(ObjectKind::Namespace);
        if (touched.everything || touched.objects.iter().any(is_namespace)) && self.choose_namespaces() {
            touched.merge(Touched::EVERYTHING);
        }
        touched
    }

    fn apply_one(&mut self, source: SourceId, change: Change) -> Touched {
        match change {
            Change::Upsert(id, object) => {
                let versions = self.inputs.entry(id.clone()).or_default();
                let before = versions.remove(&source);
                let (input, is_news) = Input::read(&object, before.map(|before| *before), &self.config.context);
                versions.insert(source, Box::new(input));
                if is_news { self.touched(id) } else { Touched::default() }
            }
            Change::Delete(id) => {
                let Some(versions) = self.inputs.get_mut(&id) else { return Touched::default() };
                let hid_another = versions.len() > 1;
                let gone = versions.remove(&source).is_some_and(|input| input.is_missed());
                if versions.is_empty() {
                    self.inputs.remove(&id);
                }
                if gone || hid_another { self.touched(id) } else { Touched::default() }
            }
            Change::Notes(notes) => {
                self.sources.entry(source).or_default().notes = notes;
                Touched::REST
            }
            Change::Synced => {
                self.sources.entry(source).or_default().synced = true;
                Touched::REST
            }
        }
    }

    fn touched(&mut self, id: ObjectId) -> Touched {
        let was_told = self.told.contains(&id);
        let is_told = self.tell(&id);
        let mut touched = Touched::of(id);
        touched.findings = was_told || is_told;
        touched
    }

    /// Takes down whether something is to be said of an object.
    fn tell(&mut self, id: &ObjectId) -> bool {
        let holds = self.inputs.get(id).and_then(|versions| alone(id, versions));
        match &holds {
            Some(_) => drop(self.told.insert(id.clone())),
            None => drop(self.told.remove(id)),
        }
        holds.is_some()
    }

    /// Kept versions of objects that a source, seen whole, does not have.
    fn forget_unseen(&mut self, source: SourceId) -> Touched {
        let mut touched = Touched::default();
        if !self.restored || !self.sources.get(&source).is_some_and(Source::is_whole) {
            return touched;
        }
        let mut gone = Vec::new();
        self.inputs.retain(|id, versions| {
            if versions.get(&source).is_some_and(|input| !input.seen) {
                versions.remove(&source);
                gone.push(id.clone());
            }
            !versions.is_empty()
        });
        gone.into_iter().for_each(|id| touched.merge(self.touched(id)));
        let left = self.first_of_each().any(|(_, input)| !input.seen);
        self.restored = left;
        touched
    }

    /// Takes in the root certificates.
    pub fn set_roots(&mut self, roots: TrustRoots) -> Touched {
        if self.roots == roots {
            return Touched::default();
        }
        self.roots = roots;
        Touched::REST
    }

    /// Whether every source has handed over what was there at its start.
    pub fn is_synced(&self) -> bool {
        !self.sources.is_empty() && self.sources.values().all(|source| source.synced)
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.config.settings.clone()
    }

    /// What objects are read with.
    pub fn context(&self) -> &ParseContext {
        &self.config.context
    }

    /// What MeshConfig says of Ingresses.
    pub(crate) fn ingress(&self) -> &IngressSettings {
        &self.config.ingress
    }

    /// Whether a label gives an object to another revision, whatever its kind.
    #[cfg(feature = "serve")]
    pub(crate) fn is_given_away(&self, object: &Head) -> bool {
        self.counts.gives_away(&object.meta.labels)
    }

    pub(crate) fn roots(&self) -> &TrustRoots {
        &self.roots
    }

    /// Objects that mean something, with their meaning.
    #[cfg(test)]
    pub(crate) fn parsed(&self) -> impl Iterator<Item = (&Arc<Head>, &Parsed)> {
        self.meaning(self.inputs.iter())
    }

    /// Objects of a kind that mean something, with their meaning.
    pub(crate) fn parsed_of(&self, kind: ObjectKind) -> impl Iterator<Item = (&Arc<Head>, &Parsed)> {
        let first = ObjectId::new(kind, NamespacedName::new("", ""));
        self.meaning(self.inputs.range(first..).take_while(move |(id, _)| id.kind == GroupKind::Of(kind)))
    }

    /// Those of one namespace.
    pub(crate) fn parsed_in<'a>(
        &'a self,
        kind: ObjectKind,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<Head>, &'a Parsed)> {
        let first = ObjectId::new(kind, NamespacedName::new(namespace, ""));
        let is_there = move |id: &ObjectId| id.kind == GroupKind::Of(kind) && id.name.namespace.as_str() == namespace;
        self.meaning(self.inputs.range(first..).take_while(move |(id, _)| is_there(id)))
    }

    /// One object, if it means something.
    pub(crate) fn parsed_one(&self, id: &ObjectId) -> Option<(&Arc<Head>, &Parsed)> {
        self.meaning(self.inputs.get_key_value(id).into_iter()).next()
    }

    fn meaning<'a>(
        &'a self,
        inputs: impl Iterator<Item = (&'a ObjectId, &'a Versions)>,
    ) -> impl Iterator<Item = (&'a Arc<Head>, &'a Parsed)> {
        let first = inputs.filter_map(|(id, versions)| Some((id, versions.values().next()?)));
        let counting = first.filter(|(id, input)| self.counts.has(id, input.latest()));
        counting.filter_map(|(_, input)| input.good.as_ref()).map(|good| (&good.head, &good.parsed))
    }

    /// Findings about sources as a whole.
    pub(crate) fn notes(&self) -> impl Iterator<Item = Diagnostic> {
        self.sources.values().flat_map(|source| &source.notes).cloned()
    }

    /// What holds of each object by itself. Of those that Kubernetes brings, which are many, only where something is to
    /// be said.
    pub(crate) fn holds(&self) -> impl Iterator<Item = (&ObjectId, Holds)> {
        self.told.iter().filter_map(|id| {
            let versions = self.inputs.get(id)?;
            let counts = versions.values().next().is_some_and(|input| self.counts.has(id, input.latest()));
            alone(id, versions).filter(|_| counts).map(|holds| (id, holds))
        })
    }

    /// Of each object the version of the first source that has it.
    fn first_of_each(&self) -> impl Iterator<Item = (&ObjectId, &Input)> {
        self.inputs.iter().filter_map(|(id, versions)| Some((id, &**versions.values().next()?)))
    }

    /// Namespaces whose objects count; `None`: all do.
    #[cfg(feature = "serve")]
    pub(crate) fn chosen_namespaces(&self) -> Option<BTreeSet<Arc<str>>> {
        self.counts.namespaces.as_ref().map(counts::Namespaces::chosen)
    }

    /// Which namespaces' objects count, as their labels are now. Whether that is something new.
    fn choose_namespaces(&mut self) -> bool {
        let selectors = &self.config.discovery_selectors;
        let namespaces = (!selectors.is_empty()).then(|| {
            let first = ObjectId::new(ObjectKind::Namespace, NamespacedName::new("", ""));
            let all = self.inputs.range(first..).take_while(|(id, _)| id.kind == GroupKind::Of(ObjectKind::Namespace));
            let of_source = all.filter_map(|(_, versions)| match &versions.values().next()?.good.as_ref()?.parsed {
                Parsed::Namespace(namespace) => Some(namespace),
                _ => None,
            });
            counts::Namespaces::new(selectors, &self.config.settings.root_namespace, of_source)
        });
        let is_news = namespaces != self.counts.namespaces;
        self.counts.namespaces = namespaces;
        is_news
    }

    /// One that can no longer be read leaves its last good state in force. Whether anything is different.
    fn choose_config(&mut self) -> bool {
        let object = self.inputs.get(&self.mesh_config).and_then(|versions| versions.values().next());
        let mut config = match object.map(|input| input.good.as_ref().map(|good| &good.parsed)) {
            Some(Some(Parsed::ConfigMap(config))) => (**config).clone(),
            _ => self.base.clone(),
        };
        // MeshConfig has no field for these: the process says them.
        config.settings.cluster_domain = self.base.settings.cluster_domain.clone();
        config.context.cluster_domain = self.base.context.cluster_domain.clone();
        config.ingress.namespace = self.base.ingress.namespace.clone();
        config.context.mesh_config = self.mesh_config.name.clone();
        if config == self.config {
            return false;
        }
        let reread = config.context != self.config.context;
        self.config = config;
        if reread {
            let inputs = self.inputs.values_mut().flat_map(|versions| versions.values_mut());
            inputs.for_each(|input| input.read_again(&self.config.context));
            self.told = self.inputs.iter().filter_map(|(id, all)| alone(id, all).map(|_| id.clone())).collect();
        }
        true
    }
}

/// What holds of an object by itself, if something is to be said.
fn alone(id: &ObjectId, versions: &Versions) -> Option<Holds> {
    let mut versions = versions.iter();
    let (first, input) = versions.next()?;
    let shadowed = versions.map(|(_, input)| shadowed(input.latest(), *first));
    let findings: Vec<Diagnostic> = input.notes.iter().cloned().chain(shadowed).collect();
    let in_force = input.in_force();
    let is_quiet = findings.is_empty() && in_force == InForce::Latest;
    let from_kubernetes = matches!(&id.kind, GroupKind::Of(kind) if !kind.group().ends_with(".istio.io"));
    (!(is_quiet && from_kubernetes)).then(|| Holds { in_force, findings, ..Holds::default() })
}

fn shadowed(object: &Head, by: SourceId) -> Diagnostic {
    let message = format!("the source {by} has this object too, and its version counts");
    input::note(object, "duplicate-object", message)
}

#[cfg(test)]
mod tests;
