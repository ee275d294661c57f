//! May this caller have this identity? Its own, always; another's, never: node agents that ask for the workloads
//! beside them have no place to prove that yet.

use crate::{authn::Caller, error::Refusal};
use mesh_config::identity::SpiffeId;

/// The identity to certify. `wanted` is the one that the request names, if it names one.
///
/// # Errors
/// When that is not the caller's own.
pub fn permitted<'a>(caller: &'a Caller, wanted: Option<&str>) -> Result<&'a SpiffeId, Refusal> {
    match wanted {
        Some(wanted) if wanted != caller.identity.uri() => {
            Err(Refusal::Identity { caller: caller.identity.uri(), wanted: wanted.chars().take(256).collect() })
        }
        _ => Ok(&caller.identity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::Proof;
    use std::time::SystemTime;

    #[test]
    fn a_caller_may_have_its_own_identity_only() {
        let identity: SpiffeId = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
        let caller = Caller { identity: identity.clone(), proof: Proof::Token, until: SystemTime::UNIX_EPOCH };
        assert_eq!(permitted(&caller, None), Ok(&identity));
        assert_eq!(permitted(&caller, Some(&identity.uri())), Ok(&identity));
        let other = "spiffe://cluster.local/ns/shop/sa/admin";
        assert_eq!(
            permitted(&caller, Some(other)),
            Err(Refusal::Identity { caller: identity.uri(), wanted: other.into() })
        );
    }
}
