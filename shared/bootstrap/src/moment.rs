//! Moments that AWS's answers name.

use aws_smithy_types::DateTime;
use jiff::Timestamp;

/// A moment of an answer, to the millisecond.
///
/// CodeDeploy and CodePipeline answer in floating point seconds, whose error is below a microsecond; events write the
/// same moments in milliseconds. Only so cut do the two compare. Of CloudWatch's moments the SDK has cut a millisecond
/// too much before they come here, where the double lay just below it; whoever compares them allows for that.
///
/// `None` where the moment lies outside of what a [`Timestamp`] holds.
#[must_use]
pub fn moment(at: &DateTime) -> Option<Timestamp> {
    const MICROSECOND: i128 = 1_000;
    let millis = (at.as_nanos() + MICROSECOND).div_euclid(1_000_000);
    Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_the_event_writes_it() {
        for (nanos, millis) in [
            (1_800_000_000_984_999_895, 1_800_000_000_985),
            (1_800_000_000_985_000_000, 1_800_000_000_985),
            (1_800_000_000_985_000_133, 1_800_000_000_985),
            // A finer clock than AWS's: the event cuts it off.
            (1_800_000_000_985_999_000 - 1_000, 1_800_000_000_985),
        ] {
            assert_eq!(
                moment(&DateTime::from_nanos(nanos).unwrap()).unwrap(),
                Timestamp::from_millisecond(millis).unwrap()
            );
        }
    }
}
