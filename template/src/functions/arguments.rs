//! Arguments of functions, as Go's converters read them.

use crate::MAX_OUTPUT;
use gotmpl::{Result, TemplateError, Value};
use std::{collections::BTreeMap, sync::Arc};

/// An error of a function.
pub fn error(function: &str, message: impl std::fmt::Display) -> TemplateError {
    TemplateError::Exec(format!("{function}: {message}"))
}

/// The argument at `index`.
///
/// # Errors
/// There are fewer.
pub fn at<'a>(args: &'a [Value], index: usize, function: &str) -> Result<&'a Value> {
    args.get(index)
        .ok_or_else(|| error(function, format!("needs at least {} arguments, got {}", index + 1, args.len())))
}

/// The argument at `index` as text, whatever it is; nothing is empty.
///
/// # Errors
/// There are fewer.
pub fn text(args: &[Value], index: usize, function: &str) -> Result<Arc<str>> {
    Ok(match at(args, index, function)? {
        Value::String(text) => Arc::clone(text),
        Value::Nil => "".into(),
        other => other.to_string().into(),
    })
}

/// The argument at `index` as a whole number; text is read as one, else it is 0.
///
/// # Errors
/// There are fewer.
pub fn int(args: &[Value], index: usize, function: &str) -> Result<i64> {
    Ok(whole(at(args, index, function)?))
}

/// The argument at `index` as a size that text may have.
///
/// # Errors
/// There are fewer, or it is out of range.
pub fn size(args: &[Value], index: usize, function: &str) -> Result<usize> {
    let n = int(args, index, function)?;
    usize::try_from(n).ok().filter(|n| *n <= MAX_OUTPUT).ok_or_else(|| error(function, format!("{n} is out of range")))
}

/// A value as a whole number, 0 where it is none.
pub fn whole(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        Value::Uint(n) => i64::try_from(*n).unwrap_or(i64::MAX),
        Value::Float(n) => *n as i64,
        Value::Bool(b) => i64::from(*b),
        Value::String(text) => text.parse().unwrap_or_else(|_| text.parse::<f64>().map_or(0, |n| n as i64)),
        _ => 0,
    }
}

/// The argument at `index` as a list.
///
/// # Errors
/// It is none.
pub fn list<'a>(args: &'a [Value], index: usize, function: &str) -> Result<&'a [Value]> {
    match at(args, index, function)? {
        Value::List(list) => Ok(list),
        Value::Nil => Ok(&[]),
        other => Err(error(function, format!("argument {} is no list but {}", index + 1, other.type_name()))),
    }
}

/// A map.
pub type Map = BTreeMap<Arc<str>, Value>;

/// The argument at `index` as a map; nothing is an empty one.
///
/// # Errors
/// It is none.
pub fn map(args: &[Value], index: usize, function: &str) -> Result<Arc<Map>> {
    match at(args, index, function)? {
        Value::Map(map) => Ok(Arc::clone(map)),
        Value::Nil => Ok(Arc::default()),
        other => Err(error(function, format!("argument {} is no map but {}", index + 1, other.type_name()))),
    }
}

/// Text that is not longer than a rendering may be.
///
/// # Errors
/// It is.
pub fn bounded(function: &str, text: String) -> Result<Value> {
    if text.len() > MAX_OUTPUT {
        return Err(error(function, format!("makes more than {MAX_OUTPUT} bytes")));
    }
    Ok(Value::from(text))
}
