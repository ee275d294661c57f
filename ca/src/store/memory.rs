//! Nothing outlives the process: for tests, and for meshes that live as long as a command.

use super::{Store, StoreError, Stored};
use parking_lot::Mutex;
use std::sync::Arc;

/// Holds at most one set of key material. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Option<Stored>>>);

impl MemoryStore {
    /// With something in it.
    pub fn holding(stored: Stored) -> Self {
        MemoryStore(Arc::new(Mutex::new(Some(stored))))
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        Ok(self.0.lock().clone())
    }

    fn save_new(&self, stored: Stored) -> Result<Stored, StoreError> {
        Ok(self.0.lock().get_or_insert(stored).clone())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
