use super::*;

type Fields<'a> = &'a [(&'a str, &'a str)];

fn run<'a>(target: Target<'a>, fields: Fields<'a>) -> Result<Canonical<'a>, BadRequest> {
    let bytes = || fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    let said = connection(bytes().filter(|(name, _)| *name == "connection").map(|(_, value)| value), |_| {})?;
    let host = bytes().find(|(name, _)| *name == "host").map(|(_, value)| value);
    check(&Target { host: target.host.or(host), ..target }, &scan(bytes()), said, Normalization::Base)
}

const GET: Target<'static> =
    Target { version: Version::Http11, method: "GET", scheme: None, authority: None, path: Some("/"), host: None };
const H2: Target<'static> = Target { version: Version::Http2, scheme: Some("http"), ..GET };

fn host<'a>(target: Target<'a>, fields: Fields<'a>) -> Result<&'a str, BadRequest> {
    run(target, fields).map(|head| head.authority)
}

#[test]
fn there_is_one_host() {
    assert_eq!(host(GET, &[("host", "a:80")]), Ok("a:80"));
    assert_eq!(host(GET, &[]), Err(BadRequest::MissingHost));
    assert_eq!(host(GET, &[("host", "a"), ("host", "a")]), Err(BadRequest::InvalidAuthority));
    assert_eq!(host(H2, &[("host", "a")]), Ok("a"), "it stands in for the missing :authority");
    assert_eq!(host(H2, &[]), Err(BadRequest::MissingHost));
    assert_eq!(host(H2, &[("host", "a"), ("host", "b")]), Err(BadRequest::InvalidAuthority));
    let named = Target { authority: Some("real"), ..H2 };
    assert_eq!(host(named, &[("host", "other")]), Ok("real"));
    assert_eq!(host(named, &[("host", "real"), ("host", "other")]), Err(BadRequest::InvalidAuthority));
    let absolute = Target { authority: Some("real"), scheme: Some("http"), ..GET };
    assert_eq!(host(absolute, &[("host", "other")]), Ok("real"));
    assert_eq!(host(Target { scheme: Some("ftp"), ..absolute }, &[]), Err(BadRequest::Scheme));
}

#[test]
fn a_host_is_checked_as_bytes() {
    for bad in ["a b", "a/b", "a\"", "a\\b", "a#b", "a?b", "ä", "a\u{7f}", "a<b", "{a}"] {
        for target in [GET, H2, Target { authority: Some(bad), ..H2 }] {
            assert_eq!(host(target, &[("host", bad)]), Err(BadRequest::InvalidAuthority), "{bad:?} {target:?}");
        }
    }
    let latin = Target { host: Some(b"a\xff"), ..H2 };
    assert_eq!(host(latin, &[]), Err(BadRequest::InvalidAuthority));
    for fine in ["", "a,b", "user@host:1", "[::1]:80", "%41"] {
        assert_eq!(host(GET, &[("host", fine)]), Ok(fine));
    }
}

#[test]
fn no_value_has_spaces_around_it() {
    for padded in [" 1", "1 ", "\t1", "1\t", " ", " 1 "] {
        assert_eq!(host(H2, &[("host", "a"), ("x-block", padded)]), Err(BadRequest::InvalidCharacters), "{padded:?}");
    }
    for fine in ["", "1", "a b", "a\tb"] {
        assert_eq!(host(H2, &[("host", "a"), ("x-block", fine)]), Ok("a"), "{fine:?}");
    }
}

#[test]
fn connect_names_a_host_and_nothing_else() {
    let connect = Target { method: "CONNECT", path: None, ..GET };
    let path = |target: Target<'static>| run(target, &[("host", "a:1")]).map(|head| head.path);
    for version in [Version::Http11, Version::Http2] {
        let connect = Target { version, ..connect };
        assert_eq!(path(Target { authority: Some("a:1"), ..connect }), Ok(None));
        for wrong in [
            Target { path: Some("/x/../admin"), ..connect },
            Target { authority: Some("a"), path: Some("/x"), ..connect },
            Target { authority: Some("a"), scheme: Some("http"), path: Some("/"), ..connect },
            Target { authority: Some("a"), scheme: Some("http"), ..connect },
            Target { authority: Some(""), ..connect },
            connect,
        ] {
            assert_eq!(path(wrong), Err(BadRequest::ConnectTarget), "{wrong:?}");
        }
    }
}

