//! Heads of requests. Whatever a head comes to, the head that is written from it comes to the same on the next hop, in
//! either version, and holds one host and a path that normalises to itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_config::path::{Normalization, normalize};
use mesh_proxy::head::{BadRequest, Canonical, Target, Version, check, connection, scan};

fn read<'a>(target: Target<'a>, fields: &[(&'a str, &'a [u8])]) -> Result<Canonical<'a>, BadRequest> {
    let named = |name: &'static str| fields.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value);
    let mut ends_here = Vec::new();
    let said = connection(named("connection"), |name| ends_here.push(name))?;
    assert!(ends_here.iter().all(|name| !name.eq_ignore_ascii_case(b"host")));
    let host = named("host").next();
    check(&Target { host, ..target }, &scan(fields.iter().copied()), said, Normalization::Base)
}

fuzz_target!(|data: &[u8]| {
    // Lines: method, scheme, authority, path, then `name:value`; what is empty is not there.
    let mut lines = data.split(|b| *b == b'\n');
    let Some(&[version, ref method @ ..]) = lines.next() else { return };
    let mut part = || lines.next().and_then(|l| std::str::from_utf8(l).ok()).filter(|l| !l.is_empty());
    let version = match version % 3 {
        0 => Version::Http10,
        1 => Version::Http11,
        _ => Version::Http2,
    };
    let Ok(method) = std::str::from_utf8(method) else { return };
    let target = Target { version, method, scheme: part(), authority: part(), path: part(), host: None };
    let fields: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|b| *b == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        })
        .collect();
    let Ok(head) = read(target, &fields) else { return };
    assert!(head.authority.bytes().all(|b| b.is_ascii_graphic() && !b"/?#\"<>\\^`{|}".contains(&b)));
    assert_eq!(head.path.is_none(), method == "CONNECT");
    let Some(path) = head.path.as_deref() else { return };
    assert_eq!(normalize(path, Normalization::Base).as_deref(), Ok(path), "the path is a fixed point");

    let http1 = [("host", head.authority.as_bytes())];
    let next = Target { version: Version::Http11, method, scheme: None, authority: None, path: Some(path), host: None };
    let http2 = Target { version: Version::Http2, scheme: Some("http"), authority: Some(head.authority), ..next };
    for again in [read(next, &http1), read(http2, &[])] {
        let again = again.expect("a canonical head is not refused");
        assert_eq!((again.authority, again.path.as_deref()), (head.authority, Some(path)));
    }
});
