//! Values as they are given: files, and `PATH=VALUE` of the command line in Helm's form, whose paths, lists and escapes
//! are istioctl's too.

use anyhow::{Result, bail};
use serde_json::{Map, Value};

/// Longest list that an index makes.
const MAX_INDEX: usize = 1024;

/// What is text whatever it looks like, and the map whose values are: a tag may be a number.
const TEXTS: [&str; 4] = ["tag", "compatibilityVersion", "values.global.tag", "values.compatibilityVersion"];
const VARIABLES: &str = "meshConfig.defaultConfig.proxyMetadata.";

/// Puts one tree over another: maps at every depth, everything else as a whole.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(key) {
                    Some(there) if there.is_object() && value.is_object() => merge(there, value),
                    _ => {
                        into.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
}

/// Sets what `PATH=VALUE,PATH=VALUE` says; `a.b[0].c`, `{x,y}` is a list, `\` takes the meaning of the next letter. What stands
/// behind a comma and assigns nothing is still of the value, as istioctl had it: a list of ranges is one text.
///
/// # Errors
/// Where it is not of this form.
pub(crate) fn set(values: &mut Value, text: &str) -> Result<()> {
    let mut assignments: Vec<String> = Vec::new();
    for part in split(text, ',') {
        match assignments.last_mut() {
            Some(last) if cut(&part, '=').is_none() => {
                last.push(',');
                last.push_str(&part);
            }
            _ => assignments.push(part),
        }
    }
    for assignment in assignments {
        let Some((path, value)) = cut(&assignment, '=') else {
            bail!("--set {assignment}: write PATH=VALUE");
        };
        let steps = steps(&path)?;
        let is_text = TEXTS.contains(&&*path) || path.starts_with(VARIABLES);
        put(values, &steps, if is_text { Value::String(plain(&value)) } else { typed(&value) });
    }
    Ok(())
}

/// Split at a letter outside of braces and not behind a backslash; backslashes stay.
fn split(text: &str, at: char) -> Vec<String> {
    let (mut parts, mut depth, mut escaped) = (vec![String::new()], 0_usize, false);
    for letter in text.chars() {
        let last = parts.last_mut().expect("one is there from the beginning");
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if letter == at && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        last.push(letter);
    }
    parts
}

fn cut(text: &str, at: char) -> Option<(String, String)> {
    let mut parts = split(text, at).into_iter();
    let first = parts.next()?;
    let rest: Vec<String> = parts.collect();
    (!rest.is_empty()).then(|| (first, rest.join(&at.to_string())))
}

fn plain(text: &str) -> String {
    let mut letters = text.chars();
    let mut out = String::new();
    while let Some(letter) = letters.next() {
        out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    out
}

fn steps(path: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for part in split(path, '.') {
        let (key, indices) = part.split_once('[').map_or((part.as_str(), None), |(key, rest)| (key, Some(rest)));
        if !key.is_empty() {
            steps.push(Step::Key(plain(key)));
        }
        for index in indices.into_iter().flat_map(|rest| rest.split('[')) {
            let number = index.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
            match number.filter(|number| *number < MAX_INDEX) {
                Some(number) => steps.push(Step::At(number)),
                None => bail!("--set {path}: [{index} is no place in a list"),
            }
        }
        if key.is_empty() && indices.is_none() {
            bail!("--set {path}: a name is missing");
        }
    }
    Ok(steps)
}

/// `true`, `false`, `null` and whole numbers are what they say; a list stands in braces.
fn typed(text: &str) -> Value {
    if let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let items = split(inner, ',').into_iter().filter(|_| !inner.is_empty());
        return items.map(|item| typed(item.trim())).collect();
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        "0" => Value::from(0),
        // A leading zero is kept: such text is no number.
        text if !text.starts_with('0') && text.parse::<i64>().is_ok() => {
            Value::from(text.parse::<i64>().unwrap_or_default())
        }
        text => Value::String(plain(text)),
    }
}

fn put(into: &mut Value, steps: &[Step], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *into = value;
        return;
    };
    match step {
        Step::Key(key) => {
            if !into.is_object() {
                *into = Value::Object(Map::new());
            }
            put(&mut into[key.as_str()], rest, value);
        }
        Step::At(index) => {
            if !into.is_array() {
                *into = Value::Array(Vec::new());
            }
            let list = into.as_array_mut().expect("it was made one");
            if list.len() <= *index {
                list.resize(index + 1, Value::Null);
            }
            put(&mut list[*index], rest, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(texts: &[&str]) -> Value {
        let mut values = json!({});
        texts.iter().for_each(|text| set(&mut values, text).unwrap());
        values
    }

    #[test]
    fn paths_lists_types_and_escapes_are_helms() {
        assert_eq!(
            of(&["a.b=1,a.c=x", "l={p,2},m[1].n=true", r"d\.e.f=\,", "z=007", "n=null", "e=", r"s=a\=b=c"]),
            json!({
                "a": {"b": 1, "c": "x"}, "l": ["p", 2], "m": [null, {"n": true}], "d.e": {"f": ","}, "z": "007", "n": null,
                "e": "", "s": "a=b=c",
            })
        );
        assert_eq!(of(&["r=10.0.0.0/8,192.168.0.0/16,n=1"]), json!({"r": "10.0.0.0/8,192.168.0.0/16", "n": 1}));
        let mut values = json!({});
        assert_eq!(set(&mut values, "a").unwrap_err().to_string(), "--set a: write PATH=VALUE");
        assert!(set(&mut values, "a[9999999]=1").is_err());
        assert!(set(&mut values, "a..b=1").is_err());
    }

    #[test]
    fn maps_are_merged_and_the_rest_is_replaced() {
        let mut values = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        merge(&mut values, &json!({"a": {"c": [3]}, "d": {"e": null}}));
        assert_eq!(values, json!({"a": {"b": 1, "c": [3]}, "d": {"e": null}}));
    }
}
