//! Headers as routing and authorisation look them up, whatever holds them: hyper's map in the proxy, plain pairs in
//! `explain` and tests.

/// Headers by name.
pub trait HeaderLookup {
    /// Hands each value of the header `name` (lower-case) to `f`, in order, until `f` returns false.
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool);
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
