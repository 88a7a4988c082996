//! How CloudWatch writes times and numbers in texts.

use jiff::Timestamp;

/// `2019-10-02T17:04:40.985+0000`, as in events and in reason data.
pub(crate) fn event_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}

/// `01/10/19 13:46:00`, as in reasons.
pub(crate) fn reason_time(at: Timestamp) -> String {
    at.strftime("%d/%m/%y %H:%M:%S").to_string()
}

/// `Friday 04 August, 2023 12:54:46 UTC`, as in the reasons of composite alarms.
pub(crate) fn long_time(at: Timestamp) -> String {
    at.strftime("%A %d %B, %Y %H:%M:%S UTC").to_string()
}

/// With a decimal point always: `50.0`.
pub(crate) fn decimal(value: f64) -> String {
    format!("{value:?}")
}
