//! When an alarm turned red, told by two clocks' spellings that are not quite the same.
//!
//! CloudWatch's answers name moments as floating point seconds (Smithy's CBOR protocol), and the SDK cuts what it
//! reads to milliseconds: of `.123`, which a double keeps as `.12299999`, it makes `.122`. Its events spell the same
//! moments in full. What an answer names may therefore be a millisecond early; it is never late.

use jiff::{SignedDuration, Timestamp};

/// How early an answer may name a moment.
const EARLY: SignedDuration = SignedDuration::from_millis(1);

/// Whether an alarm that answers say is red `since` then certainly was so before a deployment's creation.
#[must_use]
pub fn certainly_before(since: Timestamp, created: Timestamp) -> bool {
    since < created && created.duration_since(since) > EARLY
}

/// How much later than it fired an alarm may be heard of: Lambda keeps an event that it cannot hand over for six hours
/// (Lambda developer guide, "Asynchronous invocation"), and the sweep makes up for one that was lost.
pub const HEARD_WITHIN: SignedDuration = SignedDuration::from_hours(6);

/// Whether an alarm that turned red at `since`, and is judged `now`, speaks of a deployment that had succeeded at
/// `completed`. What counts is when it turned red: a throttled call, or a lost event, takes nothing from the window.
#[must_use]
pub fn is_within_bake(since: Timestamp, completed: Timestamp, bake: SignedDuration, now: Timestamp) -> bool {
    since.duration_since(completed) <= bake && now.duration_since(completed) <= bake + HEARD_WITHIN
}

/// Every moment that another delivery of a change at `at` may name for it, this one first: one from CloudWatch, and
/// one that the sweep made from an answer.
#[must_use]
pub fn spellings(at: Timestamp) -> [Option<Timestamp>; 3] {
    [Some(at), at.checked_sub(EARLY).ok(), at.checked_add(EARLY).ok()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    #[test]
    fn a_cut_millisecond_makes_no_alarm_older_than_the_deployment() {
        let created = at(0);
        for (since, before) in [(1, false), (0, false), (-1, false), (-2, true), (-60_000, true)] {
            assert_eq!(certainly_before(at(since), created), before, "{since} ms");
        }
    }

    #[test]
    fn a_change_is_known_by_each_moment_that_may_be_read_for_it() {
        let told = at(123);
        let read = at(122);
        assert!(spellings(told).contains(&Some(read)));
        assert!(spellings(read).contains(&Some(told)));
        assert_eq!(
            spellings(Timestamp::MIN),
            [Some(Timestamp::MIN), None, Timestamp::MIN.checked_add(EARLY).ok()]
        );
    }
}
