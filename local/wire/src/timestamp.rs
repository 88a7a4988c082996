//! Time stamps: epoch seconds inside, several spellings outside.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// How a time stamp is spelled on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Seconds since the epoch, a number.
    Epoch,
    /// `2026-01-02T03:04:05.678Z`.
    Iso8601,
    /// `Fri, 02 Jan 2026 03:04:05 GMT`.
    Rfc822,
}

impl Spelling {
    /// The model's own `timestampFormat`, else the protocol's default.
    pub(crate) fn of(format: Option<&str>, default: Self) -> Self {
        match format {
            Some("iso8601") => Self::Iso8601,
            Some("rfc822") => Self::Rfc822,
            Some("unixTimestamp") => Self::Epoch,
            _ => default,
        }
    }
}

fn at(epoch: f64) -> Option<Timestamp> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "AWS keeps milliseconds; what does not fit is refused"
    )]
    let millis = (epoch * 1000.0).round() as i64;
    Timestamp::from_millisecond(millis).ok()
}

/// Writes epoch seconds as text.
pub(crate) fn spell(epoch: f64, spelling: Spelling) -> String {
    let Some(at) = at(epoch) else {
        return epoch.to_string();
    };
    match spelling {
        Spelling::Epoch => epoch.to_string(),
        Spelling::Iso8601 => at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Spelling::Rfc822 => rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&at)
            .unwrap_or_else(|_| epoch.to_string()),
    }
}

/// Reads any of the spellings.
pub(crate) fn read(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(epoch) = text.parse::<f64>() {
        return epoch.is_finite().then_some(epoch);
    }
    let at = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp()))
        .or_else(|| {
            // A date, or a date and time without an offset, counts as UTC.
            let civil = text.parse::<jiff::civil::DateTime>().ok()?;
            civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        })?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of this age fit an f64 exactly"
    )]
    let millis = at.as_millisecond() as f64;
    Some(millis / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_back_to_the_millisecond() {
        let epoch = 1_767_323_045.678;
        for spelling in [Spelling::Epoch, Spelling::Iso8601] {
            assert_eq!(read(&spell(epoch, spelling)), Some(epoch), "{spelling:?}");
        }
        assert_eq!(spell(epoch, Spelling::Iso8601), "2026-01-02T03:04:05.678Z");
        assert_eq!(spell(epoch, Spelling::Rfc822), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(read("Fri, 02 Jan 2026 03:04:05 GMT"), Some(1_767_323_045.0));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "NaN", "2026-13-01T00:00:00Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_alone_counts_as_utc() {
        assert_eq!(read("2026-01-02"), Some(1_767_312_000.0));
    }
}
