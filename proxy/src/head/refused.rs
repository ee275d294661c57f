//! Why the head of a request is refused, and what the client is told. Texts are Envoy's, since alerts are built on them.

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadRequest {
    /// No Host.
    MissingHost,
    /// A character that no host has, or more hosts than one.
    InvalidAuthority,
    /// `OPTIONS *` and the like.
    AbsolutePath,
    /// CONNECT to anything but a host.
    ConnectTarget,
    /// The path cannot be made canonical.
    Path,
    /// Ten tokens or more in Connection, or one that must not be there.
    ConnectionHeader,
    /// Lengths that differ, or are no numbers.
    ContentLength,
    /// A Transfer-Encoding other than chunked.
    TransferEncoding,
    /// An absolute URL of another scheme than http and https.
    Scheme,
    /// A head above the limit.
    HeadersTooLarge,
    /// More fields than the limit.
    TooManyHeaders,
    /// The codec could not read it.
    Codec,
    /// The codec could not read the body.
    Body,
    /// Characters that no path may have, or spaces around the value of a field.
    InvalidCharacters,
}

impl BadRequest {
    /// The status that the client sees.
    pub fn status(self) -> u16 {
        match self {
            BadRequest::AbsolutePath => 404,
            BadRequest::HeadersTooLarge | BadRequest::TooManyHeaders => 431,
            BadRequest::MissingHost
            | BadRequest::InvalidAuthority
            | BadRequest::ConnectTarget
            | BadRequest::Path
            | BadRequest::ConnectionHeader
            | BadRequest::ContentLength
            | BadRequest::TransferEncoding
            | BadRequest::Scheme
            | BadRequest::Codec
            | BadRequest::Body
            | BadRequest::InvalidCharacters => 400,
        }
    }

    /// `response_code_details`.
    pub fn details(self) -> &'static str {
        match self {
            BadRequest::MissingHost => "missing_host_header",
            BadRequest::InvalidAuthority => "http.invalid_authority",
            BadRequest::AbsolutePath => "absolute_path_rejected",
            BadRequest::Path => "path_normalization_failed",
            BadRequest::ConnectionHeader => "http1.connection_header_rejected",
            BadRequest::TransferEncoding => "http1.invalid_transfer_encoding",
            BadRequest::Scheme => "http1.invalid_scheme",
            BadRequest::HeadersTooLarge => "http1.headers_too_large",
            BadRequest::TooManyHeaders => "http1.too_many_headers",
            BadRequest::InvalidCharacters => "http1.invalid_characters",
            BadRequest::ConnectTarget | BadRequest::ContentLength | BadRequest::Codec | BadRequest::Body => {
                "http1.codec_error"
            }
        }
    }

    /// Whether Envoy's codec would have refused it: flag DPE, status phrase as text, connection closed.
    pub fn is_codec(self) -> bool {
        !matches!(self, BadRequest::MissingHost | BadRequest::AbsolutePath | BadRequest::Path)
    }
}
