//! When people are at work.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Office hours of one place.
#[derive(Debug, Clone, PartialEq)]
pub struct OfficeHours {
    pub(super) zone: TimeZone,
    pub(super) days: Vec<Weekday>,
    pub(super) from: Time,
    pub(super) to: Time,
}

impl OfficeHours {
    /// Whether `at` lies in them: from the first minute on, up to but not including the last.
    #[must_use]
    pub fn include(&self, at: Timestamp) -> bool {
        let local = at.to_zoned(self.zone.clone());
        self.days.contains(&local.weekday()) && (self.from..self.to).contains(&local.time())
    }

    /// `at`, or the next opening after it. Where a clock change skips the opening, it is the first moment
    /// after it.
    #[must_use]
    pub fn next(&self, at: Timestamp) -> Timestamp {
        if self.include(at) {
            return at;
        }
        let today = at.to_zoned(self.zone.clone()).date();
        // Eight days reach the same weekday again, also where its hours are over today.
        (0..=8)
            .filter_map(|days| today.checked_add(days.days()).ok())
            .filter(|date| self.days.contains(&date.weekday()))
            .filter_map(|date| self.zone.to_timestamp(date.to_datetime(self.from)).ok())
            .find(|opening| *opening > at)
            .unwrap_or(at)
    }
}