#[test]
fn a_path_is_normalised_or_refused() {
    let path = |path: &'static str| {
        let head = run(Target { path: Some(path), ..GET }, &[("host", "a")])?;
        Ok(head.path.expect("not CONNECT").into_owned())
    };
    assert_eq!(path("/a/../b?x=/../y"), Ok("/b?x=/../y".to_owned()));
    assert_eq!(path("/a%00b"), Err(BadRequest::Path));
    assert_eq!(path("*"), Err(BadRequest::AbsolutePath));
    assert_eq!(path("a"), Err(BadRequest::Codec));
    assert_eq!(path("/ü"), Err(BadRequest::InvalidCharacters));
}

#[test]
fn a_message_has_one_length() {
    let length = |fields: &[(&'static str, &'static str)]| {
        let all: Vec<_> = [("host", "a")].into_iter().chain(fields.iter().copied()).collect();
        run(GET, &all).map(|_| ())
    };
    let (sized, chunked) = (("content-length", "3"), ("transfer-encoding", "Chunked"));
    for fine in [&[][..], &[sized], &[sized, sized], &[sized, ("content-length", "03")], &[chunked]] {
        assert_eq!(length(fine), Ok(()), "{fine:?}");
    }
    for differ in [
        &[sized, ("content-length", "4")][..],
        &[sized, ("content-length", "x")],
        &[("content-length", "3, 3")],
        &[("content-length", "+3")],
        &[("content-length", "")],
        &[("content-length", "18446744073709551616")],
        &[sized, chunked],
    ] {
        assert_eq!(length(differ), Err(BadRequest::ContentLength), "{differ:?}");
    }
    for coded in ["gzip, chunked", "gzip", "chunked, chunked", "identity", "xchunked", ""] {
        assert_eq!(length(&[("transfer-encoding", coded)]), Err(BadRequest::TransferEncoding), "{coded}");
    }
    assert_eq!(length(&[chunked, chunked]), Err(BadRequest::TransferEncoding));
}

#[test]
fn only_a_websocket_is_an_upgrade() {
    let upgrade = |version, fields: &[(&'static str, &'static str)]| {
        let all: Vec<_> = [("host", "a")].into_iter().chain(fields.iter().copied()).collect();
        run(Target { version, ..GET }, &all).map(|head| head.upgrade).unwrap()
    };
    let both = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
    assert!(upgrade(Version::Http11, &both));
    assert!(!upgrade(Version::Http10, &both));
    assert!(!upgrade(Version::Http11, &both[..1]) && !upgrade(Version::Http11, &both[1..]));
    for other in ["h2c", "websocket, h2c", "h2c, websocket", "websocket,", "websocket/13", "chat", "TLS/1.0", ""] {
        assert!(!upgrade(Version::Http11, &[both[0], ("upgrade", other)]), "{other}");
    }
    assert!(!upgrade(Version::Http11, &[both[0], both[1], both[1]]), "said twice");
    assert!(!upgrade(Version::Http11, &[both[0], both[1], ("upgrade", "h2c")]));
}

#[test]
fn connection_names_what_ends_here() {
    let named = |values: &[&'static str]| {
        let mut names = Vec::new();
        let said = connection(values.iter().map(|v| v.as_bytes()), |name| names.push(String::from_utf8_lossy(name)))?;
        Ok((said.upgrade, names.join(" ")))
    };
    assert_eq!(named(&["close, X-Mine", " ,x-other"]), Ok((false, "X-Mine x-other".to_owned())));
    assert_eq!(named(&["upgrade"]), Ok((true, String::new())));
    for bad in ["x-forwarded-client-cert", "Host", "X-Forwarded-For", "a b", "a\"", "a, b, c, d, e, f, g, h, i, j"] {
        assert_eq!(named(&[bad]), Err(BadRequest::ConnectionHeader), "{bad}");
    }
}

#[test]
fn heads_are_bounded_whatever_the_version() {
    let (name, long) = ("x".to_owned(), "v".repeat(MOST_BYTES));
    for target in [GET, Target { authority: Some("a"), ..H2 }] {
        let many = vec![(name.as_str(), "v"); MOST_FIELDS];
        let fields: Vec<_> = [("host", "a")].into_iter().chain(many.iter().copied()).collect();
        assert_eq!(run(target, &fields), Err(BadRequest::TooManyHeaders));
        assert!(run(target, &fields[..MOST_FIELDS]).is_ok());
        assert_eq!(run(target, &[("host", "a"), ("x", &long)]), Err(BadRequest::HeadersTooLarge));
    }
}

#[test]
fn only_grpc_itself_is_grpc() {
    for (kind, want) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        assert_eq!(scan([("content-type", kind.as_bytes())]).grpc, want, "{kind}");
    }
}
