//! Values against a chart's `values.schema.json`, as far as those schemas go: types and the values that there are. Keys that
//! a schema does not name are free.

use anyhow::{Result, bail};
use serde_json::Value;

/// Checks values as they are given.
///
/// # Errors
/// The first that has a wrong form, by its path.
pub(super) fn check(schema: &Value, values: &Value) -> Result<()> {
    walk(&schema["$defs"]["values"], values, "")
}

fn walk(schema: &Value, value: &Value, path: &str) -> Result<()> {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let words: Vec<String> = allowed.iter().map(Value::to_string).collect();
        bail!("{path} is {value}: {}", words.join(", "));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of(name, value)) {
        bail!("{path} is {value}, and should be of type {}", types.join(" or "));
    }
    let (Some(schemas), Some(values)) = (schema["properties"].as_object(), value.as_object()) else { return Ok(()) };
    for (key, inner) in values {
        if let Some(schema) = schemas.get(key) {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(schema, inner, &path)?;
        }
    }
    Ok(())
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_wrong_type_is_refused_by_its_path_and_an_unknown_key_is_free() {
        let schema = json!({"$defs": {"values": {"type": "object", "properties": {
            "a": {"type": "object", "properties": {"b": {"type": ["integer", "null"]}}}, "c": {"enum": ["x", ""]},
        }}}});
        let said = |values: Value| check(&schema, &values).map_err(|error| error.to_string());
        assert_eq!(said(json!({"a": {"b": 1, "other": []}, "c": "x", "d": {}})), Ok(()));
        assert_eq!(said(json!({"a": {"b": null}})), Ok(()));
        assert_eq!(
            said(json!({"a": {"b": "1"}})),
            Err(r#"a.b is "1", and should be of type integer or null"#.to_owned())
        );
        assert_eq!(said(json!({"c": "y"})), Err(r#"c is "y": "x", """#.to_owned()));
        assert!(said(json!({"a": 1})).is_err());
    }
}
