//! The charts that are part of this command, rendered as Helm renders them. Pure: values in, objects out.
//!
//! [`embedded`]: their files. [`schema`]: which forms values have. [`values`]: values as Helm's command line gives them. [`object`]: an object of a cluster.

mod embedded;
pub(crate) mod object;
mod schema;
pub(crate) mod values;

use anyhow::{Context as _, Result, anyhow};
use mesh_template::{Functions, Templates, Value as Data, to_value};
use object::Object;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chart {
    /// Kinds, and what belongs to no single control plane.
    Base,
    /// The control plane.
    Istiod,
    /// A gateway.
    Gateway,
}

/// What Helm knows of an installation besides values.
#[derive(Debug, Clone)]
pub(crate) struct Release<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    /// Whether it is there already.
    pub(crate) is_upgrade: bool,
}

impl Chart {
    /// All.
    #[cfg(test)]
    const ALL: [Chart; 3] = [Chart::Base, Chart::Istiod, Chart::Gateway];

    /// Name of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Chart::Base => "base",
            Chart::Istiod => "istiod",
            Chart::Gateway => "gateway",
        }
    }

    /// Its files: path in the chart, and text.
    pub(crate) fn files(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_chart = move |(path, text): &(&'static str, &'static str)| {
            Some((path.strip_prefix(self.name())?.strip_prefix('/')?, *text))
        };
        embedded::FILES.iter().filter_map(of_chart)
    }

    /// Its values where nobody gives any, by the names under which they are set.
    pub(crate) fn defaults(self) -> Value {
        let values = object::yaml(self.file("values.yaml")).unwrap_or_default();
        values["_internal_defaults_do_not_set"].clone()
    }

    fn file(self, wanted: &str) -> &'static str {
        self.files().find(|(path, _)| *path == wanted).map_or("", |(_, text)| text)
    }

    /// The objects that it makes of these values, in the order of its files.
    ///
    /// # Errors
    /// What the chart refuses, in its words.
    pub(crate) fn render(self, release: &Release<'_>, values: &Value) -> Result<Vec<Object>> {
        let about = || format!("chart {}", self.name());
        let templates = self.templates().with_context(about)?;
        let data = self.data(release, values).with_context(about)?;
        let mut objects = Vec::new();
        for (path, _) in self.files().filter(|(path, _)| is_rendered(path)) {
            let text = templates.render(path, &data).map_err(|error| anyhow!("{}", error.message));
            objects.extend(object::read(&text?).with_context(|| format!("{}: what {path} made", about()))?);
        }
        Ok(objects)
    }

    fn templates(self) -> Result<Templates> {
        let texts: Vec<(&str, String)> = self
            .files()
            .filter(|(path, _)| path.starts_with("templates/"))
            .map(|(path, text)| (path, called(text)))
            .collect();
        // Nothing is looked up in a cluster: what is there already is seen when the objects are written.
        let functions = Functions::helm().with("lookup", |_| Ok(to_value(&json!({}))));
        let texts = texts.iter().map(|(path, text)| (*path, text.as_str()));
        Ok(Templates::parse(texts, &functions)?)
    }

    fn data(self, release: &Release<'_>, values: &Value) -> Result<Data> {
        let about = object::yaml(self.file("Chart.yaml"))?;
        schema::check(&serde_json::from_str(self.file("values.schema.json"))?, values)?;
        let mut all = object::yaml(self.file("values.yaml"))?;
        values::merge(&mut all, values);
        let data = to_value(&json!({
            "Values": all,
            "Chart": {"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
            "Release": {
                "Name": release.name,
                "Namespace": release.namespace,
                "Service": "meshctl",
                "Revision": 1,
                "IsInstall": !release.is_upgrade,
                "IsUpgrade": release.is_upgrade,
            },
        }));
        let Data::Map(mut data) = data else { unreachable!("made of a JSON object") };
        std::sync::Arc::make_mut(&mut data).insert("Files".into(), self.file_functions());
        Ok(Data::Map(data))
    }

    /// `.Files`: what templates read of the chart's other files.
    fn file_functions(self) -> Data {
        let text_of = |value: Option<&Data>| value.and_then(Data::as_str).unwrap_or_default().to_owned();
        let get = move |arguments: &[Data]| {
            let path = text_of(arguments.first());
            Ok(Data::from(self.file(&path)))
        };
        let glob = move |arguments: &[Data]| {
            let pattern = text_of(arguments.first());
            let (start, end) = pattern.split_once('*').unwrap_or((&pattern, ""));
            let is_meant =
                |path: &str| path.len() >= start.len() + end.len() && path.starts_with(start) && path.ends_with(end);
            let found = self.files().filter(|(path, _)| is_meant(path));
            let found: BTreeMap<std::sync::Arc<str>, Data> =
                found.map(|(path, text)| (path.into(), Data::from(text))).collect();
            Ok(Data::from(found))
        };
        let functions: BTreeMap<std::sync::Arc<str>, Data> = BTreeMap::from([
            ("Get".into(), Data::Function(std::sync::Arc::new(get))),
            ("Glob".into(), Data::Function(std::sync::Arc::new(glob))),
        ]);
        Data::from(functions)
    }
}

/// Whether a file makes objects; the others define what those use.
fn is_rendered(path: &str) -> bool {
    let name = path.strip_prefix("templates/");
    name.is_some_and(|name| !name.starts_with('_') && name.ends_with(".yaml"))
}

/// A template whose methods are values that are functions, which Go calls and the library does not.
fn called(text: &str) -> String {
    text.replace("$.Files.", "call $.Files.")
}

#[cfg(test)]
mod tests;
