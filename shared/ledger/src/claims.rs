//! Claims: the rulings of [`signalbox_decision::claim`] as conditional writes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use signalbox_decision::claim::{Progress, Row, Ruling, digest, rule};
use signalbox_decision::text::cut;

use crate::table::{RowKey, Step, row};
use crate::{Ledger, LedgerError};

/// What is claimed: one effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimKey {
    row: RowKey,
}

impl ClaimKey {
    /// The effect `name` of a kind (`start-run`, `notice`). Whoever would perform the same effect must
    /// arrive at the same name, so that it derives from what happened.
    #[must_use]
    pub fn new(kind: &str, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        // DynamoDB takes 2,048 bytes; a name that long is nothing a person reads.
        let name = if name.len() > 1000 {
            digest(&[name])
        } else {
            name.to_owned()
        };
        Self {
            row: RowKey::new(format!("CLAIM#{kind}#{name}"), "CLAIM"),
        }
    }
}

/// The right to perform one effect, held until its deadline. An effect that must happen once takes one as
/// an argument; it cannot be copied, and is used up by [`Ledger::complete`].
#[derive(Debug)]
#[must_use = "perform the effect and complete the claim"]
pub struct Claim {
    row: RowKey,
    digest: String,
    version: u64,
    keep_for: SignedDuration,
}

/// What a claimant got.
#[derive(Debug)]
#[must_use = "the effect may be performed only on `Won`"]
pub enum ClaimOutcome {
    /// The right to perform the effect.
    Won(Claim),
    /// It has been performed; this was recorded.
    Done(String),
    /// Another invocation performs it, or did until it crashed.
    InProgress {
        /// When the claim can be taken over.
        until: Timestamp,
    },
    /// The same key was claimed with another payload.
    Conflict,
}

/// How a claim stands, for who only looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimStanding {
    /// The effect has been performed; this was recorded.
    Done(String),
    /// Somebody is at it, or was until it failed or crashed.
    InProgress,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Body {
    digest: String,
    owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_progress_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    changed: Timestamp,
}

impl Body {
    fn row(&self) -> Row {
        let progress = match (&self.result, self.in_progress_until) {
            (Some(result), _) => Progress::Done {
                result: result.clone(),
            },
            (None, until) => Progress::InProgress {
                until: until.unwrap_or(Timestamp::MIN),
            },
        };
        // Rows past their expiry never come as far as here.
        Row {
            digest: self.digest.clone(),
            progress,
            expires: Timestamp::MAX,
        }
    }
}

impl Ledger {
    /// Claims an effect for `owner` (the invocation's request id).
    ///
    /// `in_progress_for` is how long the effect can take: until the invocation's own deadline, past which
    /// it cannot still be at it. `keep_for` is how long it stays claimed: longer than any delivery of the
    /// event can be late. `payload` is what the effect will be made of; only its digest is written.
    ///
    /// # Errors
    /// If the ledger cannot tell; then the effect is withheld.
    pub async fn claim(
        &self,
        key: &ClaimKey,
        owner: &str,
        now: Timestamp,
        in_progress_for: SignedDuration,
        keep_for: SignedDuration,
        payload: &str,
    ) -> Result<ClaimOutcome, LedgerError> {
        let payload = digest(&[payload]);
        // A holder without any time left still holds it for a moment, or nobody could ever be said to.
        let until = later(now, in_progress_for.max(SignedDuration::from_millis(1)));
        let decide = |found: Option<Body>| {
            let row = found.as_ref().map(Body::row);
            Ok(match rule(row.as_ref(), &payload, now) {
                Ruling::Take => Step::Write {
                    body: Body {
                        digest: payload.clone(),
                        owner: owner.to_owned(),
                        in_progress_until: Some(until),
                        result: None,
                        changed: now,
                    },
                    expires: Some(later(now, keep_for.max(in_progress_for))),
                    then: Ruling::Take,
                },
                ruling => Step::Leave(ruling),
            })
        };
        let (ruling, version) = self.table.change(&key.row, now, true, decide).await?;
        Ok(match ruling {
            Ruling::Take => ClaimOutcome::Won(Claim {
                row: key.row.clone(),
                digest: payload,
                version,
                keep_for,
            }),
            Ruling::Done(result) => ClaimOutcome::Done(result),
            Ruling::InProgress { until } => ClaimOutcome::InProgress { until },
            Ruling::Conflict => ClaimOutcome::Conflict,
        })
    }

