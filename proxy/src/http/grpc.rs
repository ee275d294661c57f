//! What gRPC adds to HTTP: timeouts in a header, messages in bodies, and its own form of errors.

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

/// Counts length-prefixed messages in a body that comes in pieces.
#[derive(Debug, Default)]
pub struct Messages {
    count: u64,
    /// Bytes of the prefix seen so far, and the length they give.
    prefix: usize,
    length: u32,
    /// Bytes of the message still to come.
    left: u32,
}

impl Messages {
    /// The next piece.
    pub fn read(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.left > 0 {
                let skip = piece.len().min(self.left as usize);
                self.left -= skip as u32;
                piece = &piece[skip..];
                continue;
            }
            if self.prefix > 0 {
                self.length = (self.length << 8) | u32::from(piece[0]);
            }
            self.prefix += 1;
            piece = &piece[1..];
            if self.prefix == 5 {
                self.count += 1;
                self.left = self.length;
                (self.prefix, self.length) = (0, 0);
            }
        }
    }

    /// Messages begun.
    pub fn count(&self) -> u64 {
        self.count
    }
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
    fn messages_are_counted_however_they_are_cut() {
        let mut body = Vec::new();
        for length in [0_u8, 3, 7] {
            body.extend([0, 0, 0, 0, length]);
            body.extend(std::iter::repeat_n(9, usize::from(length)));
        }
        for size in 1..body.len() {
            let mut messages = Messages::default();
            body.chunks(size).for_each(|piece| messages.read(piece));
            assert_eq!(messages.count(), 3, "pieces of {size}");
        }
    }

    #[test]
    fn messages_of_errors_are_printable() {
        assert_eq!(message_value("50% é\n"), "50%25 %C3%A9%0A");
    }
}
