//! Reading an object's fields: typed getters that know their path and report instead of failing at once.
//!
//! [`Fields`] is a cursor over a map, [`Item`] over any value. Every getter marks its field as read; what is left
//! over at the end is reported as unknown, so a field is read, named as not acted on, or an error: never ignored
//! in silence. A getter that returns nothing for a field that is there has recorded an error, and an object
//! with any error is dropped whole, unless all of them are about entries that can be left out ([`Item::apart`]). As in protobuf's JSON, numbers may be texts; `null` is an absent field.

mod names;
mod report;
mod scalar;
mod similar;

pub(super) use report::REFUSED;
pub use report::Report;
pub use scalar::IntOrString;

use super::node::{Node, Place, Value};
use crate::diagnostic::{ObjectRef, Severity};
use crate::model::Labels;
use names::{is_called, join};
use std::sync::Arc;

/// A value at its path.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    node: &'a Node,
    path: String,
    report: &'a Report,
}

impl<'a> Item<'a> {
    /// A value at its path.
    pub fn new(node: &'a Node, path: impl Into<String>, report: &'a Report) -> Self {
        Item { node, path: path.into(), report }
    }

    /// As written.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// E.g. `spec.http[0].timeout`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports the value as wrong (code `invalid-field`). Always `None`, for the end of a getter.
    pub fn invalid<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.add(Severity::Error, "invalid-field", (&self.path, self.node.place()), message);
        None
    }

    /// Reports the value as well-formed, and the object as not served because of it (code `field-not-served`): for
    /// fields that would change who reaches what if they were passed over. Always `None`.
    pub fn not_served<T>(&self, what: impl Into<String>) -> Option<T> {
        let message =
            format!("{} is not served yet, and would change the object's meaning if passed over", what.into());
        self.report.add(Severity::Error, "field-not-served", (&self.path, self.node.place()), message);
        None
    }

    /// Reports the value as one that must not be written, without an effect on what is in force (code
    /// `refused-by-validation`).
    pub fn refuse(&self, message: impl Into<String>) {
        self.warn(REFUSED, message);
    }

    /// An entry of a list that is read by itself: what is wrong with it is an error, and takes the entry out of force
    /// alone. `None` then.
    pub fn apart<T>(&self, read: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        let before = self.report.about_all();
        let value = read(self);
        let own = self.report.about_all() - before;
        self.report.set_apart(own);
        value.filter(|_| own == 0)
    }

    /// Looks at a value that nothing acts on: what is wrong with it is refused when it is written, and leaves the
    /// object that holds it in force.
    pub fn leniently(&self, look: impl FnOnce(&Self)) {
        let before = self.report.lenient.replace(true);
        look(self);
        self.report.lenient.set(before);
    }

    /// How many errors the whole object has so far.
    pub fn errors(&self) -> usize {
        self.report.errors()
    }

    /// Reports something of note about the value.
    pub fn warn(&self, code: &'static str, message: impl Into<String>) {
        self.report.add(Severity::Warning, code, (&self.path, self.node.place()), message);
    }

    /// Reports the value as well-formed and without effect yet (code `field-not-acted-on`).
    pub fn not_acted_on(&self, instead: &str) {
        let name = self.path.rsplit('.').next().unwrap_or(&self.path);
        let dot = if instead.is_empty() { "" } else { ": " };
        self.warn("field-not-acted-on", format!("{name} is not acted on yet{dot}{instead}"));
    }

    /// The map's fields go through `read`; those it leaves over are then reported as unknown, unless it has
    /// reported errors and returns nothing.
    pub fn object<T>(&self, read: impl FnOnce(&mut Fields<'a>) -> Option<T>) -> Option<T> {
        let Value::Map(entries) = &self.node.value else {
            return self.invalid(format!("must be a map, not {}", self.node.describe()));
        };
        let mut fields = Fields {
            entries,
            seen: vec![false; entries.len()],
            known: Vec::new(),
            place: self.node.place(),
            path: self.path.clone(),
            report: self.report,
        };
        let errors = self.report.errors();
        let value = read(&mut fields);
        if value.is_some() || self.report.errors() == errors {
            fields.finish();
        }
        value
    }

    /// A value that was read out of this one's text, at the same path. Its lines are counted within that text.
    pub fn embedded<'b>(&self, node: &'b Node) -> Item<'b>
    where
        'a: 'b,
    {
        Item { node, path: self.path.clone(), report: self.report }
    }

    /// Each entry of a list through `read`. Entries for which it returns nothing are left out.
    pub fn list<T>(&self, mut read: impl FnMut(Item<'a>) -> Option<T>) -> Vec<T> {
        let Value::Seq(items) = &self.node.value else {
            self.invalid::<()>(format!("must be a list, not {}", self.node.describe()));
            return Vec::new();
        };
        let item = |(i, node)| Item { node, path: format!("{}[{i}]", self.path), report: self.report };
        items.iter().enumerate().filter_map(|entry| read(item(entry))).collect()
    }

    /// Each entry of a map with free keys through `read`.
    pub fn map<T>(&self, mut read: impl FnMut(&'a str, Item<'a>) -> Option<T>) -> Vec<T> {
        let Value::Map(entries) = &self.node.value else {
            self.invalid::<()>(format!("must be a map, not {}", self.node.describe()));
            return Vec::new();
        };
        let item = |key: &str, node| Item { node, path: join(&self.path, key), report: self.report };
        entries.iter().filter_map(|(key, node)| read(key, item(key, node))).collect()
    }
}

