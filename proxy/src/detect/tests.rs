use super::*;

fn check(bytes: impl AsRef<[u8]>, want: Detected) {
    let bytes = bytes.as_ref();
    assert_eq!(detect(bytes, Look::Everything), want, "{:?}", String::from_utf8_lossy(bytes));
}

fn sized<const N: usize>(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[4 - N..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized::<2>(content)].concat()
}

/// A ClientHello's handshake message.
fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(sized::<1>(&[9; 32]));
    body.extend(sized::<2>(&[0x13, 0x01]));
    body.extend(sized::<1>(&[0]));
    body.extend(sized::<2>(&extensions.concat()));
    [vec![1], sized::<3>(&body)].concat()
}

fn record(content: &[u8]) -> Vec<u8> {
    [vec![0x16, 3, 1], sized::<2>(content)].concat()
}

fn sni(name: &str) -> Vec<u8> {
    extension(0, &sized::<2>(&[vec![0], sized::<2>(name.as_bytes())].concat()))
}

fn alpn(protocols: &[&str]) -> Vec<u8> {
    extension(16, &sized::<2>(&protocols.iter().flat_map(|p| sized::<1>(p.as_bytes())).collect::<Vec<_>>()))
}

fn sample() -> (Vec<u8>, ClientHello) {
    let message = message(&[extension(10, &[0, 2, 0, 29]), sni("A.Example"), alpn(&["istio-h2", "istio", "h2"])]);
    let hello = ClientHello {
        sni: Some("a.example".into()),
        alpn: vec![b"istio-h2".to_vec(), b"istio".to_vec(), b"h2".to_vec()],
    };
    (message, hello)
}

#[test]
fn a_hello_gives_name_and_protocols() {
    let (message, want) = sample();
    check(record(&message), Detected::Tls(want.clone()));
    assert!(want.offers(b"istio") && !want.offers(b"http/1.1"));
    let bare = record(&self::message(&[]));
    check(bare, Detected::Tls(ClientHello::default()));
}

#[test]
fn a_hello_may_be_spread_over_records_and_may_be_followed_by_more() {
    let (message, want) = sample();
    for cut in [1, 3, 4, 40, message.len() - 1] {
        let bytes = [record(&message[..cut]), record(&message[cut..]), vec![0x14, 3, 3]].concat();
        check(bytes, Detected::Tls(want.clone()));
    }
}

#[test]
fn every_beginning_of_a_hello_needs_more() {
    let bytes = record(&sample().0);
    for length in 0..bytes.len() {
        check(&bytes[..length], Detected::NeedMore);
    }
}

#[test]
fn what_only_begins_like_tls_is_opaque() {
    let (message, _) = sample();
    check([0x16, 2, 0, 0, 5], Detected::Opaque);
    check([0x15, 3, 1, 0, 2], Detected::Opaque);
    check([0x16, 3, 1, 0, 0], Detected::Opaque);
    check([0x16, 3, 1, 0xff, 0xff], Detected::Opaque);
    check(record(&[&[2], &message[1..]].concat()), Detected::Opaque);
    let mut broken = message.clone();
    broken[4 + 34] = 200;
    check(record(&broken), Detected::Opaque);
}

#[test]
fn a_hello_without_end_is_too_long() {
    let endless = [vec![1, 0xff, 0xff, 0xff], vec![0; 5000]].concat();
    let bytes = [record(&endless), record(&[0; 16000])].concat();
    check(&bytes[..MAX_HELLO - 1], Detected::NeedMore);
    check(&bytes[..MAX_HELLO], Detected::TooLong);
}

#[test]
fn http_is_told_by_its_first_line() {
    for line in ["GET / HTTP/1.1\r\n", "GET /a b HTTP/1.1\n", "FOO /h HTTP/1.0\r\nhost: x", "OPTIONS * HTTP/1.1\r\n"] {
        check(line, Detected::Http1);
    }
    for other in [
        "\r\nGET / HTTP/1.1\r\n",
        "SET key value\r\n",
        "GET /\r\n",
        "GET  HTTP/1.1\r\n",
        "GET / HTTP/1\r\n",
        "GET / http/1.1\r\n",
        "*1\r\n$4\r\nPING\r\n",
        " GET / HTTP/1.1\r\n",
        "GE\0T / HTTP/1.1\r\n",
        "GET /\0",
        "EHLO\n",
    ] {
        check(other, Detected::Opaque);
    }
    check("A".repeat(33), Detected::Opaque);
}

#[test]
fn half_a_line_needs_more() {
    for part in ["", "G", "GET", "GET ", "GET /x HTTP/1.1", "GET /x HTTP/1.1\r"] {
        check(part, Detected::NeedMore);
    }
    check("A".repeat(32), Detected::NeedMore);
}

#[test]
fn the_preface_is_awaited_whole() {
    for length in 1..H2_PREFACE.len() {
        check(&H2_PREFACE[..length], Detected::NeedMore);
    }
    check([H2_PREFACE, b"\0\0"].concat(), Detected::Http2);
    check("PRI * HTTP/2.0\r\n\r\nXX", Detected::Http1);
}

#[test]
fn a_request_line_of_any_length_is_http() {
    let long = format!("GET /{}", "a".repeat(MAX_LINE));
    check(&long.as_bytes()[..MAX_LINE - 1], Detected::NeedMore);
    check(&long, Detected::Http1);
    check(format!("{long} HTTP/1.1\r\n"), Detected::Http1);
}

#[test]
fn declared_ports_are_looked_at_for_tls_alone() {
    assert_eq!(hello(b"GET"), Detected::Opaque);
    assert_eq!(hello(b"\x16"), Detected::NeedMore);
}

#[test]
fn a_verdict_holds_however_the_bytes_are_cut() {
    let samples: [&[u8]; 8] = [
        b"GET /a b HTTP/1.1\r\nhost: x\r\n",
        b"GET /\x00 HTTP/1.1\r\n",
        b"GET /\r HTTP/1.1\r\n",
        b"GET /\x7f HTTP/1.0\n",
        b"GET / HTTP/1.1\r\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/1.1\r\n",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    ];
    for sample in samples {
        let whole = detect(sample, Look::Everything);
        let early = (0..sample.len())
            .map(|cut| detect(&sample[..cut], Look::Everything))
            .find(|early| *early != Detected::NeedMore);
        assert!(early.is_none_or(|early| early == whole), "{:?}", sample.escape_ascii().to_string());
    }
}
