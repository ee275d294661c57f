//! What a worker makes of credentials, kept while the credential is the same.

use mesh_config::{model::Credential, name::NamespacedName};
use std::{cell::RefCell, collections::HashMap, hash::Hash, sync::Arc};

/// Values by credential, and by what else they depend on.
pub struct ByCredential<K, V>(RefCell<HashMap<(NamespacedName, K), (Arc<Credential>, V)>>);

impl<K, V> Default for ByCredential<K, V> {
    fn default() -> Self {
        ByCredential(RefCell::default())
    }
}

impl<K: Eq + Hash, V: Clone> ByCredential<K, V> {
    /// The value that is kept, else the one that is made now.
    ///
    /// # Errors
    /// Those of making it; nothing is kept then.
    pub fn get<E>(&self, credential: &Arc<Credential>, by: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let key = (credential.name.clone(), by);
        if let Some((kept, value)) = self.0.borrow().get(&key)
            && Arc::ptr_eq(kept, credential)
        {
            return Ok(value.clone());
        }
        let value = make()?;
        self.0.borrow_mut().insert(key, (credential.clone(), value.clone()));
        Ok(value)
    }
}
