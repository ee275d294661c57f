//! Functions of lists.

use super::{Table, arguments as arg};
use gotmpl::{Result, Value};

pub(super) const TABLE: Table = &[
    ("list", |a| Ok(a.to_vec().into())),
    ("first", |a| Ok(arg::list(a, 0, "first")?.first().cloned().unwrap_or(Value::Nil))),
    ("last", |a| Ok(arg::list(a, 0, "last")?.last().cloned().unwrap_or(Value::Nil))),
    ("rest", |a| Ok(arg::list(a, 0, "rest")?.iter().skip(1).cloned().collect::<Vec<_>>().into())),
    ("initial", initial),
    ("append", |a| extended(a, "append", false)),
    ("mustAppend", |a| extended(a, "mustAppend", false)),
    ("push", |a| extended(a, "push", false)),
    ("prepend", |a| extended(a, "prepend", true)),
    ("concat", concat),
    ("has", |a| Ok(Value::Bool(arg::list(a, 1, "has")?.contains(arg::at(a, 0, "has")?)))),
    ("without", without),
    ("uniq", |a| {
        let mut kept: Vec<Value> = Vec::new();
        for value in arg::list(a, 0, "uniq")? {
            if !kept.contains(value) {
                kept.push(value.clone());
            }
        }
        Ok(kept.into())
    }),
    ("compact", |a| {
        Ok(arg::list(a, 0, "compact")?.iter().filter(|v| v.is_truthy()).cloned().collect::<Vec<_>>().into())
    }),
    ("reverse", |a| Ok(arg::list(a, 0, "reverse")?.iter().rev().cloned().collect::<Vec<_>>().into())),
    ("sortAlpha", |a| {
        let mut texts: Vec<_> = arg::list(a, 0, "sortAlpha")?.iter().map(Value::to_string).collect();
        texts.sort();
        Ok(texts.into_iter().map(Value::from).collect::<Vec<_>>().into())
    }),
];

fn initial(args: &[Value]) -> Result<Value> {
    let list = arg::list(args, 0, "initial")?;
    Ok(list[..list.len().saturating_sub(1)].to_vec().into())
}

fn extended(args: &[Value], name: &str, front: bool) -> Result<Value> {
    let mut list = arg::list(args, 0, name)?.to_vec();
    let value = arg::at(args, 1, name)?.clone();
    list.insert(if front { 0 } else { list.len() }, value);
    Ok(list.into())
}

fn concat(args: &[Value]) -> Result<Value> {
    let mut all = Vec::new();
    for index in 0..args.len() {
        all.extend_from_slice(arg::list(args, index, "concat")?);
    }
    Ok(all.into())
}

fn without(args: &[Value]) -> Result<Value> {
    let list = arg::list(args, 0, "without")?.iter();
    Ok(list.filter(|value| !args[1..].contains(value)).cloned().collect::<Vec<_>>().into())
}
