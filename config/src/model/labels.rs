//! Labels of workloads, and selectors over them.

use std::{collections::BTreeMap, sync::Arc};

/// Key-value pairs, ordered by key; copies share them. As a selector: every pair must be present and equal; an empty selector
/// selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(pub Arc<BTreeMap<Arc<str>, Arc<str>>>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&Arc<str>> {
        self.0.get(key)
    }

    /// Takes these in; of one key they count.
    pub fn extend(&mut self, more: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) {
        Arc::make_mut(&mut self.0).extend(more);
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Taken as a selector: whether it selects something labelled `labels`.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Labels(Arc::new(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect()))
    }
}
