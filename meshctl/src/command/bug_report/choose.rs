//! Which proxies are looked into: specifications of pods in istioctl's form. Pure.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    include: Vec<Spec>,
    exclude: Vec<Spec>,
}

/// Patterns of each part; an empty list is anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Spec {
    namespaces: Vec<String>,
    deployments: Vec<String>,
    pods: Vec<String>,
    /// Key and value.
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    containers: Vec<String>,
}

impl Choice {
    /// # Errors
    /// What is no specification.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let read = |texts: &[String]| -> Result<Vec<Spec>, String> {
            texts.iter().filter(|text| !text.is_empty()).map(|text| spec(text)).collect()
        };
        Ok(Choice { include: read(include)?, exclude: read(exclude)? })
    }

    /// Whether a pod is chosen; `workload` is what makes it, `deployment/NAME`.
    pub(super) fn has(&self, pod: &Pod, workload: &str) -> bool {
        let any = |specs: &[Spec]| specs.iter().any(|spec| spec.has(pod, workload));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

fn spec(text: &str) -> Result<Spec, String> {
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() > 6 {
        return Err(format!("{text:?} has more than NAMESPACES/DEPLOYMENTS/PODS/LABELS/ANNOTATIONS/CONTAINERS"));
    }
    let part = |place: usize| parts.get(place).copied().unwrap_or_default();
    let list = |place: usize| -> Vec<String> {
        part(place).split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let pairs = |place: usize| -> Result<Vec<(String, String)>, String> {
        let pair = |word: String| match word.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(format!("{word:?} of {text:?} is not KEY=VALUE")),
        };
        list(place).into_iter().map(pair).collect()
    };
    Ok(Spec {
        namespaces: list(0),
        deployments: list(1),
        pods: list(2),
        labels: pairs(3)?,
        annotations: pairs(4)?,
        containers: list(5),
    })
}

impl Spec {
    fn has(&self, pod: &Pod, workload: &str) -> bool {
        let one_of =
            |patterns: &[String], text: &str| patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, text));
        let deployment = workload.strip_prefix("deployment/").unwrap_or_default();
        let all = |pairs: &[(String, String)], of: &std::collections::BTreeMap<String, String>| {
            pairs.iter().all(|(key, value)| of.get(key).is_some_and(|found| fits(value, found)))
        };
        let mut containers =
            pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
        one_of(&self.namespaces, &pod.namespace().unwrap_or_default())
            && one_of(&self.deployments, deployment)
            && one_of(&self.pods, &pod.name_any())
            && all(&self.labels, pod.labels())
            && all(&self.annotations, pod.annotations())
            && (self.containers.is_empty() || containers.any(|container| one_of(&self.containers, &container.name)))
    }
}

/// Whether a text is as a pattern has it, in which `*` is anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_star_is_anything() {
        for (pattern, text, want) in [
            ("cart", "cart", true),
            ("cart", "cart-1", false),
            ("cart*", "cart-1", true),
            ("*-1", "cart-1", true),
            ("c*t*1", "cart-1", true),
            ("c*t*t", "cart", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pod_is_chosen_by_each_of_its_parts() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "cart-1-x", "namespace": "shop", "labels": {"app": "cart", "v": "1"}, "annotations": {"a": "b"}},
            "spec": {"containers": [{"name": "main"}], "initContainers": [{"name": "istio-proxy"}]},
        }))
        .unwrap();
        let chosen = |include: &str, exclude: &str| {
            Choice::new(&[include.to_owned()], &[exclude.to_owned()]).unwrap().has(&pod, "deployment/cart")
        };
        for include in
            ["", "shop", "web,sh*", "shop/cart", "shop//cart-*", "*/*/*/app=cart,v=*", "////a=b", "/////istio-proxy"]
        {
            assert!(chosen(include, ""), "{include}");
            assert!(!chosen(include, "shop"), "{include}");
        }
        for include in ["web", "shop/web", "shop//web", "///app=web", "///none=x", "////a=c", "/////other"] {
            assert!(!chosen(include, ""), "{include}");
        }
        assert!(Choice::new(&["///app".to_owned()], &[]).unwrap_err().contains("KEY=VALUE"));
        assert!(Choice::new(&["a/b/c/d=e/f=g/h/i".to_owned()], &[]).is_err());
    }
}
