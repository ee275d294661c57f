//! `k8s.overlays`: changes of single values of rendered objects. Paths are `a.b`, `a.[key:value].b`, `a.[0]`; `[-1]`
//! appends, `\` takes a dot's meaning, null takes away. Unlike istioctl, a path that leads nowhere is an error.

use crate::chart::object::Object;
use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
    Append,
    /// The item of a list whose field has this value.
    Where(String, String),
}

/// Applies all to the objects.
pub(super) fn apply(objects: &mut [Object], overlays: &Value) -> Result<()> {
    for overlay in overlays.as_array().into_iter().flatten() {
        let (kind, name) = (text(&overlay["kind"]), text(&overlay["name"]));
        let Some(object) = objects.iter_mut().find(|object| object.kind() == kind && object.name() == name) else {
            bail!("overlays: no {kind} {name} is made; what is made is in `meshctl manifest generate`");
        };
        for patch in overlay["patches"].as_array().into_iter().flatten() {
            let path = text(&patch["path"]);
            let about = || format!("overlay of {kind} {name}, path {path}");
            let steps = steps(path).with_context(about)?;
            change(&mut object.0, &steps, &patch["value"]).with_context(about)?;
        }
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn steps(path: &str) -> Result<Vec<Step>> {
    let (mut steps, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for letter in path.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                continue;
            }
            '.' => {
                steps.push(step(&std::mem::take(&mut part))?);
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    steps.push(step(&part)?);
    Ok(steps)
}

fn step(part: &str) -> Result<Step> {
    let Some(inner) = part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return match part.is_empty() {
            true => bail!("a name is missing"),
            false => Ok(Step::Key(part.to_owned())),
        };
    };
    if let Some((key, value)) = inner.split_once(':') {
        return Ok(Step::Where(key.to_owned(), value.to_owned()));
    }
    match inner.parse::<i64>() {
        Ok(-1) => Ok(Step::Append),
        Ok(at) => Ok(Step::At(usize::try_from(at).context("a place in a list is not below -1")?)),
        Err(_) => bail!("[{inner}] is neither a place nor key:value"),
    }
}

fn change(at: &mut Value, steps: &[Step], value: &Value) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else { bail!("the path is empty") };
    match step {
        Step::Key(key) => {
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            let map = at.as_object_mut().with_context(|| format!("{key} is asked of what is no map"))?;
            match (rest.is_empty(), value.is_null()) {
                (true, true) => drop(map.remove(key)),
                (true, false) => drop(map.insert(key.clone(), value.clone())),
                (false, true) if !map.contains_key(key) => bail!("there is no {key}"),
                (false, _) => change(map.entry(key.clone()).or_insert(Value::Null), rest, value)?,
            }
        }
        Step::Append => {
            if at.is_null() {
                *at = Value::Array(Vec::new());
            }
            let list = at.as_array_mut().context("[-1] is asked of what is no list")?;
            match rest.is_empty() {
                true => list.push(value.clone()),
                false => bail!("[-1] is the end of a path"),
            }
        }
        Step::At(_) | Step::Where(..) => {
            let list = at.as_array_mut().context("a place is asked of what is no list")?;
            let place = place(list, step).context("there is no such item")?;
            match (rest.is_empty(), value.is_null()) {
                (true, true) => drop(list.remove(place)),
                (true, false) => list[place] = value.clone(),
                (false, _) => change(&mut list[place], rest, value)?,
            }
        }
    }
    Ok(())
}

fn place(list: &[Value], step: &Step) -> Option<usize> {
    match step {
        Step::At(at) => (*at < list.len()).then_some(*at),
        Step::Where(key, wanted) => list.iter().position(|item| match &item[key.as_str()] {
            Value::String(text) => text == wanted,
            // A number or a word, as it is written.
            other => wanted == &other.to_string(),
        }),
        Step::Key(_) | Step::Append => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(path: &str, value: Value) -> Result<Value> {
        let object = json!({
            "kind": "Deployment", "metadata": {"name": "istiod"},
            "spec": {"containers": [{"name": "discovery", "args": ["a", "b"]}], "labels": {"a.b": "c"}},
        });
        let mut objects = [Object(object)];
        let overlays = json!([{"kind": "Deployment", "name": "istiod", "patches": [{"path": path, "value": value}]}]);
        apply(&mut objects, &overlays)?;
        Ok(objects[0].0["spec"].clone())
    }

    #[test]
    fn paths_lead_to_one_value() {
        let containers = |args: Value| json!([{"name": "discovery", "args": args}]);
        for (path, value, key, want) in [
            ("spec.containers.[name:discovery].args.[1]", json!("z"), "containers", containers(json!(["a", "z"]))),
            ("spec.containers.[0].args.[-1]", json!("c"), "containers", containers(json!(["a", "b", "c"]))),
            ("spec.containers.[name:discovery].args.[0]", Value::Null, "containers", containers(json!(["b"]))),
            (r"spec.labels.a\.b", json!("d"), "labels", json!({"a.b": "d"})),
            ("spec.new.deep", json!(1), "new", json!({"deep": 1})),
            ("spec.labels", Value::Null, "labels", Value::Null),
        ] {
            assert_eq!(changed(path, value).unwrap()[key], want, "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_an_error() {
        for path in
            ["spec.containers.[name:other].x", "spec.containers.[7]", "spec.containers.x", "spec..x", "spec.[x]"]
        {
            assert!(changed(path, json!(1)).is_err(), "{path}");
        }
        let nobody = json!([{"kind": "Service", "name": "x", "patches": []}]);
        assert!(apply(&mut [], &nobody).unwrap_err().to_string().contains("no Service x"));
    }
}