/// A cursor over a map's fields.
#[derive(Debug)]
pub struct Fields<'a> {
    entries: &'a [(String, Node)],
    seen: Vec<bool>,
    known: Vec<&'static str>,
    place: Place,
    path: String,
    report: &'a Report,
}

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    pub fn item(&mut self, name: &'static str) -> Option<Item<'a>> {
        self.known.push(name);
        let place = self.entries.iter().position(|(key, _)| is_called(key, name))?;
        self.seen[place] = true;
        if self.entries[place].0 != name {
            let (key, node) = &self.entries[place];
            let message = format!("is called {name} in objects: an API server drops {key}");
            self.report.add(Severity::Warning, "protobuf-name", (&join(&self.path, key), node.key_place()), message);
        }
        let node = &self.entries[place].1;
        let item = || Item { node, path: join(&self.path, name), report: self.report };
        (node.value != Value::Null).then(item)
    }

    /// A field that must be there (code `missing-field`). One that is nearly called so is named too.
    pub fn required(&mut self, name: &'static str) -> Option<Item<'a>> {
        let item = self.item(name);
        if item.is_none() {
            self.report_slips(&[name]);
            let message = format!("{name} is required");
            self.report.add(Severity::Error, "missing-field", (&join(&self.path, name), self.place), message);
        }
        item
    }

    /// A field as it is written; does not mark it as read.
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, _)| is_called(key, name)).map(|(_, node)| node)
    }

    /// Whether a field is there and not null; does not mark it as read.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, node)| is_called(key, name) && node.value != Value::Null)
    }

    /// E.g. `spec.http[0]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports this map as wrong (code `invalid-field`). Always `None`.
    pub fn invalid<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.add(Severity::Error, "invalid-field", (&self.path, self.place), message);
        None
    }

    /// Reports this map as one that must not be written; see [`Item::refuse`].
    pub fn refuse(&self, message: impl Into<String>) {
        self.warn(REFUSED, message);
    }

    /// Reports something of note about this map.
    pub fn warn(&self, code: &'static str, message: impl Into<String>) {
        self.report.add(Severity::Warning, code, (&self.path, self.place), message);
    }

    /// Reports what is good to know about this map.
    pub fn info(&self, code: &'static str, message: impl Into<String>) {
        self.report.add(Severity::Info, code, (&self.path, self.place), message);
    }

    /// How many errors the whole object has so far.
    pub fn errors(&self) -> usize {
        self.report.errors()
    }

    /// Reads fields, and reports those that are there as not served; see [`Item::not_served`].
    pub fn not_served(&mut self, names: &[&'static str]) {
        for name in names {
            if let Some(item) = self.item(name) {
                item.not_served::<()>(*name);
            }
        }
    }

    /// Marks fields as read that say nothing to this mesh by their meaning (status, deprecated without effect).
    pub fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            self.item(name);
        }
    }

    /// Marks everything as read: for foreign objects of which few fields matter.
    pub fn ignore_rest(&mut self) {
        self.seen.fill(true);
    }

    /// A text that must be there.
    pub fn string(&mut self, name: &'static str) -> Option<Arc<str>> {
        self.required(name)?.string()
    }

    /// A text.
    pub fn opt_string(&mut self, name: &'static str) -> Option<Arc<str>> {
        self.item(name)?.string()
    }

    /// A truth value.
    pub fn bool(&mut self, name: &'static str) -> Option<bool> {
        self.item(name)?.bool()
    }

    /// A whole number from 0.
    pub fn u32(&mut self, name: &'static str) -> Option<u32> {
        self.item(name)?.u32()
    }

    /// A number or a text, as Kubernetes has for target ports.
    pub fn int_or_string(&mut self, name: &'static str) -> Option<IntOrString> {
        self.item(name)?.int_or_string()
    }

    /// A port, 1 to 65535.
    pub fn port(&mut self, name: &'static str) -> Option<crate::name::Port> {
        self.item(name)?.port()
    }

    /// A time span as Go writes it: `1.5s`, `100ms`, `1h30m`.
    pub fn duration(&mut self, name: &'static str) -> Option<std::time::Duration> {
        self.item(name)?.duration()
    }

    /// One of these words.
    pub fn enum_of<T: Clone>(&mut self, name: &'static str, values: &[(&str, T)]) -> Option<T> {
        self.item(name)?.enum_of(values)
    }

    /// A map of fields, when it is there; see [`Item::object`].
    pub fn object<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Fields<'a>) -> Option<T>) -> Option<T> {
        self.item(name)?.object(read)
    }

    /// A list; absent is empty.
    pub fn list<T>(&mut self, name: &'static str, read: impl FnMut(Item<'a>) -> Option<T>) -> Vec<T> {
        self.item(name).map(|item| item.list(read)).unwrap_or_default()
    }

    /// A list of maps of fields; absent is empty.
    pub fn objects<T>(&mut self, name: &'static str, mut read: impl FnMut(&mut Fields<'a>) -> Option<T>) -> Vec<T> {
        self.list(name, |item| item.object(&mut read))
    }

    /// As [`Self::objects`], with entries that are read [apart](Item::apart).
    pub fn objects_apart<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Fields<'a>) -> Option<T>,
    ) -> Vec<T> {
        self.list(name, |item| item.apart(|item| item.object(&mut read)))
    }

    /// A list of texts; absent is empty.
    pub fn strings(&mut self, name: &'static str) -> Vec<Arc<str>> {
        self.list(name, |item| item.string())
    }

    /// A map with free keys; absent is empty.
    pub fn map<T>(&mut self, name: &'static str, read: impl FnMut(&'a str, Item<'a>) -> Option<T>) -> Vec<T> {
        self.item(name).map(|item| item.map(read)).unwrap_or_default()
    }

    /// A map of texts; absent is empty.
    pub fn string_map(&mut self, name: &'static str) -> Vec<(Arc<str>, Arc<str>)> {
        self.map(name, |key, item| Some((Arc::from(key), item.string()?)))
    }

    /// Labels; absent is empty.
    pub fn labels(&mut self, name: &'static str) -> Labels {
        self.string_map(name).into_iter().collect()
    }

    /// Labels to select by: values are at most 63 bytes, nothing holds `*`; absent is empty.
    pub fn selector(&mut self, name: &'static str) -> Labels {
        let checked = |key: &str, item: Item<'a>| {
            let value = item.string()?;
            if key.is_empty() || key.contains('*') || value.contains('*') {
                return item.invalid("the labels of a selector must not be empty or contain wildcards");
            }
            if value.len() > 63 {
                return item.invalid("a label's value is at most 63 bytes long");
            }
            Some((Arc::<str>::from(key), value))
        };
        self.map(name, checked).into_iter().collect()
    }

    /// Reports that one of `names`, none of which is there, must be, and fields that are nearly called so: a slip is
    /// better named than called missing. Always `None`, for the end of a getter.
    pub fn one_is_required<T>(&mut self, names: &[&'static str], message: impl Into<String>) -> Option<T> {
        self.report_slips(names);
        self.invalid(message)
    }

    /// Reports unread fields that are nearly called like one of `names`, and marks them as read.
    fn report_slips(&mut self, names: &[&'static str]) {
        // A map with more fields than that is no slip of the pen.
        for (entry, seen) in self.entries.iter().zip(&mut self.seen).take(1000) {
            if *seen || names.contains(&entry.0.as_str()) {
                continue;
            }
            if let Some(near) = similar::nearest(&entry.0, names) {
                *seen = true;
                report_unknown(self.report, &self.path, entry, Some(near), Severity::Error);
            }
        }
    }

    /// Reports the fields that nobody read (code `unknown-field`).
    pub fn finish(&mut self) {
        self.report_unread(Severity::Error);
    }

    /// As [`Self::finish`], for objects that are worth more than one unknown field: warnings, which keep them.
    pub fn finish_leniently(&mut self) {
        self.report_unread(Severity::Warning);
    }

    fn report_unread(&mut self, severity: Severity) {
        for (entry, seen) in self.entries.iter().zip(&mut self.seen) {
            if std::mem::replace(seen, true) {
                continue;
            }
            // Nobody reads what is beyond the findings that are listed, and looking for a near name takes time.
            let near = if self.report.is_full() { None } else { similar::nearest(&entry.0, &self.known) };
            report_unknown(self.report, &self.path, entry, near, severity);
        }
    }
}

fn report_unknown(report: &Report, path: &str, (name, node): &(String, Node), near: Option<&str>, severity: Severity) {
    let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let message = format!("there is no field {name:?} here{hint}");
    report.add(severity, "unknown-field", (&join(path, name), node.key_place()), message);
}

/// What a selector selects by: the labels under `key`. `None`: there are none, or they cannot be read.
pub fn selector_of(selector: &Node, key: &'static str) -> Option<Labels> {
    let nobody = ObjectRef { kind: "".into(), namespace: "".into(), name: "".into() };
    let report = Report::new(nobody, "".into());
    let labels = Item::new(selector, "", &report).object(|f| Some(f.selector(key)))?;
    (report.errors() == 0 && !labels.is_empty()).then_some(labels)
}

#[cfg(test)]
mod tests;
