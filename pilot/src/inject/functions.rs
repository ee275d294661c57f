//! Functions of injection templates, besides Helm's.

use super::{mesh::without_defaults, text};
use mesh_template::{Functions, Value, to_json, to_value, yaml};
use serde_json::{Map, Value as Json, json};
use std::{collections::BTreeMap, sync::Arc};

type Result = std::result::Result<Value, String>;

/// Helm's and injection's. `variables` are what `env` reads.
pub(super) fn functions(variables: &BTreeMap<String, String>) -> Functions {
    let variables = variables.clone();
    Functions::helm()
        .with("annotation", |a| {
            let annotation = key(&to_json(argument(a, 0)?)["annotations"], &argument(a, 1)?.to_string());
            Ok(Value::from(annotation.unwrap_or_else(|| plain(a.get(2).unwrap_or(&Value::Nil)))))
        })
        .with("isset", |a| Ok(Value::Bool(to_json(argument(a, 0)?).get(argument(a, 1)?.to_string()).is_some())))
        .with("valueOrDefault", |a| {
            let value = argument(a, 0)?;
            let empty = matches!(value, Value::Nil) || value.as_str() == Some("");
            Ok(if empty { argument(a, 1)? } else { value }.clone())
        })
        .with("index", index)
        .with("excludeInboundPort", exclude_port)
        .with("includeInboundPorts", |a| Ok(Value::from(container_ports(argument(a, 0)?, ""))))
        .with("applicationPorts", |a| Ok(Value::from(container_ports(argument(a, 0)?, text::PROXY))))
        .with("excludeInterfaces", |a| Ok(argument(a, 0)?.clone()))
        .with("kubevirtInterfaces", |a| Ok(argument(a, 0)?.clone()))
        .with("toJSON", json_text)
        .with("structToJSON", json_text)
        .with("protoToJSON", |a| {
            let message = to_json(argument(a, 0)?);
            // Of messages that templates are given, only a ProxyConfig has it.
            let is_config = message.get("discoveryAddress").is_some();
            Ok(Value::from(if is_config { without_defaults(&message) } else { message }.to_string()))
        })
        .with("fromJSON", |a| {
            let text = argument(a, 0)?.to_string();
            serde_json::from_str(&text).map(|json: Json| to_value(&json)).map_err(|error| error.to_string())
        })
        .with("toYaml", |a| yaml::write(&to_json(argument(a, 0)?)).map(Value::from))
        .with("indent", |a| {
            let spaces = usize::try_from(argument(a, 0)?.as_int().unwrap_or(0)).unwrap_or(0).min(1000);
            let text = argument(a, 1)?.to_string();
            Ok(Value::from(text.replace('\n', &format!("\n{}", " ".repeat(spaces)))))
        })
        .with("formatDuration", |a| Ok(argument(a, 0)?.clone()))
        .with("directory", |a| {
            let path = argument(a, 0)?.to_string();
            Ok(Value::from(path.rfind('/').map_or("", |end| &path[..=end])))
        })
        .with("toLower", |a| Ok(Value::from(argument(a, 0)?.to_string().to_lowercase())))
        .with("appendMultusNetwork", append_network)
        .with("env", move |a| {
            let name = argument(a, 0)?.to_string();
            Ok(variables.get(&name).map_or_else(|| a.get(1).cloned().unwrap_or(Value::Nil), |v| v.as_str().into()))
        })
        .with("strdict", |a| {
            let pairs =
                a.chunks(2).map(|pair| (Arc::from(plain(&pair[0])), plain(pair.get(1).unwrap_or(&Value::Nil)).into()));
            Ok(Value::from(pairs.collect::<BTreeMap<Arc<str>, Value>>()))
        })
        .with("mergeMaps", |a| Ok(to_value(&Json::Object(merged(a)))))
        .with("toJsonMap", |a| {
            let sorted: BTreeMap<_, _> = merged(a).into_iter().collect();
            Ok(Value::from(json!(sorted).to_string()))
        })
        .with("omitNil", |a| Ok(to_value(&without_nil(&to_json(argument(a, 0)?)))))
        .with("otelResourceAttributes", otel)
        .with("logFilter", |a| Ok(Value::from(log_filter(&argument(a, 0)?.to_string()))))
}

fn argument(args: &[Value], index: usize) -> std::result::Result<&Value, String> {
    args.get(index).ok_or_else(|| format!("needs more than {} arguments", args.len()))
}

/// Text of a value, nothing as nothing.
fn plain(value: &Value) -> String {
    if matches!(value, Value::Nil) { String::new() } else { value.to_string() }
}

fn key(map: &Json, name: &str) -> Option<String> {
    map.get(name).and_then(Json::as_str).map(str::to_owned)
}

/// As Go's, but a key that is not there is empty text, as it is in Go's maps of text.
fn index(args: &[Value]) -> Result {
    let mut value = argument(args, 0)?.clone();
    for at in &args[1..] {
        value = match (&value, at) {
            (Value::Map(map), key) => map.get(&*plain(key)).cloned().unwrap_or_else(|| "".into()),
            (Value::Nil, _) => "".into(),
            (value, at) => value.index(at).map_err(|error| error.to_string())?,
        };
    }
    Ok(value)
}

