//! Functions of text.

use super::{Table, arguments as arg};
use base64::{Engine, prelude::BASE64_STANDARD};
use gotmpl::{Result, Value};

pub(super) const TABLE: Table = &[
    ("trim", |a| one(a, "trim", |s| s.trim().to_owned())),
    ("upper", |a| one(a, "upper", str::to_uppercase)),
    ("lower", |a| one(a, "lower", str::to_lowercase)),
    ("toString", |a| one(a, "toString", str::to_owned)),
    ("nospace", |a| one(a, "nospace", |s| s.split_whitespace().collect())),
    ("trimAll", |a| two(a, "trimAll", |set, s| s.trim_matches(|c| set.contains(c)).to_owned())),
    ("trimSuffix", |a| two(a, "trimSuffix", |end, s| s.strip_suffix(end).unwrap_or(s).to_owned())),
    ("trimPrefix", |a| two(a, "trimPrefix", |start, s| s.strip_prefix(start).unwrap_or(s).to_owned())),
    ("contains", |a| test(a, "contains", |part, s| s.contains(part))),
    ("hasPrefix", |a| test(a, "hasPrefix", |part, s| s.starts_with(part))),
    ("hasSuffix", |a| test(a, "hasSuffix", |part, s| s.ends_with(part))),
    ("quote", |a| arg::bounded("quote", each(a, go_quoted))),
    ("squote", |a| arg::bounded("squote", each(a, |s| format!("'{s}'")))),
    ("cat", |a| arg::bounded("cat", each(a, str::to_owned))),
    ("replace", replace),
    ("trunc", trunc),
    ("repeat", repeat),
    ("indent", |a| indent(a, "indent", "")),
    ("nindent", |a| indent(a, "nindent", "\n")),
    ("join", join),
    ("splitList", split_list),
    ("base", |a| one(a, "base", base)),
    ("dir", |a| one(a, "dir", |s| s.rsplit_once('/').map_or(".", |(dir, _)| dir).to_owned())),
    ("b64enc", |a| one(a, "b64enc", |s| BASE64_STANDARD.encode(s))),
    ("b64dec", b64dec),
];

fn one(args: &[Value], name: &str, f: impl Fn(&str) -> String) -> Result<Value> {
    Ok(Value::from(f(&arg::text(args, 0, name)?)))
}

fn two(args: &[Value], name: &str, f: impl Fn(&str, &str) -> String) -> Result<Value> {
    Ok(Value::from(f(&arg::text(args, 0, name)?, &arg::text(args, 1, name)?)))
}

fn test(args: &[Value], name: &str, f: impl Fn(&str, &str) -> bool) -> Result<Value> {
    Ok(Value::Bool(f(&arg::text(args, 0, name)?, &arg::text(args, 1, name)?)))
}

/// All that is not nil, one by one, with spaces between.
fn each(args: &[Value], f: impl Fn(&str) -> String) -> String {
    let texts = args.iter().filter(|value| !matches!(value, Value::Nil));
    texts.map(|value| f(&value.to_string())).collect::<Vec<_>>().join(" ")
}

/// In double quotes, which YAML and JSON read alike.
fn go_quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn replace(args: &[Value]) -> Result<Value> {
    let (old, new, text) =
        (arg::text(args, 0, "replace")?, arg::text(args, 1, "replace")?, arg::text(args, 2, "replace")?);
    let grown = text.len().saturating_add(text.len().saturating_add(1).saturating_mul(new.len()));
    if grown > 4 * crate::MAX_OUTPUT {
        return Err(arg::error("replace", "makes too much"));
    }
    arg::bounded("replace", text.replace(&*old, &new))
}

/// The first `n` bytes, or with a negative number the last; never half a character.
fn trunc(args: &[Value]) -> Result<Value> {
    let (n, text) = (arg::int(args, 0, "trunc")?, arg::text(args, 1, "trunc")?);
    let len = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    if len >= text.len() {
        return Ok(Value::String(text));
    }
    Ok(Value::from(if n >= 0 {
        &text[..text.floor_char_boundary(len)]
    } else {
        &text[text.ceil_char_boundary(text.len() - len)..]
    }))
}

fn repeat(args: &[Value]) -> Result<Value> {
    let (n, text) = (arg::size(args, 0, "repeat")?, arg::text(args, 1, "repeat")?);
    if n.saturating_mul(text.len()) > crate::MAX_OUTPUT {
        return Err(arg::error("repeat", "makes too much"));
    }
    Ok(Value::from(text.repeat(n)))
}

fn indent(args: &[Value], name: &str, before: &str) -> Result<Value> {
    let (n, text) = (arg::size(args, 0, name)?, arg::text(args, 1, name)?);
    if n.saturating_mul(text.matches('\n').count() + 1) > crate::MAX_OUTPUT {
        return Err(arg::error(name, "makes too much"));
    }
    let space = " ".repeat(n);
    arg::bounded(name, format!("{before}{space}{}", text.replace('\n', &format!("\n{space}"))))
}

fn join(args: &[Value]) -> Result<Value> {
    let between = arg::text(args, 0, "join")?;
    match arg::at(args, 1, "join")? {
        Value::List(list) => {
            let texts = list.iter().filter(|value| !matches!(value, Value::Nil)).map(Value::to_string);
            arg::bounded("join", texts.collect::<Vec<_>>().join(&between))
        }
        Value::Nil => Ok(Value::from("")),
        other => Ok(Value::from(other.to_string())),
    }
}

fn split_list(args: &[Value]) -> Result<Value> {
    let (at, text) = (arg::text(args, 0, "splitList")?, arg::text(args, 1, "splitList")?);
    Ok(text.split(&*at).map(Value::from).collect::<Vec<_>>().into())
}

fn base(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if name.is_empty() { if path.is_empty() { "." } else { "/" } } else { name }.to_owned()
}

fn b64dec(args: &[Value]) -> Result<Value> {
    let bytes = BASE64_STANDARD.decode(&*arg::text(args, 0, "b64dec")?);
    let bytes = bytes.map_err(|error| arg::error("b64dec", error))?;
    String::from_utf8(bytes).map(Value::from).map_err(|_| arg::error("b64dec", "what is encoded is no text"))
}
