//! How a request's path is made canonical before anything looks at it.

/// `pathNormalization.normalization` of MeshConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Normalization {
    /// As sent, but for a fragment.
    None,
    /// RFC 3986, and backslash as slash (also `DEFAULT`).
    #[default]
    Base,
    /// And double slashes are one.
    MergeSlashes,
    /// And encoded slashes are slashes.
    DecodeAndMergeSlashes,
}
