//! Moments and spans as texts: RFC 3339 both ways, and spans as Go's `time.Duration` reads them. Whoever has a clock asks it;
//! here numbers become texts and texts numbers.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A moment in UTC, written as `2026-11-21T04:22:14Z`, or with its milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utc {
    seconds: i64,
    millis: Option<u32>,
}

impl Utc {
    /// To the second, counted from the epoch.
    pub fn of_seconds(seconds: i64) -> Self {
        Utc { seconds, millis: None }
    }

    /// To the millisecond; a moment before the epoch is the epoch.
    pub fn of_millis(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Utc { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), millis: Some(since.subsec_millis()) }
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)?;
        match self.millis {
            Some(millis) => write!(f, ".{millis:03}Z"),
            None => f.write_str("Z"),
        }
    }
}

/// Year, month, day of a day counted from 1970-01-01, in eras of 400 years that begin in March, so that the leap day is
/// the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Seconds since the epoch of an RFC 3339 time; fractions are cut off.
pub fn epoch_seconds(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    let sign = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
    if !(sign(4, b"-") && sign(7, b"-") && sign(10, b"Tt ") && sign(13, b":") && sign(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    Some(days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)?)
}

/// Seconds that a zone (`Z`, `+02:00`) is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => (1, &zone[1..]),
        [b'-', ..] => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let part = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten().map(i64::from);
    Some(sign * (part(hours)? * 3_600 + part(minutes)? * 60))
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March so that leap days come last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
    days - 719_468
}

/// A time span as Go's `time.Duration` reads it, without a sign: numbers with units `h`, `m`, `s`, `ms`, `us`
/// (`µs`), `ns` one after the other, or `0`. `None` when it is not one, or longer than 292 years.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos: u64 = 0;
    while !rest.is_empty() || nanos == 0 && text.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale: u64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(digits, scale)?).filter(|n| i64::try_from(*n).is_ok())?;
        rest = tail;
        if rest.is_empty() {
            return Some(Duration::from_nanos(nanos));
        }
    }
    None
}

/// `digits`, maybe with a fraction, times `scale`.
fn scaled(digits: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut part = 0;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        part += u64::from(digit - b'0') * unit;
    }
    whole.checked_mul(scale)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_795_276_800, "2026-11-21T16:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Utc::of_seconds(seconds).to_string(), want);
            assert_eq!(epoch_seconds(want), Some(seconds));
        }
        let time = UNIX_EPOCH + Duration::from_millis(1_795_235_799_458);
        assert_eq!(Utc::of_millis(time).to_string(), "2026-11-21T04:36:39.458Z");
        assert_eq!(Utc::of_millis(UNIX_EPOCH + Duration::from_millis(5)).to_string(), "1970-01-01T00:00:00.005Z");
    }

    #[test]
    fn times_are_seconds_since_the_epoch() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2024-05-01T12:00:00+02:00", Some(1_714_557_600)),
            ("2024-05-01T10:00:00.123Z", Some(1_714_557_600)),
            ("2024-05-01", None),
            ("2024-13-01T10:00:00Z", None),
            ("2024-05-01T10:00:00", None),
            ("2024-05-01T10:00:0éZ", None),
        ] {
            assert_eq!(epoch_seconds(text), want, "{text}");
        }
    }
}