fn exclude_port(args: &[Value]) -> Result {
    let (port, list) = (plain(argument(args, 0)?).trim().to_owned(), plain(argument(args, 1)?));
    let known = list.split(',').any(|known| known.trim() == port);
    if port.is_empty() || port == "0" || known {
        return Ok(list.into());
    }
    let ports = list.split(',').map(str::trim).filter(|known| !known.is_empty());
    Ok(Value::from(ports.chain([port.as_str()]).collect::<Vec<_>>().join(",")))
}

fn container_ports(containers: &Value, without: &str) -> String {
    let containers = to_json(containers);
    let ports = containers.as_array().into_iter().flatten().filter(|c| text::name(c) != without);
    let ports = ports.flat_map(|container| text::list(container, "ports"));
    let tcp = ports.filter(|port| matches!(text::at(port, "/protocol"), "" | "TCP"));
    tcp.map(|port| port["containerPort"].to_string()).collect::<Vec<_>>().join(",")
}

fn json_text(args: &[Value]) -> Result {
    let value = to_json(argument(args, 0)?);
    Ok(Value::from(if value.is_null() { "{}".to_owned() } else { value.to_string() }))
}

fn append_network(args: &[Value]) -> Result {
    let (existing, network) = (plain(argument(args, 0)?), plain(argument(args, 1)?));
    if existing.is_empty() {
        return Ok(network.into());
    }
    if existing.trim_start().starts_with('[') {
        let Ok(Json::Array(mut list)) = serde_json::from_str(&existing) else { return Ok(existing.into()) };
        let wanted = match network.split_once('/') {
            Some((namespace, name)) => json!({"name": name, "namespace": namespace}),
            None => json!({"name": network}),
        };
        let known = |element: &Json| ["name", "namespace"].into_iter().all(|key| element.get(key) == wanted.get(key));
        if !list.iter().any(known) {
            list.push(wanted);
        }
        return Ok(Json::Array(list).to_string().into());
    }
    if existing.split(',').any(|known| known.trim() == network) {
        return Ok(existing.into());
    }
    Ok(format!("{existing}, {network}").into())
}

fn merged(args: &[Value]) -> Map<String, Json> {
    let mut all = Map::new();
    for map in args {
        if let Json::Object(map) = to_json(map) {
            all.extend(map);
        }
    }
    all
}

fn without_nil(value: &Json) -> Json {
    let empty = |value: &Json| match value {
        Json::Null => true,
        Json::Object(map) => map.is_empty(),
        Json::Array(list) => list.is_empty(),
        _ => false,
    };
    match value {
        Json::Object(map) => {
            let kept = map.iter().map(|(key, value)| (key.clone(), without_nil(value)));
            Json::Object(kept.filter(|(_, value)| !empty(value)).collect())
        }
        Json::Array(list) => Json::Array(list.iter().map(without_nil).filter(|value| !empty(value)).collect()),
        other => other.clone(),
    }
}

/// Level of our log, from Istio's form: `warning`, or `default:info,xds:debug` of which `default` counts.
pub(super) fn log_filter(said: &str) -> &'static str {
    let pairs: Vec<_> = said.split(',').map(|pair| pair.split_once(':').unwrap_or(("default", pair))).collect();
    let level = pairs.iter().find(|(scope, _)| *scope == "default").map_or("", |(_, level)| *level);
    match level {
        "trace" => "trace",
        "debug" => "debug",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" => "error",
        "none" | "off" => "off",
        _ => "info",
    }
}

/// What OpenTelemetry calls the workload, where a provider asks for that.
fn otel(args: &[Value]) -> Result {
    let [mesh, annotations, labels, namespace, containers] = args else {
        return Err("needs mesh, annotations, labels, namespace and containers".to_owned());
    };
    let mesh = to_json(mesh);
    let wanted = text::list(&mesh, "extensionProviders")
        .iter()
        .any(|provider| provider["opentelemetry"]["serviceAttributeEnrichment"] == "OTEL_SEMANTIC_CONVENTIONS");
    if !wanted {
        return Ok("".into());
    }
    let (annotations, labels, containers) = (to_json(annotations), to_json(labels), to_json(containers));
    let containers = containers.as_array().map(Vec::as_slice).unwrap_or_default();
    let said = |name: &str| key(&annotations, &format!("resource.opentelemetry.io/{name}"));
    let namespace = match plain(namespace) {
        empty if empty.is_empty() => "default".to_owned(),
        name => name,
    };
    let version =
        said("service.version").or_else(|| key(&labels, "app.kubernetes.io/version")).or_else(|| match containers {
            [one] => image_version(text::at(one, "/image")),
            _ => None,
        });
    let first = containers.first().map(text::name).unwrap_or_default();
    let instance = said("service.instance.id").unwrap_or_else(|| format!("{namespace}.$(POD_NAME).{first}"));
    let mut attributes = vec![format!("service.namespace={}", said("service.namespace").unwrap_or(namespace))];
    attributes.extend(version.map(|version| format!("service.version={version}")));
    attributes.push(format!("service.instance.id={instance}"));
    Ok(Value::from(attributes.join(",")))
}

/// Tag, digest, or both, of an image.
fn image_version(image: &str) -> Option<String> {
    let name = image.rsplit('/').next()?;
    let (name, digest) = match name.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (name, None),
    };
    match (name.split_once(':').map(|(_, tag)| tag), digest) {
        (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
        (tag, digest) => tag.or(digest).map(str::to_owned),
    }
}
