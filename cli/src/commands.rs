//! One file for each command.

pub(crate) mod audit;
pub(crate) mod doctor;
pub(crate) mod status;
pub(crate) mod trigger;
pub(crate) mod watch;

use jiff::SignedDuration;
use tokio::time::{Duration, Instant};

/// A length of time as people write it: `90s`, `5m`, `1h 30m`, `PT5M`.
fn length(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| format!("{text:?} is no length of time such as 90s, 5m or 1h 30m"))?;
    Duration::try_from(parsed)
        .ok()
        .filter(|length| !length.is_zero())
        .ok_or_else(|| "a length of time is more than nothing".to_owned())
}

/// When a length of time from now is over; never, where that is later than a clock can tell.
fn deadline(after: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(after?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        assert_eq!(length("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(length("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(length("PT5M"), Ok(Duration::from_secs(300)));
        for wrong in ["", "5", "0s", "-1m", "soon"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }
}
