use super::*;

#[test]
fn labels_and_type_urls_name_one_kind_each() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_label(kind.label()), Some(kind));
        assert_eq!(Kind::from_type_url(kind.type_url()), Some(kind));
    }
    assert_eq!((Kind::from_label("route"), Kind::from_type_url("Route")), (None, None));
}

#[test]
fn a_service_is_sent_after_all_that_belongs_to_it() {
    assert_eq!(Kind::ALL.last(), Some(&Kind::Service));
    assert!(Kind::ALL.is_sorted(), "push order is the order of the kinds");
}

#[test]
fn private_keys_alone_need_the_secret_channel_and_policies_alone_refuse_unread() {
    let of = |is: fn(Kind) -> bool| Kind::ALL.into_iter().filter(|kind| is(*kind)).collect::<Vec<_>>();
    assert_eq!(of(Kind::is_secret), [Kind::Secret]);
    assert_eq!(of(|kind| kind.unread() == Unread::Refuses), [Kind::PeerAuthentication, Kind::Authorization]);
}

#[test]
fn gateways_follow_more_than_sidecars() {
    let more = Kind::ALL.into_iter().filter(|k| k.is_whole(Role::Gateway) && !k.is_whole(Role::Sidecar));
    assert_eq!(more.collect::<Vec<_>>(), [Kind::Secret, Kind::Gateway, Kind::Route]);
}

#[test]
fn roles_that_nothing_serves_are_known_by_name_and_refused() {
    for role in Role::ALL {
        assert_eq!(Role::from_word(&role.to_string()), Some(role));
    }
    assert_eq!(Role::Gateway.served(), Ok(Role::Gateway));
    let error = Role::from_word("waypoint").unwrap().served().unwrap_err();
    assert_eq!(error.to_string(), "the role waypoint is not served yet: only sidecar and router are");
    assert_eq!(Role::from_word("gateway"), None);
}
