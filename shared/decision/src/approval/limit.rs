//! How often somebody may ask: a bucket of tokens for each key, refilled steadily.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// Keys that are remembered. The one that was idle longest goes first, and starts anew if it comes again.
const MAX_KEYS: usize = 4096;

/// A rate: so many at once, and one more after each pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once.
    pub burst: u32,
    /// After how long one more may come.
    pub pause: SignedDuration,
}

/// The buckets of all keys under one rate. In memory: every process has its own, so that the whole allows
/// as many times the rate as there are processes.
#[derive(Debug)]
pub struct Limit {
    rate: Rate,
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u32,
    /// Up to when refills have been counted.
    counted: Timestamp,
}

/// It is too much; one more is taken after so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// At least a second.
    pub retry_after: SignedDuration,
}

impl Limit {
    /// Everybody starts with a full bucket.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: HashMap::new(),
        }
    }

    /// Takes one token of `key`.
    ///
    /// # Errors
    /// There is none; when there will be one.
    pub fn take(&mut self, key: &str, now: Timestamp) -> Result<(), TooMany> {
        if !self.buckets.contains_key(key) && self.buckets.len() >= MAX_KEYS {
            let idle = self.buckets.iter().min_by_key(|(_, bucket)| bucket.counted);
            if let Some(idle) = idle.map(|(key, _)| key.clone()) {
                self.buckets.remove(&idle);
            }
        }
        let Rate { burst, pause } = self.rate;
        let bucket = self.buckets.entry(key.to_owned()).or_insert(Bucket {
            tokens: burst,
            counted: now,
        });
        let pause_ms = pause.as_millis().max(1);
        let since = now.duration_since(bucket.counted).max(SignedDuration::ZERO);
        let refills = u32::try_from(since.as_millis() / pause_ms).unwrap_or(u32::MAX);
        bucket.tokens = bucket.tokens.saturating_add(refills).min(burst);
        bucket.counted = if bucket.tokens == burst {
            bucket.counted.max(now)
        } else {
            // The part of a pause that has passed is kept.
            pause
                .checked_mul(i32::try_from(refills).unwrap_or(i32::MAX))
                .and_then(|passed| bucket.counted.checked_add(passed).ok())
                .unwrap_or(now)
        };
        if bucket.tokens == 0 {
            let retry_after = (pause - now.duration_since(bucket.counted)).max(SignedDuration::from_secs(1));
            return Err(TooMany { retry_after });
        }
        bucket.tokens -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;

    fn limit() -> Limit {
        Limit::new(Rate {
            burst: 3,
            pause: SignedDuration::from_secs(10),
        })
    }

    #[test]
    fn a_burst_is_taken_and_then_one_after_each_pause() {
        let (mut limit, start) = (limit(), at("2026-05-29T15:00:00Z"));
        let mut after = |seconds: i64| {
            limit
                .take("a", start + SignedDuration::from_secs(seconds))
                .is_ok()
        };
        assert!(after(0) && after(0) && after(1), "the burst");
        assert!(
            !after(2) && !after(9),
            "nothing is left, and asking does not lengthen the wait"
        );
        assert!(after(10) && !after(19) && after(20));
        assert!(
            after(1000) && after(1000) && after(1000) && !after(1000),
            "no more than the burst is saved up"
        );
    }

    #[test]
    fn one_key_does_not_use_up_another() {
        let (mut limit, now) = (limit(), at("2026-05-29T15:00:00Z"));
        while limit.take("a", now).is_ok() {}
        assert!(limit.take("b", now).is_ok());
        assert_eq!(
            limit.take("a", now).unwrap_err().retry_after,
            SignedDuration::from_secs(10)
        );
    }

    #[test]
    fn a_clock_that_goes_back_harms_nobody() {
        let (mut limit, now) = (limit(), at("2026-05-29T15:00:00Z"));
        assert!(limit.take("a", now).is_ok());
        assert!(limit.take("a", now - SignedDuration::from_hours(1)).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let (mut limit, now) = (limit(), at("2026-05-29T15:00:00Z"));
        for key in 0..MAX_KEYS * 2 {
            let _ = limit.take(&key.to_string(), now);
        }
        assert!(limit.buckets.len() <= MAX_KEYS);
    }
}
