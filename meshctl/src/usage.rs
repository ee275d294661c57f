//! A command line that makes no sense, told from everything else that can go wrong: scripts tell their own mistake
//! from a mesh that is away by the exit code. Every check of an argument that clap does not make ends in a [`Usage`].

use std::fmt;

/// What is wrong with the command line, and how to write it.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Usage(text.into())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
