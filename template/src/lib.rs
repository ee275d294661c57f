//! Go templates as charts and injection templates write them: the template language is a library's, the functions that
//! Helm and its users expect (`toYaml`, `default`, `indent` and their like) are here. Pure: text and values in, text out.
//!
//! Whoever writes a template may be careless or worse: what one rendering writes, how deep it nests and how often it
//! loops is bounded.

mod functions;
mod structure;
pub mod yaml;

pub use functions::{Function, Functions, arguments};
pub use gotmpl::Value;
pub use structure::{structure, to_json, to_value};

use gotmpl::{TemplateError, parse::Parser};
use std::{
    cell::Cell,
    fmt,
    sync::{Arc, OnceLock},
};

/// Most bytes that one rendering, or one function in it, may write.
pub const MAX_OUTPUT: usize = 4 << 20;
/// Most rounds of all loops of one rendering.
const MAX_ROUNDS: u64 = 100_000;
/// How deep `include` may nest.
const MAX_DEPTH: u32 = 40;

/// Why a template cannot be read or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template}{}: {message}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct Error {
    /// Name of the template.
    pub template: String,
    /// Line of its text, from 1; known of errors of form alone.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Error {
    fn new(template: &str, error: &TemplateError) -> Self {
        let (line, message) = match error {
            TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
                (Some(*line), message.clone())
            }
            TemplateError::Exec(message) => (None, message.clone()),
            TemplateError::Write => (None, format!("writes more than {MAX_OUTPUT} bytes")),
            other => (None, other.to_string()),
        };
        Error { template: template.to_owned(), line, message }
    }
}

/// Templates that may use what each of them defines.
pub struct Templates {
    templates: Arc<OnceLock<gotmpl::Template>>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Templates")
    }
}

impl Templates {
    /// Reads templates, given as name and text, with `functions` and `include`.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        functions: &Functions,
    ) -> Result<Self, Error> {
        let templates = Arc::new(OnceLock::new());
        let mut set = gotmpl::Template::new("").max_range_iters(MAX_ROUNDS).funcs(functions.to_map());
        set = set.func("include", include(Arc::clone(&templates)));
        for (name, text) in texts {
            let parsed = Parser::with_name(Some(name), text, "{{", "}}").and_then(Parser::parse);
            let (body, defines) = parsed.map_err(|error| Error::new(name, &error))?;
            for define in defines {
                set = set.add_parse_tree(&define.name, define.body);
            }
            set = set.add_parse_tree(name, body);
        }
        // The cell is this function's alone until here.
        let _ = templates.set(set);
        Ok(Templates { templates })
    }

    /// The text that the template of this name makes of `data`.
    ///
    /// # Errors
    /// What it asks for cannot be done, `fail` and `required` included.
    pub fn render(&self, name: &str, data: &Value) -> Result<String, Error> {
        let templates = self.templates.get().expect("set when it was made");
        let mut text = Bounded(String::new());
        match templates.execute_template_fmt(&mut text, name, data) {
            Ok(()) => Ok(text.0),
            Err(error) => Err(Error::new(name, &error)),
        }
    }
}

/// One template.
#[derive(Debug)]
pub struct Template {
    name: String,
    templates: Templates,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Where its form is wrong, with the line.
    pub fn parse(name: &str, text: &str, functions: &Functions) -> Result<Self, Error> {
        Ok(Template { name: name.to_owned(), templates: Templates::parse([(name, text)], functions)? })
    }

    /// As it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text that it makes of `data`.
    ///
    /// # Errors
    /// What it asks for cannot be done.
    pub fn render(&self, data: &Value) -> Result<String, Error> {
        self.templates.render(&self.name, data)
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// `include NAME DATA`: the text of another template. It must not keep the set alive that keeps it.
fn include(
    templates: Arc<OnceLock<gotmpl::Template>>,
) -> impl Fn(&[Value]) -> gotmpl::Result<Value> + Send + Sync + 'static {
    let templates = Arc::downgrade(&templates);
    move |args| {
        let name = arguments::text(args, 0, "include")?;
        let templates = templates.upgrade();
        let set = templates.as_ref().and_then(|cell| cell.get());
        let set = set.ok_or_else(|| TemplateError::Exec("include: the templates are gone".into()))?;
        if DEPTH.get() >= MAX_DEPTH {
            return Err(TemplateError::Exec(format!("include {name}: nested more than {MAX_DEPTH} deep")));
        }
        DEPTH.set(DEPTH.get() + 1);
        let mut text = Bounded(String::new());
        let done = set.execute_template_fmt(&mut text, &name, args.get(1).unwrap_or(&Value::Nil));
        DEPTH.set(DEPTH.get() - 1);
        done.map(|()| Value::from(text.0))
    }
}

/// Text that must not grow without end.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_OUTPUT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
