//! A proxy in memory (feature `testing`).