    /// As [`Ledger::claim`], but where another holds the claim, looks again for up to `patience`: events
    /// come in bursts, and the other is most often done in a moment.
    ///
    /// # Errors
    /// As [`Ledger::claim`].
    #[expect(clippy::too_many_arguments, reason = "a claim's own arguments and one more")]
    pub async fn claim_patiently(
        &self,
        key: &ClaimKey,
        owner: &str,
        now: Timestamp,
        in_progress_for: SignedDuration,
        keep_for: SignedDuration,
        payload: &str,
        patience: SignedDuration,
    ) -> Result<ClaimOutcome, LedgerError> {
        const STEP: SignedDuration = SignedDuration::from_millis(150);
        let mut waited = SignedDuration::ZERO;
        loop {
            let at = later(now, waited);
            let remaining = in_progress_for - waited;
            match self.claim(key, owner, at, remaining, keep_for, payload).await? {
                ClaimOutcome::InProgress { .. } if waited + STEP <= patience.min(in_progress_for) => {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    waited += STEP;
                }
                outcome => return Ok(outcome),
            }
        }
    }

    /// How a claim stands, without claiming anything; `None` where nobody has claimed it.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn look_at_claim(
        &self,
        key: &ClaimKey,
        now: Timestamp,
    ) -> Result<Option<ClaimStanding>, LedgerError> {
        let found = self.table.read::<Body>(&key.row, Some(now)).await?;
        Ok(found.map(|(body, _)| match body.result {
            Some(result) => ClaimStanding::Done(result),
            None => ClaimStanding::InProgress,
        }))
    }

    /// Records that the effect was performed, with what later claimants are to be told (cut to 4,000
    /// characters).
    ///
    /// A claim that was taken over meanwhile is completed all the same: the effect *has* been performed.
    ///
    /// # Errors
    /// If the ledger cannot record it. The effect stands; past the deadline somebody performs it again.
    pub async fn complete(&self, claim: Claim, result: &str, now: Timestamp) -> Result<(), LedgerError> {
        let decide = |found: Option<Body>| {
            Ok(match found {
                Some(body) if body.digest != claim.digest || body.result.is_some() => Step::Leave(()),
                found => Step::Write {
                    body: Body {
                        digest: claim.digest.clone(),
                        owner: found.map(|body| body.owner).unwrap_or_default(),
                        in_progress_until: None,
                        result: Some(cut(result, 4000).to_owned()),
                        changed: now,
                    },
                    expires: Some(later(now, claim.keep_for)),
                    then: (),
                },
            })
        };
        self.table.change(&claim.row, now, false, decide).await.map(drop)
    }

    /// Gives a claim back, where it is *certain* that the effect was not performed (AWS answered with a
    /// refusal): the next claimant need not wait for the deadline. The row stays.
    ///
    /// # Errors
    /// If the ledger cannot record it; then the deadline gives it back.
    pub async fn release(&self, claim: Claim, now: Timestamp) -> Result<(), LedgerError> {
        let Some((body, version)) = self.table.read::<Body>(&claim.row, Some(now)).await? else {
            return Ok(());
        };
        if version != claim.version || body.result.is_some() {
            return Ok(());
        }
        let expires = Some(later(now, claim.keep_for));
        let row = row(
            &claim.row,
            version + 1,
            expires,
            &Body {
                in_progress_until: Some(now),
                changed: now,
                ..body
            },
        )?;
        // If somebody wrote meanwhile, the claim is no longer ours to give back.
        self.table.put(&claim.row, row, Some(version)).await.map(drop)
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
