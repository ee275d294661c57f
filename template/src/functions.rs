//! The functions that templates may call besides the language's own, by name.

pub mod arguments;
mod list;
mod map;
mod number;
mod text;
mod value;

use gotmpl::{FuncMap, TemplateError, Value};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// One function; the arguments come in the order of the template, a piped one last.
pub type Function = Arc<dyn Fn(&[Value]) -> gotmpl::Result<Value> + Send + Sync>;

/// Functions by name.
#[derive(Clone, Default)]
pub struct Functions(BTreeMap<String, Function>);

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Functions {
    /// Those that Helm has, of which each gives the same result for the same arguments.
    pub fn helm() -> Self {
        let mut functions = Functions::default();
        for table in [text::TABLE, list::TABLE, map::TABLE, number::TABLE, value::TABLE] {
            for (name, function) in table {
                functions.0.insert((*name).to_owned(), Arc::new(*function));
            }
        }
        functions
    }

    /// With one more, or another in its place. Its error is what the template's author is told.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        function: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        let named = name.to_owned();
        let function =
            move |args: &[Value]| function(args).map_err(|message| TemplateError::Exec(format!("{named}: {message}")));
        self.0.insert(name.to_owned(), Arc::new(function));
        self
    }

    pub(crate) fn to_map(&self) -> FuncMap {
        self.0.iter().map(|(name, function)| (name.clone(), Arc::clone(function))).collect()
    }
}

/// Names and functions of one file.
type Table = &'static [(&'static str, fn(&[Value]) -> gotmpl::Result<Value>)];
