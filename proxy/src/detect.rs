//! What a connection speaks, told from its first bytes. Pure: the caller peeks, asks, and peeks more while the
//! answer is "need more"; when the peer is silent for too long or closes, it takes that for opaque.
//!
//! As in Istio, but for two things: HTTP/1.0 is HTTP here, and a request line that is too long to be looked at
//! whole is HTTP too, so that the client gets an answer from the codec and not a closed connection.

/// A ClientHello that is not complete within so many bytes ends the connection.
pub const MAX_HELLO: usize = 16 * 1024;
/// More than so many bytes of a first line are not looked at.
pub const MAX_LINE: usize = 8 * 1024;
/// What a client with prior knowledge of HTTP/2 begins with.
pub const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No method is longer.
const MAX_METHOD: usize = 32;

/// What the first bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// Not yet anything.
    NeedMore,
    /// A complete ClientHello.
    Tls(ClientHello),
    /// HTTP/1.x.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Something else.
    Opaque,
    /// A ClientHello that does not end: the connection is to be closed.
    TooLong,
}

impl Detected {
    /// Whether it is HTTP of any version.
    pub fn is_http(&self) -> bool {
        matches!(self, Detected::Http1 | Detected::Http2)
    }
}

/// What a ClientHello says that matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// Server name, lower-case.
    pub sni: Option<String>,
    /// Protocols, in the client's order.
    pub alpn: Vec<Vec<u8>>,
}

impl ClientHello {
    /// Whether the client offers this protocol.
    pub fn offers(&self, protocol: &[u8]) -> bool {
        self.alpn.iter().any(|p| p == protocol)
    }
}

/// What first bytes are looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// TLS alone: what is carried is declared, so that the first byte of plain text is enough.
    Tls,
    /// TLS, then HTTP.
    Everything,
}

/// Looks at first bytes.
pub fn detect(bytes: &[u8], look: Look) -> Detected {
    match (hello(bytes), look) {
        (Detected::Opaque, Look::Everything) => http(bytes),
        (other, _) => other,
    }
}

/// Looks for TLS alone: [`Detected::Tls`], [`Detected::NeedMore`], [`Detected::TooLong`], or [`Detected::Opaque`] for
/// everything else.
pub fn hello(bytes: &[u8]) -> Detected {
    match read_hello(bytes) {
        Ok(hello) => Detected::Tls(hello),
        Err(Short::NotTls) => Detected::Opaque,
        Err(Short::More) if bytes.len() >= MAX_HELLO => Detected::TooLong,
        Err(Short::More) => Detected::NeedMore,
    }
}

/// Looks for HTTP alone.
pub fn http(bytes: &[u8]) -> Detected {
    if bytes.starts_with(H2_PREFACE) {
        return Detected::Http2;
    }
    if H2_PREFACE.starts_with(bytes) {
        return Detected::NeedMore;
    }
    // Methods begin with a letter: numbers and other protocols need not be waited for.
    if bytes.first().is_some_and(|first| !first.is_ascii_alphabetic()) {
        return Detected::Opaque;
    }
    let bytes = &bytes[..bytes.len().min(MAX_LINE)];
    let line_end = memchr::memchr(b'\n', bytes);
    let line = match line_end {
        Some(end) => bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]),
        None => bytes,
    };
    let Some(target) = after_method(line) else {
        let could_be = line_end.is_none() && line.len() <= MAX_METHOD && line.iter().all(|b| is_token(*b));
        return if could_be { Detected::NeedMore } else { Detected::Opaque };
    };
    let text = match line_end {
        Some(_) => target,
        None => target.strip_suffix(b"\r").unwrap_or(target),
    };
    // Of the whole line as of its beginning: how the bytes were cut into pieces must not decide.
    if !text.iter().all(|b| *b >= b' ' && *b != 0x7f) {
        return Detected::Opaque;
    }
    if line_end.is_none() {
        return if bytes.len() < MAX_LINE { Detected::NeedMore } else { Detected::Http1 };
    }
    let is_request = |(target, version): (&[u8], &[u8])| !target.is_empty() && is_version(version);
    match memchr::memrchr(b' ', target).map(|at| (&target[..at], &target[at + 1..])) {
        Some(split) if is_request(split) => Detected::Http1,
        _ => Detected::Opaque,
    }
}

/// What stands behind the method and its space.
fn after_method(line: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b' ', &line[..line.len().min(MAX_METHOD + 1)])?;
    (end > 0 && line[..end].iter().all(|b| is_token(*b))).then(|| &line[end + 1..])
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_version(text: &[u8]) -> bool {
    matches!(text, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

enum Short {
    /// So far it could be one.
    More,
    /// It is none.
    NotTls,
}

/// The handshake message may be spread over several records.
fn read_hello(bytes: &[u8]) -> Result<ClientHello, Short> {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [] => return Err(Short::More),
            [0x16] | [0x16, 0x03] | [0x16, 0x03, ..] => {}
            _ => return Err(Short::NotTls),
        }
        let [_, _, _, high, low, body @ ..] = rest else { return Err(Short::More) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_HELLO {
            return Err(Short::NotTls);
        }
        message.extend_from_slice(&body[..length.min(body.len())]);
        if let Some(complete) = whole_message(&message)? {
            return parse_hello(complete).ok_or(Short::NotTls);
        }
        rest = body.get(length..).ok_or(Short::More)?;
    }
}

/// The ClientHello's body, once all of it is there.
fn whole_message(message: &[u8]) -> Result<Option<&[u8]>, Short> {
    match message {
        [kind, ..] if *kind != 1 => Err(Short::NotTls),
        [_, a, b, c, body @ ..] => {
            let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
            Ok(body.get(..length))
        }
        _ => Ok(None),
    }
}

fn parse_hello(body: &[u8]) -> Option<ClientHello> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    let session = reader.vector8()?;
    let suites = reader.vector16()?;
    let compressions = reader.vector8()?;
    if session.len() > 32 || suites.len() < 2 || suites.len() % 2 != 0 || compressions.is_empty() {
        return None;
    }
    let mut hello = ClientHello::default();
    if reader.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(reader.vector16()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let content = extensions.vector16()?;
        match kind {
            0 => hello.sni = server_name(content)?,
            16 => hello.alpn = protocols(content)?,
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(content: &[u8]) -> Option<Option<String>> {
    let mut names = Reader(Reader(content).vector16()?);
    while !names.0.is_empty() {
        let kind = names.take(1)?[0];
        let name = names.vector16()?;
        if kind == 0 {
            let text = std::str::from_utf8(name).ok().filter(|n| n.is_ascii() && n.len() <= 255)?;
            return Some(Some(text.to_ascii_lowercase()));
        }
    }
    Some(None)
}

fn protocols(content: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(Reader(content).vector16()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vector8()?.to_vec());
    }
    Some(protocols)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn number16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests;
