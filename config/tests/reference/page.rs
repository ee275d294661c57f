//! The pages of the reference: a page a kind, a table a message.

use mesh_config::crd::form::{Fact, Field, Form, Holds};
use std::fmt::Write as _;

/// Everything about the fields of something.
pub(crate) fn of(name: &str, head: &str, is_inert: bool, form: &'static Form, at: &str) -> String {
    let mut page = format!("# {name}\n\n{head} What the marks mean stands in [the list of kinds](README.md).\n");
    if is_inert {
        page.push_str("\n**No effect yet:** this is checked, and a finding says that nothing acts on it.\n");
    }
    // Messages that stand in several places are told about where they stand first.
    let mut told: Vec<(*const Form, String)> = Vec::new();
    message(&mut page, form, at, false, &mut told);
    page
}

fn words(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn message(page: &mut String, form: &'static Form, path: &str, inert: bool, told: &mut Vec<(*const Form, String)>) {
    if form.fields.is_empty() || told.iter().any(|(known, _)| std::ptr::eq(*known, form)) {
        return;
    }
    told.push((form, path.to_owned()));
    let title = if path.is_empty() { "Fields" } else { path };
    let _ = write!(page, "\n## {title}\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for field in form.fields {
        row(page, field, inert);
    }
    let together: Vec<String> = form.together.iter().filter_map(rule).collect();
    if !together.is_empty() {
        let _ = write!(page, "\nTogether: {}.\n", together.join("; "));
    }
    for field in form.fields {
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        if let Some((inner, suffix)) = inner(field.holds) {
            let path = format!("{path}{suffix}");
            match told.iter().find(|(known, _)| std::ptr::eq(*known, inner)) {
                Some((_, at)) if *at != path => {
                    let _ = write!(page, "\n## {path}\n\nAs `{at}`.\n");
                }
                _ => message(page, inner, &path, inert || field.inert().is_some(), told),
            }
        }
    }
}

/// The message that values of a field are or hold.
pub(crate) fn inner(holds: Holds) -> Option<(&'static Form, String)> {
    match holds {
        Holds::Of(form) => Some((form, String::new())),
        Holds::List(of) => inner(*of).map(|(form, suffix)| (form, format!("[]{suffix}"))),
        Holds::Map(of) => inner(*of).map(|(form, suffix)| (form, format!(".*{suffix}"))),
        _ => None,
    }
}

fn row(page: &mut String, field: &Field, inert: bool) {
    let default = field.facts.iter().find_map(|fact| match fact {
        Fact::Default(text) => Some(format!("`{text}`")),
        Fact::Required => Some("required".to_owned()),
        _ => None,
    });
    let mut meaning = field.text.to_owned();
    let limits: Vec<String> = field.facts.iter().filter_map(rule).collect();
    if !limits.is_empty() {
        let _ = write!(meaning, " Limits: {}.", limits.join("; "));
    }
    match field.inert() {
        Some("") => meaning.push_str(" **No effect yet.**"),
        Some(instead) => {
            let _ = write!(meaning, " **No effect yet:** {instead}.");
        }
        None if field.is_injected() => meaning.push_str(" Acts on pods that are injected after it is set."),
        None if inert => meaning.push_str(" **No effect yet.**"),
        None => {}
    }
    let kind = type_of(field.holds).replace('|', "\\|");
    let meaning = meaning.replace('|', "\\|");
    let _ = writeln!(page, "| `{}` | {kind} | {} | {meaning} |", field.name, default.unwrap_or_default());
}

fn type_of(holds: Holds) -> String {
    match holds {
        Holds::Text | Holds::Judged(_) => "text".into(),
        Holds::Filled => "text, not empty".into(),
        Holds::Bool => "`true` or `false`".into(),
        Holds::Whole(0, most) if most >= i64::from(u32::MAX) => "whole number, at least 0".into(),
        Holds::Whole(least, most) if most >= i64::from(i32::MAX) && least <= i64::from(i32::MIN) => {
            "whole number".into()
        }
        Holds::Whole(least, most) if most >= i64::from(i32::MAX) => format!("whole number, at least {least}"),
        Holds::Whole(least, most) => format!("whole number, {least} to {most}"),
        Holds::Number(least, most) if least == f64::MIN || most == f64::MAX => "number".into(),
        Holds::Number(least, most) => format!("number, {least} to {most}"),
        Holds::Port => "port".into(),
        Holds::Span => "time span, at least `1ms`".into(),
        Holds::SpanOrZero => "time span".into(),
        Holds::Word(words) => {
            let words: Vec<String> = words.iter().filter(|w| !w.is_empty()).map(|w| format!("`{w}`")).collect();
            words.join(", ")
        }
        Holds::Labels => "labels".into(),
        Holds::List(of) => format!("list: {}", type_of(*of)),
        Holds::Map(of) => format!("map: {}", type_of(*of)),
        Holds::Of(_) => "message".into(),
        Holds::Struct => "any map".into(),
        Holds::IntOrString => "whole number or text".into(),
        Holds::Any => "any value".into(),
    }
}

/// What an API server holds a value to, in words.
fn rule(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Required
        | Fact::Default(_)
        | Fact::Inert(_)
        | Fact::Injected
        | Fact::Signed
        | Fact::Nullable
        | Fact::Strict
        | Fact::Forbidden => return None,
        Fact::Distinct => "no entry twice".into(),
        Fact::Least(number) => format!("at least {number}"),
        Fact::Most(number) => format!("at most {number}"),
        Fact::LeastLength(length) => format!("at least {length} characters"),
        Fact::MostLength(length) => format!("at most {length} characters"),
        Fact::Pattern(pattern) => format!("matches `{pattern}`"),
        Fact::LeastEntries(count) => format!("at least {count} entries"),
        Fact::MostEntries(count) => format!("at most {count} entries"),
        Fact::Each(facts) => {
            let each: Vec<String> = facts.iter().filter_map(rule).collect();
            format!("each {}", each.join(", "))
        }
        Fact::KeyedBy(name) => format!("no two with one `{name}`"),
        // The type says it.
        Fact::Rule(_, message) if message.starts_with("must be a valid duration") => return None,
        Fact::Rule(_, message) => (*message).to_owned(),
        Fact::OneOf(names) => format!("at most one of {}", words(names)),
    })
}
