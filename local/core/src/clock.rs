//! The engines' clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time, and waits.
///
/// *Scaled* means that configured durations (a canary's interval, an alarm's period, an approval's
/// time-out) pass `scale` times faster, while time stamps stay those of the wall clock: the functions
/// are real processes with the real clock, and both must agree on what "now" is.
///
/// *Virtual* needs nothing of its own: under tokio's paused time (`start_paused`), `now` and `sleep`
/// follow tokio's clock, and seven days pass in no time.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: Timestamp,
    start: Instant,
    scale: f64,
}

impl Clock {
    /// A clock in which configured durations pass `scale` times faster (1.0: as configured).
    /// A scale that is not a positive number counts as 1.0.
    #[must_use]
    pub fn new(scale: f64) -> Self {
        let scale = if scale.is_finite() && scale > 0.0 {
            scale
        } else {
            1.0
        };
        Self {
            origin: Timestamp::now(),
            start: Instant::now(),
            scale,
        }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.start.elapsed()).unwrap_or(SignedDuration::MAX);
        self.origin.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The current time as AWS's JSON protocols write it: seconds since the epoch, with milliseconds.
    #[must_use]
    pub fn epoch_seconds(&self) -> f64 {
        Self::to_epoch_seconds(self.now())
    }

    /// A time stamp as AWS's JSON protocols write it.
    #[must_use]
    pub fn to_epoch_seconds(at: Timestamp) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of this age fit an f64 exactly"
        )]
        let millis = at.as_millisecond() as f64;
        millis / 1000.0
    }

    /// How many times faster configured durations pass.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// How long a configured duration takes on this clock.
    #[must_use]
    pub fn scaled(&self, configured: Duration) -> Duration {
        configured.div_f64(self.scale)
    }

    /// Waits for a configured duration (AWS's own minutes and seconds; scaled here).
    pub async fn sleep(&self, configured: Duration) {
        tokio::time::sleep(self.scaled(configured)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn seven_days_pass_in_no_time_under_a_virtual_clock() {
        let clock = Clock::new(1.0);
        let before = clock.now();
        clock.sleep(Duration::from_hours(7 * 24)).await;
        assert_eq!(clock.now().duration_since(before).as_hours(), 7 * 24);
    }

    #[tokio::test(start_paused = true)]
    async fn a_scaled_clock_shortens_durations_but_not_the_wall() {
        let clock = Clock::new(60.0);
        let before = clock.now();
        clock.sleep(Duration::from_mins(5)).await;
        assert_eq!(clock.now().duration_since(before).as_secs(), 5);
    }

    #[test]
    fn a_senseless_scale_counts_as_one() {
        for scale in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert!((Clock::new(scale).scale() - 1.0).abs() < f64::EPSILON);
        }
    }
}
