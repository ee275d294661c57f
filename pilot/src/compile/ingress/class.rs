//! Which Ingresses are the mesh's: by annotation where there is one, else by class, else as MeshConfig says.

use crate::world::World;
use mesh_config::{
    crd::{
        Head, Parsed,
        kubernetes::{Ingress, IngressClass},
        mesh_config::{IngressMode, IngressSettings},
    },
    kind::ObjectKind,
};
use std::{collections::BTreeMap, sync::Arc};

/// Annotation of an Ingress: its class, in clusters of before there were objects for it.
const CLASS: &str = "kubernetes.io/ingress.class";
/// What an IngressClass says whose Ingresses are the mesh's.
const CONTROLLER: &str = "istio.io/ingress-controller";

/// Whose an Ingress is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose<'a> {
    /// The mesh serves it.
    OfMesh,
    /// Somebody else's, or nobody's.
    Foreign,
    /// It would be the mesh's if there were an IngressClass of this name that says so.
    ClassMissing(&'a str),
}

/// What decides.
pub(super) struct Classes<'a> {
    settings: &'a IngressSettings,
    controllers: BTreeMap<&'a str, &'a str>,
}

impl<'a> Classes<'a> {
    pub(super) fn new(
        settings: &'a IngressSettings,
        classes: impl Iterator<Item = (&'a Arc<Head>, &'a IngressClass)>,
    ) -> Self {
        let controllers = classes.map(|(head, class)| (&*head.meta.name, &*class.controller)).collect();
        Classes { settings, controllers }
    }

    pub(super) fn whose<'b>(&self, head: &Head, ingress: &'b Ingress) -> Whose<'b> {
        let of_mesh = |is: bool| if is { Whose::OfMesh } else { Whose::Foreign };
        if self.settings.mode == IngressMode::Off {
            return Whose::Foreign;
        }
        if let Some(class) = head.meta.annotations.get(CLASS) {
            return of_mesh(*class == self.settings.class);
        }
        let named = ingress.class.as_deref();
        match (named.and_then(|class| self.controllers.get(class)), self.settings.mode) {
            (Some(controller), _) => of_mesh(*controller == CONTROLLER),
            (None, IngressMode::Default) => Whose::OfMesh,
            (None, _) => match named {
                Some(class) if class == &*self.settings.class => Whose::ClassMissing(class),
                _ => Whose::Foreign,
            },
        }
    }
}

/// The Ingresses of a world, and whose each is.
pub(super) fn of_world(world: &World) -> impl Iterator<Item = (&Arc<Head>, &Ingress, Whose<'_>)> {
    let classes = world.parsed_of(ObjectKind::IngressClass).filter_map(|(head, parsed)| match parsed {
        Parsed::IngressClass(class) => Some((head, class)),
        _ => None,
    });
    let classes = Classes::new(world.ingress(), classes);
    world.parsed_of(ObjectKind::Ingress).filter_map(move |(head, parsed)| match parsed {
        Parsed::Ingress(ingress) => Some((head, ingress, classes.whose(head, ingress))),
        _ => None,
    })
}

/// Those that are the mesh's.
#[cfg(feature = "serve")]
pub(super) fn of_mesh(world: &World) -> impl Iterator<Item = (&Arc<Head>, &Ingress)> {
    of_world(world).filter(|(.., whose)| *whose == Whose::OfMesh).map(|(head, ingress, _)| (head, ingress))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory;

    /// Names of Ingresses that are the mesh's, of one for each way to say a class.
    fn ours(mode: &str) -> Vec<String> {
        let config = format!("ingressClass: edge\ningressControllerMode: {mode}");
        let (config, found) = mesh_config::crd::mesh_config::parse_text(&config, &"istio-system".into());
        assert_eq!(found, []);
        let mut world = World::with_mesh_config(config);
        let mut text = String::new();
        for (name, controller) in [("mine", CONTROLLER), ("theirs", "example.com/other")] {
            text += &format!(
                "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\nspec: {{controller: {controller}}}\n"
            );
        }
        for (name, annotation, class) in [
            ("a-annotated", "edge", "theirs"),
            ("b-annotated-for-others", "other", "mine"),
            ("c-mine", "", "mine"),
            ("d-theirs", "", "theirs"),
            ("e-not-there", "", "absent"),
            ("f-none", "", ""),
        ] {
            let said =
                |key: &str, value: &str| if value.is_empty() { String::new() } else { format!("{key}: {value}") };
            let annotations = said(CLASS, annotation);
            let class = if class.is_empty() { String::new() } else { format!("ingressClassName: {class}, ") };
            text += &format!(
                "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\n\
                 spec: {{{class}defaultBackend: {{service: {{name: web, port: {{number: 80}}}}}}}}\n"
            );
        }
        world.apply(memory::batch("objects", &text));
        let ours = of_world(&world).filter(|(.., whose)| *whose == Whose::OfMesh);
        ours.map(|(head, ..)| head.meta.name.to_string()).collect()
    }

    #[test]
    fn an_annotation_decides_then_the_class_then_the_mode() {
        assert_eq!(ours("OFF"), [""; 0]);
        assert_eq!(ours("STRICT"), ["a-annotated", "c-mine"]);
        assert_eq!(ours("DEFAULT"), ["a-annotated", "c-mine", "e-not-there", "f-none"]);
    }
}
