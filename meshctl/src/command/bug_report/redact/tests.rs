use super::*;
use serde_json::json;

#[test]
fn secrets_are_taken_out_of_text_and_what_stands_around_stays() {
    let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----";
    let encoded = STANDARD.encode(key);
    let pair = STANDARD.encode(format!("-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n{key}\n"));
    for (line, want) in [
        (&*format!("before {key} after"), "before [removed] after"),
        ("x -----BEGIN PRIVATE KEY-----\\nAAAA", "x [removed]"),
        (&*format!("tls.key: {encoded}"), "tls.key: [removed]"),
        (&*format!("both: {pair}"), "both: [removed]"),
        ("token eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln refused", "token [removed] refused"),
        ("authorization: Bearer abc.def", "authorization: [removed]"),
        ("say Basic dXNlcjpwYXNz now", "say Basic [removed] now"),
        ("GET https://me:pw@host/x", "GET https://[removed]@host/x"),
        ("cookie: a=b; c=d", "cookie: [removed]"),
        ("{\"set-cookie\":\"a=b\"}", "{\"set-cookie\":\"[removed]\"}"),
        ("password=hunter2 user=me", "password=[removed] user=me"),
        ("{\"db_password\": \"hun\\\"ter2\", \"a\": 1}", "{\"db_password\": \"[removed]\", \"a\": 1}"),
        ("GET /x?access_token=abc&b=c", "GET /x?access_token=[removed]&b=c"),
        ("clientSecret: 'a b'", "clientSecret: '[removed]'"),
        ("{\\\"apiKey\\\":\\\"abc\\\"}", "{\\\"apiKey\\\":\\\"[removed]\\\"}"),
    ] {
        assert_eq!(text(line), want, "{line}");
    }
}

#[test]
fn what_only_says_where_a_secret_is_stays() {
    let certificate = STANDARD.encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for line in [
        "credentialName: shop-cert",
        "secretName: cacerts",
        "automountServiceAccountToken: true",
        "tokenAudience: istio-ca",
        "token-file=/var/run/token",
        "tokens: 5",
        "spiffe://cluster.local/ns/shop/sa/cart",
        &*format!("caBundle: {certificate}"),
    ] {
        assert_eq!(text(line), line);
    }
}

#[test]
fn objects_lose_data_of_secrets_variables_of_applications_and_what_was_applied() {
    let mut secret = json!({
        "kind": "Secret", "data": {"a": "b"}, "stringData": {"c": "d"}, "type": "Opaque",
        "metadata": {"name": "s", "managedFields": [], "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}", "own": "x",
        }},
    });
    object(&mut secret);
    let want = json!({"kind": "Secret", "type": "Opaque", "metadata": {"name": "s", "annotations": {"own": "x"}}});
    assert_eq!(secret, want);

    let mut pod = json!({
        "kind": "Pod", "spec": {"containers": [
            {"name": "main", "image": "a", "env": [{"name": "A", "value": "b"}], "args": ["--x=y"]},
            {"name": "istio-proxy", "env": [{"name": "POD_NAME", "value": "p"}, {"name": "MY_TOKEN", "value": "t"}], "args": ["proxy"]},
        ]},
    });
    object(&mut pod);
    let want = json!({
        "kind": "Pod", "spec": {"containers": [
            {"name": "main", "image": "a", "env": [{"name": "A", "value": "[removed]"}], "args": "[removed]"},
            {"name": "istio-proxy", "env": [{"name": "POD_NAME", "value": "p"}, {"name": "MY_TOKEN", "value": "[removed]"}], "args": ["proxy"]},
        ]},
    });
    assert_eq!(pod, want);
}

#[test]
fn what_names_a_secret_is_no_secret_and_all_below_one_is() {
    let mut object = json!({
        "volumes": [{"name": "v", "secret": {"secretName": "cacerts", "defaultMode": 420}}],
        "imagePullSecrets": [{"name": "regcred"}],
        "hash": {"httpCookie": {"name": "user", "ttl": "0s"}},
        "from": {"secretKeyRef": {"name": "a", "key": "b"}},
        "clientSecret": {"inner": ["x", {"deep": "y"}], "count": 1},
        "token": ["x", "y"],
    });
    value(&mut object);
    let want = json!({
        "volumes": [{"name": "v", "secret": {"secretName": "cacerts", "defaultMode": 420}}],
        "imagePullSecrets": [{"name": "regcred"}],
        "hash": {"httpCookie": {"name": "user", "ttl": "0s"}},
        "from": {"secretKeyRef": {"name": "a", "key": "b"}},
        "clientSecret": {"inner": ["[removed]", {"deep": "[removed]"}], "count": 1},
        "token": ["[removed]", "[removed]"],
    });
    assert_eq!(object, want);
}

#[test]
fn what_a_route_matches_and_sets_of_credentials_is_taken_out() {
    let mut route = json!({
        "kind": "VirtualService",
        "spec": {"http": [{
            "match": [{"headers": {"authorization": {"exact": "letmein"}, "end-user": {"exact": "jason"}}}],
            "headers": {"request": {"set": {"x-api-key": "k", "x-color": "blue"}}},
        }]},
    });
    object(&mut route);
    let want = json!({
        "kind": "VirtualService",
        "spec": {"http": [{
            "match": [{"headers": {"authorization": {"exact": "[removed]"}, "end-user": {"exact": "jason"}}}],
            "headers": {"request": {"set": {"x-api-key": "[removed]", "x-color": "blue"}}},
        }]},
    });
    assert_eq!(route, want);
}
