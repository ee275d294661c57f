//! Formats of the access log: Envoy's command operators, parsed once.
//!
//! Served: the operators of Istio's default format, and those of [`Operator`]. An operator that is not known prints
//! `-`, and reading the format says so.

/// Istio's default text format.
pub const DEFAULT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// One value of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is Envoy's operator of its name")]
pub enum Operator {
    StartTime,
    Method,
    Path,
    Protocol,
    ResponseCode,
    ResponseFlags,
    ResponseCodeDetails,
    ConnectionTerminationDetails,
    UpstreamTransportFailureReason,
    BytesReceived,
    BytesSent,
    Duration,
    UpstreamServiceTime,
    ForwardedFor,
    UserAgent,
    RequestId,
    Authority,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocalAddress,
    DownstreamLocalAddress,
    DownstreamRemoteAddress,
    DownstreamDirectRemoteAddress,
    RequestedServerName,
    RouteName,
    DownstreamPeerUriSan,
    DownstreamLocalUriSan,
    UpstreamPeerUriSan,
    GrpcStatus,
    RequestAttemptCount,
}

use Operator as O;

/// Keys of the JSON form, in the order in which they are written (alphabetical, as Envoy does).
pub const JSON: [(&str, Operator); 23] = [
    ("authority", O::Authority),
    ("bytes_received", O::BytesReceived),
    ("bytes_sent", O::BytesSent),
    ("connection_termination_details", O::ConnectionTerminationDetails),
    ("downstream_local_address", O::DownstreamLocalAddress),
    ("downstream_remote_address", O::DownstreamRemoteAddress),
    ("duration", O::Duration),
    ("method", O::Method),
    ("path", O::Path),
    ("protocol", O::Protocol),
    ("request_id", O::RequestId),
    ("requested_server_name", O::RequestedServerName),
    ("response_code", O::ResponseCode),
    ("response_code_details", O::ResponseCodeDetails),
    ("response_flags", O::ResponseFlags),
    ("route_name", O::RouteName),
    ("start_time", O::StartTime),
    ("upstream_cluster", O::UpstreamCluster),
    ("upstream_host", O::UpstreamHost),
    ("upstream_local_address", O::UpstreamLocalAddress),
    ("upstream_service_time", O::UpstreamServiceTime),
    ("upstream_transport_failure_reason", O::UpstreamTransportFailureReason),
    ("user_agent", O::UserAgent),
];

impl Operator {
    /// Whether JSON writes it as a number.
    pub fn is_number(self) -> bool {
        matches!(self, O::BytesReceived | O::BytesSent | O::Duration | O::ResponseCode | O::RequestAttemptCount)
    }

    /// By the text between the percent signs.
    fn parse(text: &str) -> Option<Self> {
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name, rest.split_once(')').map(|(a, _)| a)?),
            None => (text, ""),
        };
        Some(match (name, argument.to_ascii_uppercase().as_str()) {
            ("START_TIME", "") => O::StartTime,
            ("REQ", ":METHOD") => O::Method,
            ("REQ", ":PATH" | "X-ENVOY-ORIGINAL-PATH?:PATH" | "X-ENVOY-ORIGINAL-PATH") => O::Path,
            ("REQ", ":AUTHORITY" | "HOST") => O::Authority,
            ("REQ", "X-FORWARDED-FOR") => O::ForwardedFor,
            ("REQ", "USER-AGENT") => O::UserAgent,
            ("REQ", "X-REQUEST-ID") => O::RequestId,
            ("RESP", "X-ENVOY-UPSTREAM-SERVICE-TIME") => O::UpstreamServiceTime,
            ("PROTOCOL", _) => O::Protocol,
            ("RESPONSE_CODE", _) => O::ResponseCode,
            ("RESPONSE_FLAGS", _) => O::ResponseFlags,
            ("RESPONSE_CODE_DETAILS", _) => O::ResponseCodeDetails,
            ("CONNECTION_TERMINATION_DETAILS", _) => O::ConnectionTerminationDetails,
            ("UPSTREAM_TRANSPORT_FAILURE_REASON", _) => O::UpstreamTransportFailureReason,
            ("BYTES_RECEIVED", _) => O::BytesReceived,
            ("BYTES_SENT", _) => O::BytesSent,
            ("DURATION", _) => O::Duration,
            ("UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS", _) => O::UpstreamHost,
            ("UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW", _) => O::UpstreamCluster,
            ("UPSTREAM_LOCAL_ADDRESS", _) => O::UpstreamLocalAddress,
            ("DOWNSTREAM_LOCAL_ADDRESS", _) => O::DownstreamLocalAddress,
            ("DOWNSTREAM_REMOTE_ADDRESS", _) => O::DownstreamRemoteAddress,
            ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", _) => O::DownstreamDirectRemoteAddress,
            ("REQUESTED_SERVER_NAME", _) => O::RequestedServerName,
            ("ROUTE_NAME", _) => O::RouteName,
            ("DOWNSTREAM_PEER_URI_SAN", _) => O::DownstreamPeerUriSan,
            ("DOWNSTREAM_LOCAL_URI_SAN", _) => O::DownstreamLocalUriSan,
            ("UPSTREAM_PEER_URI_SAN", _) => O::UpstreamPeerUriSan,
            ("GRPC_STATUS" | "GRPC_STATUS_NUMBER", _) => O::GrpcStatus,
            ("UPSTREAM_REQUEST_ATTEMPT_COUNT", _) => O::RequestAttemptCount,
            _ => return None,
        })
    }
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    Value(Operator),
}

/// A text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// In order.
    pub pieces: Vec<Piece>,
    /// Operators that are not served; they print `-`.
    pub unknown: Vec<String>,
}

impl Format {
    /// Reads a format; empty means [`DEFAULT`].
    pub fn parse(text: &str) -> Self {
        let mut unknown = Vec::new();
        let mut pieces = pieces(if text.is_empty() { DEFAULT } else { text }, &mut unknown);
        match pieces.last_mut() {
            Some(Piece::Text(text)) if text.ends_with('\n') => {}
            Some(Piece::Text(text)) => text.push('\n'),
            _ => pieces.push(Piece::Text("\n".to_owned())),
        }
        Format { pieces, unknown }
    }
}

/// The pieces of a template. Operators that are not served are added to `unknown`, and print `-`.
pub fn pieces(text: &str, unknown: &mut Vec<String>) -> Vec<Piece> {
    let mut rest = text;
    let (mut pieces, mut plain) = (Vec::new(), String::new());
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('%') {
            plain.push('%');
            rest = tail;
            continue;
        }
        let Some(end) = rest.find('%') else {
            plain.push('%');
            break;
        };
        let (name, tail) = (&rest[..end], &rest[end + 1..]);
        match Operator::parse(name) {
            Some(operator) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Value(operator));
            }
            None => {
                unknown.push(name.to_owned());
                plain.push('-');
            }
        }
        rest = tail;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_format_is_served_whole() {
        let format = Format::parse("");
        assert_eq!(format.unknown, Vec::<String>::new());
        assert_eq!(format.pieces.iter().filter(|p| matches!(p, Piece::Value(_))).count(), 24);
    }

    #[test]
    fn unknown_operators_are_named_and_print_a_dash() {
        let format = Format::parse("%PROTOCOL% 100%% %CEL(x)% end");
        assert_eq!(format.unknown, ["CEL(x)"]);
        assert_eq!(format.pieces, [Piece::Value(O::Protocol), Piece::Text(" 100% - end\n".into())]);
    }
}
