//! MeshConfig: the mesh's settings, and the defaults that other objects are read with.

use super::{Object, ParseContext, reader::Fields};
use crate::model::Settings;

/// What a MeshConfig says.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshConfig {
    /// What proxies need.
    pub settings: Settings,
    /// What other objects are read with.
    pub context: ParseContext,
}

/// Reads a ConfigMap (all its fields: `data` holds the text). `None` without a finding: not a mesh's.
pub(super) fn parse_config_map(
    _object: &Object,
    fields: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<MeshConfig> {
    fields.invalid("MeshConfig cannot be read yet")
}
