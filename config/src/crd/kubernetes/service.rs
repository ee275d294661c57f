//! Service: a name, its ports, and which pods stand behind it.

use crate::{
    crd::{
        Object, ObjectMeta, ParseContext,
        reader::{Fields, IntOrString, Item},
    },
    model::{Labels, Precedence, Protocol, Visibility, service::ServicePort},
    name::{Host, NameError, Port},
};
use std::{net::IpAddr, sync::Arc};

const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// A Kubernetes Service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The object's metadata.
    pub meta: ObjectMeta,
    /// Which wins where two name one host.
    pub precedence: Precedence,
    /// `NAME.NAMESPACE.svc.DOMAIN`.
    pub host: Host,
    /// How it is reached.
    pub kind: ServiceKind,
    /// In order; numbers are unique.
    pub ports: Vec<KubePort>,
    /// Labels of its pods; empty: its endpoints are written by hand.
    pub selector: Labels,
    /// The namespaces whose clients see it (annotation `networking.istio.io/exportTo`), as written; see
    /// [`Service::visibility`].
    pub export_to: Option<Vec<Arc<str>>>,
    /// Endpoints that are not ready count too.
    pub publish_not_ready: bool,
    /// Clients reach endpoints of their own node alone (`internalTrafficPolicy: Local`).
    pub node_local: bool,
    /// Addresses and names by which it is reached from outside: what the load balancer has given it, then `externalIPs`.
    pub outside: Vec<Arc<str>>,
}

impl Service {
    /// Which clients see it; `default` is what MeshConfig says for those that say nothing.
    pub fn visibility(&self, default: &[Arc<str>]) -> Visibility {
        Visibility::named(self.export_to.as_deref().unwrap_or(default), &self.meta.namespace)
    }
}

/// How a Service is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// At these addresses; none yet where the cluster has not given any.
    Cluster(Vec<IpAddr>),
    /// `clusterIP: None`: at the addresses of its pods.
    Headless,
    /// Another name for this host.
    ExternalName(Host),
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubePort {
    /// Number, name, protocol.
    pub port: ServicePort,
    /// Where pods listen.
    pub target: TargetPort,
}

/// Where pods listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// This port.
    Number(Port),
    /// The container port of this name.
    Name(Arc<str>),
}

pub(super) fn parse(object: &Object, f: &mut Fields<'_>, context: &ParseContext) -> Option<Service> {
    let host = format!("{}.{}.svc.{}", object.meta.name, object.meta.namespace, context.cluster_domain);
    let host = host.parse().or_else(|e: NameError| f.invalid(e.to_string()).ok_or(())).ok()?;
    let mut outside = balanced(f);
    f.required("spec")?.object(|f| {
        f.ignore_rest();
        outside.extend(f.strings("externalIPs"));
        distribution(object, f);
        Some(Service {
            meta: object.meta.clone(),
            precedence: object.precedence(),
            host,
            kind: kind(f)?,
            ports: ports(f),
            selector: f.labels("selector"),
            export_to: export_to(object),
            publish_not_ready: f.bool("publishNotReadyAddresses").unwrap_or(false),
            node_local: f.opt_string("internalTrafficPolicy").as_deref() == Some("Local"),
            outside,
        })
    })
}

/// Where a load balancer has it: by address, or by name where it has none.
fn balanced(f: &mut Fields<'_>) -> Vec<Arc<str>> {
    let point = |f: &mut Fields<'_>| {
        f.ignore_rest();
        let filled = |text: &Arc<str>| !text.is_empty();
        f.opt_string("ip").filter(filled).or_else(|| f.opt_string("hostname").filter(filled))
    };
    let of_balancer = |f: &mut Fields<'_>| {
        f.ignore_rest();
        Some(f.objects("ingress", point))
    };
    let of_status = |f: &mut Fields<'_>| {
        f.ignore_rest();
        f.object("loadBalancer", of_balancer)
    };
    f.object("status", of_status).unwrap_or_default()
}

/// Preferring endpoints that are near needs failing over to others, which is not there.
fn distribution(object: &Object, f: &mut Fields<'_>) {
    const EVERYWHERE: &str = "requests go to endpoints wherever they are";
    if let Some(item) = f.item("trafficDistribution") {
        item.not_acted_on(EVERYWHERE);
    }
    let near = |wish: &&Arc<str>| ["PreferClose", "PreferSameZone", "PreferSameNode"].contains(&wish.trim());
    if let Some(wish) = object.meta.annotations.get(DISTRIBUTION).filter(near) {
        f.warn("field-not-acted-on", format!("annotation {DISTRIBUTION}: {wish} is not acted on yet; {EVERYWHERE}"));
    }
}

