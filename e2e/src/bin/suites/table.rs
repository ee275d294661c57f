//! Tables of cases: an object each, and whether it is valid.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path};

/// The cases of a table.
pub(crate) struct Table {
    /// As its file is called.
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
}

/// An object.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) object: Value,
    /// What the refusal says, empty where that is open; `None` where the object is valid.
    pub(crate) refused: Option<String>,
}

impl Table {
    /// # Errors
    /// When it is no table.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let table: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
        let cases = table["cases"].as_array().with_context(|| format!("{} has no cases", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Table { name, cases: cases.iter().map(Case::of).collect() })
    }
}

impl Case {
    fn of(case: &Value) -> Self {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let object = if case["resource"].is_object() { &case["resource"] } else { &case["document"] };
        let is_valid = case["valid"].as_bool().unwrap_or_default();
        Case { id: text("id"), object: object.clone(), refused: (!is_valid).then(|| text("error")) }
    }
}
