//! YAML as templates read and write it. What is read has no tags, anchors are followed within bounds, and keys are text.

use serde_json::Value;

/// Reads one YAML document; nothing at all is null.
///
/// # Errors
/// Where its form is wrong.
pub fn read(text: &str) -> Result<Value, String> {
    if text.lines().all(|line| matches!(line.trim_start().as_bytes().first(), None | Some(b'#'))) {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// A value as YAML, with a newline at its end.
///
/// # Errors
/// Never for what JSON can say.
pub fn write(value: &Value) -> Result<String, String> {
    let mut text = serde_saphyr::to_string(value).map_err(|error| error.to_string())?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
