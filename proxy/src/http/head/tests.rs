use super::*;
use crate::head::scan;
use proptest::prelude::*;

fn parts(version: Version, method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().version(version).method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The head after it was made canonical, as text.
fn run(mut head: Parts) -> Result<(String, bool), BadRequest> {
    let upgrade = settle(&mut head)?;
    Ok((text(&head), upgrade))
}

fn settle(head: &mut Parts) -> Result<bool, BadRequest> {
    let seen = scan(head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    canonical(head, &seen, "http", Normalization::Base)
}

fn text(head: &Parts) -> String {
    let mut fields: Vec<_> =
        head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    fields.sort();
    [vec![format!("{} {}", head.method, head.uri)], fields].concat().join("|")
}

const H1: Version = Version::HTTP_11;
const H2: Version = Version::HTTP_2;

#[test]
fn an_absolute_url_names_the_host() {
    let head = parts(H1, "GET", "http://real:81/x?y", &[("host", "other")]);
    assert_eq!(run(head), Ok(("GET /x?y|host: real:81".to_owned(), false)));
}

#[test]
fn http2_has_its_host_in_the_uri_alone() {
    for (uri, fields) in [("http://a/x", &[("host", "b")][..]), ("http://a/x", &[]), ("/x", &[("host", "a")])] {
        assert_eq!(run(parts(H2, "GET", uri, fields)), Ok(("GET http://a/x".to_owned(), false)), "{uri} {fields:?}");
    }
}

#[test]
fn plain_text_is_not_secure_for_saying_so() {
    assert_eq!(run(parts(H2, "GET", "https://a/x", &[])), Ok(("GET http://a/x".to_owned(), false)));
}

#[test]
fn cookies_are_one_field() {
    for (version, want) in [(H2, "GET http://a/|cookie: a=1; b=2; c=3"), (H1, "GET /|cookie: a=1; b=2; c=3|host: a")] {
        let head = parts(version, "GET", "http://a/", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        assert_eq!(run(head), Ok((want.to_owned(), false)));
    }
}

#[test]
fn a_length_said_twice_is_written_once() {
    let head = parts(H2, "POST", "http://a/", &[("content-length", "3"), ("content-length", "3")]);
    assert_eq!(run(head), Ok(("POST http://a/|content-length: 3".to_owned(), false)));
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let fields = [
        ("host", "a"),
        ("connection", "close, x-mine"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip, trailers"),
        ("transfer-encoding", "chunked"),
        ("x-yours", "2"),
    ];
    let want = "GET /|host: a|te: trailers|x-yours: 2";
    assert_eq!(run(parts(H1, "GET", "/", &fields)), Ok((want.to_owned(), false)));
}

#[test]
fn an_upgrade_is_written_anew_or_left_out() {
    let ask = |connection: &str, upgrade: &str| {
        let fields =
            [("host", "a"), ("connection", connection), ("upgrade", upgrade), ("http2-settings", "x"), ("x-mine", "1")];
        run(parts(H1, "GET", "/", &fields)).unwrap()
    };
    let (written, asked) = ask("keep-alive, upgrade, x-mine", "websocket");
    assert_eq!((written.as_str(), asked), ("GET /|connection: Upgrade|host: a|upgrade: websocket", true));
    for (connection, upgrade) in
        [("upgrade, http2-settings", "h2c"), ("upgrade", "websocket, h2c"), ("close", "websocket"), ("upgrade", "chat")]
    {
        let (written, asked) = ask(connection, upgrade);
        assert_eq!((written.as_str(), asked), ("GET /|host: a|x-mine: 1", false), "{connection} {upgrade}");
    }
}

#[test]
fn an_answer_loses_what_was_for_the_last_hop() {
    let run = |fields: &[(&str, &str)], upgrade| {
        let mut headers = parts(H1, "GET", "/", fields).headers;
        answer(&mut headers, upgrade);
        let mut left: Vec<_> = headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        left.sort();
        left.join("|")
    };
    let fields = [
        ("connection", "close, x-mine"),
        ("connection", "Content-Length"),
        ("x-mine", "1"),
        ("x-yours", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("upgrade", "h2c"),
        ("content-length", "3"),
    ];
    assert_eq!(run(&fields, false), "content-length: 3|x-yours: 2");
    assert_eq!(run(&[("transfer-encoding", "chunked"), ("content-length", "3")], false), "");
    let switch = [("connection", "upgrade, x-mine"), ("upgrade", "websocket"), ("x-mine", "1")];
    assert_eq!(run(&switch, true), "connection: Upgrade|upgrade: websocket");
}

/// One of the fields that heads differ by between versions, or that are handled as one.
fn field() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        Just("cookie"),
        Just("content-length"),
        Just("te"),
        Just("x-a"),
        Just("x-b"),
        Just("content-type"),
        Just("x-forwarded-for"),
    ];
    (name, prop_oneof![Just("1"), Just("2"), Just("trailers"), Just("a=b; c"), Just("")])
        .prop_map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The same head on its way to a hop of the other version, or of its own.
fn sent_on(mut head: Parts, version: Version) -> Parts {
    match version {
        H2 => into_uri(&mut head, false).unwrap(),
        _ => into_host_field(&mut head).unwrap(),
    }
    head.version = version;
    head
}

proptest! {
    #[test]
    fn a_head_is_the_same_in_both_versions_and_over_every_hop(
        host in "[a-z][a-z.]{0,8}(:[1-9][0-9]{0,3})?",
        path in "/[a-z./%25;=]{0,12}(\\?[a-z=&]{0,4})?",
        fields in proptest::collection::vec(field(), 0..6),
    ) {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let own = [("host", host.as_str())].into_iter().chain(fields.iter().copied()).collect::<Vec<_>>();
        let mut http1 = parts(H1, "POST", &path, &own);
        let mut http2 = parts(H2, "POST", &format!("http://{host}{path}"), &fields);
        let (one, two) = (settle(&mut http1), settle(&mut http2));
        prop_assert_eq!(&one, &two);
        if one.is_err() {
            return Ok(());
        }
        let want = text(&http2);
        prop_assert_eq!(text(&sent_on(http1.clone(), H2)), &want[..]);
        for first in [H1, H2] {
            for second in [H1, H2] {
                let mut hop = sent_on(http1.clone(), first);
                prop_assert_eq!(settle(&mut hop), Ok(false));
                let mut hop = sent_on(hop, second);
                prop_assert_eq!(settle(&mut hop), Ok(false));
                prop_assert_eq!(text(&sent_on(hop, H2)), &want[..]);
            }
        }
    }
}
