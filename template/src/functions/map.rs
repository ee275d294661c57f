//! Functions of maps. A map never changes: `set`, `unset` and `merge` give another one, which has to be taken.

use super::{
    Table,
    arguments::{self as arg, Map},
};
use gotmpl::{Result, Value};
use std::sync::Arc;

pub(super) const TABLE: Table = &[
    ("dict", dict),
    ("get", |a| {
        let map = arg::map(a, 0, "get")?;
        Ok(map.get(&*arg::text(a, 1, "get")?).cloned().unwrap_or_else(|| Value::from("")))
    }),
    ("hasKey", |a| Ok(Value::Bool(arg::map(a, 0, "hasKey")?.contains_key(&*arg::text(a, 1, "hasKey")?)))),
    ("set", |a| {
        let mut map = Arc::unwrap_or_clone(arg::map(a, 0, "set")?);
        map.insert(arg::text(a, 1, "set")?, arg::at(a, 2, "set")?.clone());
        Ok(Value::from(map))
    }),
    ("unset", |a| {
        let mut map = Arc::unwrap_or_clone(arg::map(a, 0, "unset")?);
        map.remove(&*arg::text(a, 1, "unset")?);
        Ok(Value::from(map))
    }),
    ("keys", |a| {
        let mut keys = Vec::new();
        for index in 0..a.len() {
            keys.extend(arg::map(a, index, "keys")?.keys().cloned().map(Value::from));
        }
        Ok(keys.into())
    }),
    ("values", |a| Ok(arg::map(a, 0, "values")?.values().cloned().collect::<Vec<_>>().into())),
    ("pick", |a| chosen(a, "pick", true)),
    ("omit", |a| chosen(a, "omit", false)),
    ("merge", |a| merged(a, "merge", false)),
    ("mustMerge", |a| merged(a, "mustMerge", false)),
    ("mergeOverwrite", |a| merged(a, "mergeOverwrite", true)),
    ("mustMergeOverwrite", |a| merged(a, "mustMergeOverwrite", true)),
    ("deepCopy", |a| Ok(arg::at(a, 0, "deepCopy")?.clone())),
    ("dig", dig),
];

fn dict(args: &[Value]) -> Result<Value> {
    let mut map = Map::new();
    for (index, pair) in args.chunks(2).enumerate() {
        map.insert(arg::text(args, index * 2, "dict")?, pair.get(1).cloned().unwrap_or_else(|| Value::from("")));
    }
    Ok(Value::from(map))
}

fn chosen(args: &[Value], name: &str, named: bool) -> Result<Value> {
    let map = arg::map(args, 0, name)?;
    let names = (1..args.len()).map(|index| arg::text(args, index, name)).collect::<Result<Vec<_>>>()?;
    let kept = map.iter().filter(|(key, _)| names.contains(key) == named);
    Ok(Value::from(kept.map(|(k, v)| (Arc::clone(k), v.clone())).collect::<Map>()))
}

fn merged(args: &[Value], name: &str, overwrite: bool) -> Result<Value> {
    let mut result = Arc::unwrap_or_clone(arg::map(args, 0, name)?);
    for index in 1..args.len() {
        let from = arg::map(args, index, name)?;
        merge_into(&mut result, &from, overwrite);
    }
    Ok(Value::from(result))
}

/// Nested maps are merged too. Without `overwrite` nothing takes the place of something that is not empty; with it everything
/// does, `null` as well, by which values take defaults away.
fn merge_into(result: &mut Map, from: &Map, overwrite: bool) {
    for (key, value) in from {
        match (result.get_mut(key), value) {
            (Some(Value::Map(inner)), Value::Map(other)) => merge_into(Arc::make_mut(inner), other, overwrite),
            (Some(old), _) if old.is_truthy() && !overwrite => {}
            _ => {
                result.insert(Arc::clone(key), value.clone());
            }
        }
    }
}

/// `dig KEY… DEFAULT MAP`.
fn dig(args: &[Value]) -> Result<Value> {
    let [keys @ .., default, map] = args else {
        return Err(arg::error("dig", "needs a key, a default and a map"));
    };
    let mut at = map;
    for key in keys {
        match at {
            Value::Map(map) if map.contains_key(&*key.to_string()) => at = &map[&*key.to_string()],
            _ => return Ok(default.clone()),
        }
    }
    Ok(at.clone())
}
