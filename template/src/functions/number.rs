//! Functions of whole numbers.

use super::{Table, arguments as arg};
use gotmpl::{Result, Value};

/// Most elements of a list that is counted out.
const MAX_COUNT: i64 = 100_000;

pub(super) const TABLE: Table = &[
    ("int", |a| arg::int(a, 0, "int").map(Value::Int)),
    ("int64", |a| arg::int(a, 0, "int64").map(Value::Int)),
    ("float64", |a| Ok(Value::Float(arg::text(a, 0, "float64")?.parse().unwrap_or_default()))),
    ("add1", |a| Ok(Value::Int(arg::int(a, 0, "add1")?.wrapping_add(1)))),
    ("add", |a| fold(a, i64::wrapping_add)),
    ("mul", |a| fold(a, i64::wrapping_mul)),
    ("sub", |a| fold(a, i64::wrapping_sub)),
    ("min", |a| fold(a, std::cmp::min)),
    ("max", |a| fold(a, std::cmp::max)),
    ("div", |a| divided(a, "div", i64::checked_div)),
    ("mod", |a| divided(a, "mod", i64::checked_rem)),
    ("until", |a| {
        let n = arg::int(a, 0, "until")?;
        if n > MAX_COUNT {
            return Err(arg::error("until", format!("counts further than {MAX_COUNT}")));
        }
        Ok((0..n).map(Value::Int).collect::<Vec<_>>().into())
    }),
];

fn fold(args: &[Value], f: fn(i64, i64) -> i64) -> Result<Value> {
    Ok(Value::Int(args.iter().map(arg::whole).reduce(f).unwrap_or_default()))
}

fn divided(args: &[Value], name: &str, f: fn(i64, i64) -> Option<i64>) -> Result<Value> {
    let result = f(arg::int(args, 0, name)?, arg::int(args, 1, name)?);
    result.map(Value::Int).ok_or_else(|| arg::error(name, "division by zero"))
}
