//! What a client says about itself. It is checked against what was proved and otherwise only picks among the
//! workloads of the proved namespace and account.

use super::authn::Proved;
use mesh_config::{
    kind::{NotServed, Role},
    wire::proto::envoy::config::core::v3::Node,
};
use prost_types::{Struct, value::Kind};
use std::net::IpAddr;

/// What a node message claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The whole id: `sidecar~10.0.0.1~cart-1.shop~shop.svc.cluster.local`.
    pub id: String,
    /// Sidecar or router.
    pub role: Role,
    /// The workload's name.
    pub name: String,
    pub namespace: String,
    /// Its service account, where it says one.
    pub service_account: Option<String>,
    pub addresses: Vec<IpAddr>,
    /// The cluster it runs in.
    pub cluster: String,
    /// Version of the proxy.
    pub version: String,
}

/// Longest text of a node that is kept, in bytes: DNS names and Kubernetes names are at most 253.
const MAX_TEXT: usize = 1024;

/// Why a node message cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// There is none in the first request.
    #[error("the first request of a stream must carry a node")]
    Missing,
    /// Not of Istio's form.
    #[error("node id {0:.120?} is not of the form sidecar~ADDRESS~NAME.NAMESPACE~DOMAIN")]
    Id(String),
    /// Longer than any such text is.
    #[error("{0} of the node has {1} bytes, more than {MAX_TEXT}")]
    TooLong(&'static str, usize),
    /// Of a role that there is no program for.
    #[error(transparent)]
    Role(#[from] NotServed),
    /// Somebody else.
    #[error(
        "the node claims {what} {claimed:.80?}, but its {proof} proves {proved:?}: use the workload's own credentials"
    )]
    NotProved {
        /// `namespace` or `service account`.
        what: &'static str,
        /// As claimed.
        claimed: String,
        /// As proved.
        proved: String,
        /// Token or certificate.
        proof: &'static str,
    },
}

impl Claim {
    /// Reads a node message.
    ///
    /// # Errors
    /// When its id is of another form, or a text of it is too long.
    pub fn of(node: &Node) -> Result<Self, NodeError> {
        let bounded = |what, text: &str| match text.len() {
            0..=MAX_TEXT => Ok(()),
            length => Err(NodeError::TooLong(what, length)),
        };
        bounded("the id", &node.id)?;
        bounded("the version", &node.user_agent_version)?;
        for key in ["NAMESPACE", "SERVICE_ACCOUNT", "CLUSTER_ID"] {
            bounded(key, metadata(node.metadata.as_ref(), key).unwrap_or_default())?;
        }
        let wrong = || NodeError::Id(node.id.clone());
        let parts: Vec<&str> = node.id.split('~').collect();
        let [role, address, full_name, _domain] = parts[..] else { return Err(wrong()) };
        let role = Role::from_word(role).ok_or_else(wrong)?.served()?;
        // Names of pods may hold dots; namespaces may not.
        let (name, namespace) = full_name.rsplit_once('.').ok_or_else(wrong)?;
        let text = |key: &str| metadata(node.metadata.as_ref(), key).map(str::to_owned);
        let mut addresses: Vec<IpAddr> = address.parse().into_iter().collect();
        let more = text("INSTANCE_IPS").unwrap_or_default();
        addresses.extend(more.split(',').take(64).filter_map(|a| a.trim().parse::<IpAddr>().ok()));
        Ok(Claim {
            id: node.id.clone(),
            role,
            name: name.to_owned(),
            namespace: text("NAMESPACE").unwrap_or_else(|| namespace.to_owned()),
            service_account: text("SERVICE_ACCOUNT"),
            addresses,
            cluster: text("CLUSTER_ID").unwrap_or_default(),
            version: node.user_agent_version.clone(),
        })
    }

    /// That the claim is not about somebody else than who was proved.
    ///
    /// # Errors
    /// [`NodeError::NotProved`].
    pub fn check(&self, proved: &Proved) -> Result<(), NodeError> {
        let same = |what, claimed: &str, is: &str| match claimed == is {
            true => Ok(()),
            false => Err(NodeError::NotProved {
                what,
                claimed: claimed.to_owned(),
                proved: is.to_owned(),
                proof: proved.proof,
            }),
        };
        same("namespace", &self.namespace, proved.namespace.as_str())?;
        let account = self.service_account.as_deref().unwrap_or(&proved.service_account);
        same("service account", account, &proved.service_account)
    }

    /// `name.namespace`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }
}

fn metadata<'a>(fields: Option<&'a Struct>, key: &str) -> Option<&'a str> {
    match &fields?.fields.get(key)?.kind {
        Some(Kind::StringValue(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> Node {
        Node { id: id.to_owned(), ..Node::default() }
    }

    #[test]
    fn an_id_says_role_address_name_and_namespace() {
        let claim = Claim::of(&node("router~10.0.0.1~edge.v1.shop~shop.svc.cluster.local")).unwrap();
        assert_eq!((claim.role, &*claim.name, &*claim.namespace), (Role::Gateway, "edge.v1", "shop"));
        assert_eq!(claim.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        let endless = format!("sidecar~10.0.0.1~{}.shop~d", "a".repeat(2000));
        let error = Claim::of(&node("waypoint~10.0.0.1~w.shop~shop.svc.cluster.local")).unwrap_err();
        assert_eq!(error.to_string(), "the role waypoint is not served yet: only sidecar and router are");
        for wrong in ["", "sidecar~x", "ztunnel~1~a.b~c", "sidecar~1~a~c", &endless] {
            assert!(Claim::of(&node(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_claim_about_somebody_else_is_refused() {
        let mut claim = Claim::of(&node("sidecar~10.0.0.1~a.shop~d")).unwrap();
        let mut proved = Proved {
            namespace: "shop".into(),
            service_account: "cart".into(),
            proof: "token",
            until: std::time::SystemTime::UNIX_EPOCH,
        };
        assert_eq!(claim.check(&proved), Ok(()));
        claim.service_account = Some("other".into());
        assert!(claim.check(&proved).unwrap_err().to_string().contains("\"other\""));
        claim.service_account = None;
        proved.namespace = "bank".into();
        assert!(claim.check(&proved).unwrap_err().to_string().contains("\"bank\""));
    }
}
