//! Objects from texts in memory: offline commands and tests.

use super::{
    Batch, SourceId,
    file::{Directory, FileText},
};
use std::sync::Arc;

/// What a text that is called `name` holds, as a directory with that one file would emit it.
pub fn batch(name: &str, text: &str) -> Batch {
    let tree = [(Arc::from(name), FileText::Text(text.to_owned()))];
    Batch { source: SourceId::Memory, changes: Directory::default().scan(&tree.into_iter().collect()).changes }
}
