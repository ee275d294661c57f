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
    assert_eq!(more.collect::<Vec<_>>(), [Kind::Gateway, Kind::Route]);
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

#[test]
fn an_object_kind_is_found_by_its_group_and_word_and_has_one_label() {
    for kind in ObjectKind::ALL {
        assert_eq!(ObjectKind::of(kind.group(), kind.word()), Some(kind));
        assert_eq!(ObjectKind::from_label(kind.label()), Some(kind));
        assert!(!kind.versions().is_empty() && !kind.plural().is_empty(), "{kind}");
    }
    assert_eq!(ObjectKind::of("apps", "Service"), None);
    assert_eq!(ObjectKind::AuthorizationPolicy.api_version(), "security.istio.io/v1");
    assert_eq!(ObjectKind::EnvoyFilter.api_version(), "networking.istio.io/v1alpha3");
    assert_eq!(ObjectKind::Pod.api_version(), "v1");
}

#[test]
fn only_what_moves_endpoints_and_nothing_else_is_compiled_at_once() {
    let at_once = ObjectKind::ALL.into_iter().filter(|kind| kind.lane() == Lane::Endpoints);
    let want = [ObjectKind::WorkloadEntry, ObjectKind::EndpointSlice, ObjectKind::Pod, ObjectKind::Node];
    assert_eq!(at_once.collect::<Vec<_>>(), want);
}

#[test]
fn an_object_of_another_program_keeps_its_two_words() {
    let foreign = GroupKind::new("apps", "Deployment");
    assert_eq!(foreign, GroupKind::Foreign { group: "apps".into(), kind: "Deployment".into() });
    assert_eq!(GroupKind::new("", "Pod"), GroupKind::Of(ObjectKind::Pod));
}
