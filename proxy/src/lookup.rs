//! Headers as routing and authorisation look them up, whatever holds them: hyper's map in the proxy, plain pairs in
//! `explain` and tests.

/// Headers by name.
pub trait HeaderLookup {
    /// Hands each value of the header `name` (lower-case) to `f`, in order, until `f` returns false.
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool);
}

/// What [`find`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is no such header.
    Absent,
    /// It is there, and none of its values is wanted.
    Other,
    /// One of its values is wanted.
    Wanted,
}

/// Looks for a value of the header `name` (lower-case) that is wanted. This is how routing and authorisation hold
/// headers against their rules: a header that stands several times has several values, each looked at alone, as
/// Envoy does; cookies are one value however they were sent (RFC 9113, 8.2.3).
pub fn find(headers: &dyn HeaderLookup, name: &str, wanted: impl Fn(&[u8]) -> bool) -> Found {
    if name == "cookie" {
        return cookie(headers, wanted);
    }
    let mut found = Found::Absent;
    headers.values(name, &mut |value| {
        found = if wanted(value) { Found::Wanted } else { Found::Other };
        found != Found::Wanted
    });
    found
}

fn cookie(headers: &dyn HeaderLookup, wanted: impl Fn(&[u8]) -> bool) -> Found {
    let mut joined: Option<Vec<u8>> = None;
    headers.values("cookie", &mut |value| {
        let all = joined.get_or_insert_default();
        if !all.is_empty() && !value.is_empty() {
            all.extend_from_slice(b"; ");
        }
        all.extend_from_slice(value);
        true
    });
    match joined {
        None => Found::Absent,
        Some(all) if wanted(&all) => Found::Wanted,
        Some(_) => Found::Other,
    }
}

/// No headers.
impl HeaderLookup for () {
    fn values(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) {}
}

/// Name and value pairs; names are compared without case.
impl<N: AsRef<str>, V: AsRef<[u8]>> HeaderLookup for [(N, V)] {
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool) {
        for (_, value) in self.iter().filter(|(n, _)| n.as_ref().eq_ignore_ascii_case(name)) {
            if !f(value.as_ref()) {
                return;
            }
        }
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> HeaderLookup for Vec<(N, V)> {
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool) {
        self.as_slice().values(name, f);
    }
}

#[cfg(feature = "serve")]
impl HeaderLookup for http::HeaderMap {
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool) {
        for value in self.get_all(name) {
            if !f(value.as_bytes()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_counts_alone_and_cookies_are_one() {
        let headers = vec![("X-Block", "0"), ("x-block", "1"), ("cookie", "a=1"), ("cookie", "b=2")];
        let is = |name: &str, value: &str| find(&headers, name, |v| v == value.as_bytes());
        assert_eq!(is("x-block", "0"), Found::Wanted);
        assert_eq!(is("x-block", "1"), Found::Wanted);
        assert_eq!(is("x-block", "0,1"), Found::Other);
        assert_eq!(is("x-other", ""), Found::Absent);
        assert_eq!(is("cookie", "a=1; b=2"), Found::Wanted);
        assert_eq!(is("cookie", "b=2"), Found::Other);
        let empty = vec![("cookie", ""), ("cookie", "a=1"), ("cookie", "")];
        assert_eq!(find(&empty, "cookie", |v| v == b"a=1"), Found::Wanted, "as it is sent on");
        assert_eq!(find(&vec![("cookie", "")], "cookie", <[u8]>::is_empty), Found::Wanted);
    }
}
