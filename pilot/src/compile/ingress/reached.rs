//! What the status of Ingresses is to say: where the gateway is reached that serves them.

use super::class;
use crate::{
    object::{Point, Reached},
    world::World,
};
use mesh_config::{
    crd::{Parsed, kubernetes::ServiceKind},
    kind::ObjectKind,
};
use std::collections::BTreeSet;

/// What follows from the objects of a world. Nothing where MeshConfig names no Service: then statuses are left alone.
pub(crate) fn reached(world: &World) -> Reached {
    let settings = world.ingress();
    if settings.service.is_empty() {
        return Reached::default();
    }
    let ours = class::of_mesh(world).filter(|(head, _)| !world.is_given_away(head));
    let ingresses = ours.map(|(head, _)| head.name()).collect();
    let service = world.parsed_in(ObjectKind::Service, settings.namespace.as_str());
    let service = service.filter(|(head, _)| head.meta.name == settings.service).find_map(|(_, parsed)| match parsed {
        Parsed::Service(service) => Some(service),
        _ => None,
    });
    let points = match service.map(|service| (&service.kind, &service.outside)) {
        Some((ServiceKind::ExternalName(name), _)) => [Point::of(&name.shared())].into(),
        Some((_, outside)) => outside.iter().map(Point::of).collect(),
        None => BTreeSet::new(),
    };
    Reached { ingresses, points }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory;
    use mesh_config::crd::mesh_config::parse_text;

    /// What a status says with this Service and this MeshConfig, names before a slash; and of which Ingresses.
    fn said(service: &str, config: &str) -> (Vec<String>, Vec<String>) {
        let (mut config, found) = parse_text(config, &"istio-system".into());
        assert_eq!(found, []);
        config.ingress.namespace = "edge".into();
        let mut world = World::with_mesh_config(config).of_revision("blue");
        let ingress = |name: &str, labels: &str, class: &str| {
            format!(
                "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: {name}, namespace: shop, labels: {{{labels}}}, \
                 annotations: {{kubernetes.io/ingress.class: {class}}}}}, spec: {{rules: []}}}}\n---\n"
            )
        };
        let texts = [
            ingress("ours", "", "istio"),
            ingress("blue", "istio.io/rev: blue", "istio"),
            ingress("green", "istio.io/rev: green", "istio"),
            ingress("foreign", "", "other"),
            service.to_owned(),
        ];
        world.apply(memory::batch("objects", &texts.concat()));
        let Reached { ingresses, points } = reached(&world);
        let points = points.iter().map(|point| format!("{}/{}", point.hostname, point.ip));
        (points.collect(), ingresses.iter().map(|ingress| ingress.name.to_string()).collect())
    }

    fn service(name: &str, namespace: &str, rest: &str) -> String {
        format!("{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {namespace}}}, {rest}}}")
    }

    #[test]
    fn a_status_is_where_the_gateways_service_is_reached_names_after_addresses() {
        let balanced = "spec: {externalIPs: [192.0.2.9, 192.0.2.1]}, status: {loadBalancer: {ingress: [{hostname: lb.example}, \
                        {ip: 192.0.2.5, hostname: both.example}, {ip: 192.0.2.1}]}}";
        let ours = vec!["blue".to_owned(), "ours".to_owned()];
        for (name, namespace, rest, want) in [
            ("istio-ingressgateway", "edge", balanced, vec!["/192.0.2.1", "/192.0.2.5", "/192.0.2.9", "lb.example/"]),
            (
                "istio-ingressgateway",
                "edge",
                "spec: {type: ExternalName, externalName: far.example}",
                vec!["far.example/"],
            ),
            ("istio-ingressgateway", "edge", "spec: {clusterIP: 10.0.0.1}", vec![]),
            ("istio-ingressgateway", "istio-system", balanced, vec![]),
        ] {
            let (points, ingresses) = said(&service(name, namespace, rest), "");
            assert_eq!(
                (points, &ingresses),
                (want.iter().map(ToString::to_string).collect(), &ours),
                "{namespace} {rest}"
            );
        }
        let named = said(&service("own", "edge", "spec: {externalIPs: [192.0.2.9]}"), "ingressService: own");
        assert_eq!(named, (vec!["/192.0.2.9".to_owned()], ours));
        assert_eq!(said(&service("own", "edge", balanced), "ingressService: ''"), (Vec::new(), Vec::new()));
    }
}
