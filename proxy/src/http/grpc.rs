//! What gRPC adds to the heads of HTTP: timeouts in a header, and its own form of errors.

use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// The client's time limit; `None`: absent or not valid (no unit, more than eight digits).
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    let millis = |parts: u64| Duration::from_millis(n.div_ceil(parts));
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => millis(1),
        "u" => millis(1000),
        "n" => millis(1_000_000),
        _ => return None,
    })
}

/// The same as a header: the finest unit from milliseconds up in which it has at most eight digits.
pub fn timeout_value(limit: Duration) -> HeaderValue {
    let millis = limit.as_millis();
    let units: [(u128, char); 4] = [(1, 'm'), (1000, 'S'), (60_000, 'M'), (3_600_000, 'H')];
    let (parts, unit) = units.into_iter().find(|(parts, _)| millis / parts < 100_000_000).unwrap_or(units[3]);
    let text = format!("{}{unit}", (millis / parts).min(99_999_999));
    HeaderValue::try_from(text).expect("digits and a letter")
}

/// The gRPC status that stands for an HTTP status.
pub fn status_of(http: u16) -> u16 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// `grpc-message`: everything outside printable ASCII, and `%`, percent-encoded.
pub fn message_value(text: &str) -> HeaderValue {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    HeaderValue::try_from(out).expect("printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_and_written() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::try_from(text).unwrap());
            timeout(&headers)
        };
        for (text, millis) in [("3S", 3000), ("10m", 10), ("1500u", 2), ("1n", 1), ("1M", 60_000), ("2H", 7_200_000)] {
            assert_eq!(read(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["3", "S", "-1S", "123456789S", "3x", ""] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(timeout_value(Duration::from_secs(7)), "7000m");
        assert_eq!(timeout_value(Duration::from_secs(1_000_000)), "1000000S");
    }

    #[test]
    fn messages_of_errors_are_printable() {
        assert_eq!(message_value("50% é\n"), "50%25 %C3%A9%0A");
    }
}
