//! The claim protocol: the right to perform one effect, once.
//!
//! An effect without an idempotency token of its own is claimed first: a row is put if there is none,
//! or if the one there has expired, or was left in progress past its deadline (its holder crashed or ran
//! out of time). After the effect the row is completed, and later claimants get the recorded result. A
//! row is never deleted on an error: whoever failed does not know whether the effect happened.
//!
//! The accepted race: between an effect and its completion a crash leaves the row in progress, and past
//! the deadline the effect is performed again. Effects with a token of AWS's stay single even so; a
//! notice is then sent twice under the same id, and shown once.
//!
//! Everything here is arithmetic on a row; `signalbox-ledger` performs the rulings as conditional writes.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// A claim as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What exactly was claimed; see [`digest`].
    pub digest: String,
    /// How far its holder came.
    pub progress: Progress,
    /// Past this moment the row counts as absent, whether or not DynamoDB has deleted it yet
    /// (it takes days).
    pub expires: Timestamp,
}

/// How far a claim's holder came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Somebody performs the effect, and has until then.
    InProgress {
        /// The holder's deadline.
        until: Timestamp,
    },
    /// The effect has been performed.
    Done {
        /// What its holder recorded.
        result: String,
    },
}

/// What a claimant gets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an effect may be performed only on `Take`"]
pub enum Ruling {
    /// The claim: write the row, on condition that what was read still stands.
    Take,
    /// The effect has been performed; this was recorded.
    Done(String),
    /// Somebody else performs it, until then.
    InProgress {
        /// The holder's deadline.
        until: Timestamp,
    },
    /// The same key was claimed for something else: performing either would be wrong for the other.
    Conflict,
}

/// What a claimant of `digest` gets, given the row at hand.
pub fn rule(row: Option<&Row>, digest: &str, now: Timestamp) -> Ruling {
    match row {
        None => Ruling::Take,
        Some(row) if row.expires <= now => Ruling::Take,
        Some(row) if row.digest != digest => Ruling::Conflict,
        Some(Row {
            progress: Progress::Done { result },
            ..
        }) => Ruling::Done(result.clone()),
        Some(Row {
            progress: Progress::InProgress { until },
            ..
        }) if *until <= now => Ruling::Take,
        Some(Row {
            progress: Progress::InProgress { until },
            ..
        }) => Ruling::InProgress { until: *until },
    }
}

/// Hex SHA-256 over the parts, each preceded by its length, so that `["ab", "c"]` and `["a", "bc"]` differ.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn row(progress: Progress, expires: i64) -> Row {
        Row {
            digest: "d".to_owned(),
            progress,
            expires: at(expires),
        }
    }

    #[test]
    fn the_first_claimant_takes_it() {
        assert_eq!(rule(None, "d", at(0)), Ruling::Take);
    }

    #[test]
    fn within_the_deadline_it_is_held_and_at_the_deadline_taken_over() {
        let row = row(Progress::InProgress { until: at(60) }, 1000);
        assert_eq!(
            rule(Some(&row), "d", at(59)),
            Ruling::InProgress { until: at(60) }
        );
        assert_eq!(rule(Some(&row), "d", at(60)), Ruling::Take);
    }

    #[test]
    fn a_performed_effect_stays_performed_until_the_row_expires() {
        let row = row(
            Progress::Done {
                result: "r".to_owned(),
            },
            1000,
        );
        assert_eq!(rule(Some(&row), "d", at(999)), Ruling::Done("r".to_owned()));
        assert_eq!(rule(Some(&row), "d", at(1000)), Ruling::Take);
    }

    #[test]
    fn another_payload_under_the_same_key_is_refused_even_past_the_deadline() {
        for progress in [
            Progress::InProgress { until: at(1) },
            Progress::Done {
                result: String::new(),
            },
        ] {
            assert_eq!(
                rule(Some(&row(progress, 1000)), "other", at(500)),
                Ruling::Conflict
            );
        }
    }

    proptest! {
        /// Claimants come at any time, and some crash after claiming: two never hold the claim at once,
        /// and after a completion nobody does.
        #[test]
        fn never_two_holders(visits in proptest::collection::vec((0i64..30, any::<bool>()), 1..60)) {
            let mut stored: Option<Row> = None;
            let mut holder_until: Option<Timestamp> = None;
            let mut done = false;
            let mut now = at(0);
            for (step, crashes) in visits {
                now += SignedDuration::from_secs(step);
                match rule(stored.as_ref(), "d", now) {
                    Ruling::Take => {
                        prop_assert!(!done);
                        prop_assert!(holder_until.is_none_or(|until| until <= now));
                        let until = now + SignedDuration::from_secs(20);
                        let progress = if crashes {
                            holder_until = Some(until);
                            Progress::InProgress { until }
                        } else {
                            done = true;
                            Progress::Done { result: "r".to_owned() }
                        };
                        stored = Some(Row { digest: "d".to_owned(), progress, expires: at(1_000_000) });
                    }
                    Ruling::Done(result) => prop_assert!(done && result == "r"),
                    Ruling::InProgress { until } => prop_assert_eq!(Some(until), holder_until),
                    Ruling::Conflict => prop_assert!(false),
                }
            }
        }

        #[test]
        fn the_digest_knows_where_parts_end(a in ".{0,8}", b in ".{0,8}", c in ".{0,8}", d in ".{0,8}") {
            prop_assert_eq!(digest(&[&a, &b]) == digest(&[&c, &d]), a == c && b == d);
        }
    }
}
