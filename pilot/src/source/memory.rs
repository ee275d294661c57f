//! Objects from texts in memory: offline commands and tests.

use super::{
    Change,
    file::{Directory, FileText},
};
use std::sync::Arc;

/// What a text that is called `name` holds, as a directory with that one file would emit it.
pub fn changes(name: &str, text: &str) -> Vec<Change> {
    let tree = [(Arc::from(name), FileText::Text(text.to_owned()))];
    Directory::default().scan(tree.into_iter().collect()).changes
}