fn kind(f: &mut Fields<'_>) -> Option<ServiceKind> {
    if f.opt_string("type").as_deref() == Some("ExternalName") {
        return f.required("externalName")?.host().map(ServiceKind::ExternalName);
    }
    let mut addresses = f.list("clusterIPs", |item| Some((item.string()?, item)));
    if addresses.is_empty() {
        addresses.extend(f.item("clusterIP").and_then(|item| Some((item.string()?, item))));
    }
    if addresses.iter().any(|(text, _)| &**text == "None") {
        return Some(ServiceKind::Headless);
    }
    let address = |(text, item): (Arc<str>, Item<'_>)| match text.parse() {
        Ok(address) => Some(address),
        Err(_) if text.is_empty() => None,
        Err(_) => item.invalid(format!("{text:.60?} is not an address")),
    };
    Some(ServiceKind::Cluster(addresses.into_iter().filter_map(address).collect()))
}

fn ports(f: &mut Fields<'_>) -> Vec<KubePort> {
    let mut ports: Vec<KubePort> = Vec::new();
    for (found, item) in f.list("ports", |item| Some((item.object(port)?, item))) {
        match ports.iter().any(|known| known.port.number == found.port.number) {
            // One number may be given for TCP and UDP; TCP is what the mesh carries.
            true if found.port.protocol == Protocol::Udp => {}
            true => {
                match ports.iter_mut().find(|p| p.port.number == found.port.number && p.port.protocol == Protocol::Udp)
                {
                    Some(udp) => *udp = found,
                    None => item.warn(
                        "duplicate-port",
                        format!("port {} is listed twice; the first is used", found.port.number),
                    ),
                }
            }
            false => ports.push(found),
        }
    }
    ports
}

fn port(f: &mut Fields<'_>) -> Option<KubePort> {
    f.ignore_rest();
    let number = f.required("port")?.port()?;
    let name = f.opt_string("name").unwrap_or_default();
    let application = f.opt_string("appProtocol");
    let transport = f.opt_string("protocol");
    let target = match f.item("targetPort") {
        None => TargetPort::Number(number),
        Some(item) => match item.int_or_string()? {
            IntOrString::Int(0) => TargetPort::Number(number),
            IntOrString::Int(target) => match Port::try_from(target) {
                Ok(target) => TargetPort::Number(target),
                Err(e) => return item.invalid(e.to_string()),
            },
            IntOrString::String(name) => TargetPort::Name(name),
        },
    };
    let protocol = match transport.as_deref() {
        None | Some("TCP") => protocol(application.as_deref(), &name, number),
        Some(_) => Protocol::Udp,
    };
    Some(KubePort { port: ServicePort { number, name, protocol }, target })
}

/// What is spoken on a TCP port: `appProtocol`, otherwise the port's name up to the first dash.
pub(super) fn protocol(application: Option<&str>, port_name: &str, number: Port) -> Protocol {
    let said = match application {
        Some("kubernetes.io/h2c") => "http2",
        Some("kubernetes.io/ws") => "http",
        Some("kubernetes.io/wss") => "https",
        Some(said) => said,
        None => port_name,
    };
    if said.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("grpc-web")) {
        return Protocol::GrpcWeb;
    }
    match said.split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "http" | "http_proxy" => Protocol::Http,
        "http2" => Protocol::Http2,
        "grpc" => Protocol::Grpc,
        "https" => Protocol::Https,
        "tls" => Protocol::Tls,
        "tcp" | "mongo" | "redis" | "mysql" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        // Ports of protocols in which the server speaks first: nothing to detect.
        _ if matches!(number.get(), 25 | 53 | 3306 | 27017) => Protocol::Tcp,
        _ => Protocol::Auto,
    }
}

/// As written, without blanks; `None`: the mesh's default counts.
fn export_to(object: &Object) -> Option<Vec<Arc<str>>> {
    let list = object.meta.annotations.get("networking.istio.io/exportTo")?;
    Some(list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Arc::from).collect())
}
