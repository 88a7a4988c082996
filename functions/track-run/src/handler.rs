//! From the event to what was written down and told.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::timeline::{Changes, State, Subject, Timeline, reconcile};
use signalbox_ledger::Saved;
use tracing::{info, warn};

use crate::app::App;
use crate::change::Change;
use crate::effects;
use crate::error::Error;
use crate::gather::{Observed, gather};
use crate::reports::with_reports;

/// How often a timeline is reconciled anew because another event's invocation saved it meanwhile. A
/// stage's end and the next one's start bring half a dozen events within a second.
const TRIES: u32 = 12;

/// Before trying anew, at first; doubled each time.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest pause: all tries together stay within a few seconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What came of an event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "done")]
pub(crate) enum Outcome {
    /// The ledger agrees with AWS, and everybody has been told.
    #[serde(rename_all = "camelCase")]
    Tracked {
        subject: Subject,
        status: Option<State>,
        /// Whether the event brought anything new.
        changed: bool,
        /// What was told by this invocation.
        told: Vec<String>,
        /// Metrics that CloudWatch would have refused.
        metrics_dropped: usize,
    },
    /// Nothing to do.
    Ignored { reason: String },
}

/// parse → gather → decide → execute.
pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Outcome, Error> {
    let change = match Change::parse(event, &app.config)? {
        Ok(change) => change,
        Err(reason) => return Ok(Outcome::Ignored { reason }),
    };
    let observed = match gather(app, &change).await? {
        Ok(observed) => observed,
        Err(reason) => {
            return Ok(Outcome::Ignored {
                reason: reason.to_owned(),
            });
        }
    };
    let observed = with_reports(app, observed, invocation.now).await?;
    let Changes { after, changed, due } = save(app, &observed, &invocation).await?;
    log(&change, &after);

    let telling = effects::tell(app, &observed.subject, due, &invocation).await;
    // Remembered also if a later one could not be told: what went out must not go out again.
    if !telling.known.is_empty() {
        let told = Timeline {
            told: telling.known.into_iter().collect(),
            ..Timeline::default()
        };
        let told = Observed {
            subject: observed.subject.clone(),
            timeline: told,
        };
        let _ = save(app, &told, &invocation).await?;
    }
    match telling.failed {
        Some(error) => Err(error),
        None => Ok(Outcome::Tracked {
            subject: observed.subject,
            status: after.status().cloned(),
            changed,
            told: telling.sent,
            metrics_dropped: telling.metrics_dropped,
        }),
    }
}

/// Reconciles with the ledger and saves; anew if another invocation saved in between.
async fn save(app: &App, observed: &Observed, invocation: &Invocation) -> Result<Changes, Error> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(pause(attempt, &invocation.request_id)).await;
        }
        let stored = app.ledger.load_timeline(&observed.subject).await?;
        let changes = reconcile(
            &observed.subject,
            &stored.timeline,
            &observed.timeline,
            &app.config.region,
        );
        if !changes.changed {
            return Ok(changes);
        }
        let saved = app
            .ledger
            .save_timeline(&observed.subject, &changes.after, stored.version, invocation.now)
            .await?;
        if let Saved::Saved(version) = saved {
            info!(version, due = changes.due.len(), "timeline saved");
            return Ok(changes);
        }
    }
    Err(Error::Contended)
}

/// Grows, and differs from one invocation to the next: those that met once must not go on meeting.
fn pause(attempt: u32, request_id: &str) -> Duration {
    let longest = PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    let mut hasher = DefaultHasher::new();
    (request_id, attempt).hash(&mut hasher);
    let share = u32::from(hasher.finish().to_le_bytes()[0]);
    longest / 2 + longest / 2 * share / 255
}

/// A state that AWS has added is followed as one that goes on, and somebody should hear of it.
/// The event's own state is looked at too: where AWS's answers know better, it is not in the timeline.
fn log(change: &Change, timeline: &Timeline) {
    let stages = timeline.stages.values().flatten();
    let known = timeline
        .run
        .iter()
        .chain(stages)
        .map(|(_, progress)| &progress.state);
    for state in known.chain([change.state()]) {
        if let State::Other(word) = state {
            warn!(
                state = word.escape_debug().to_string(),
                "a state that is not known; taken as going on"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod reports;

    #[test]
    fn pauses_grow_differ_and_stay_bounded() {
        let of = |id: &str| (1..TRIES).map(|attempt| pause(attempt, id)).collect::<Vec<_>>();
        assert!(of("a").iter().zip(of("b")).any(|(a, b)| *a != b));
        assert!(
            of("a")
                .iter()
                .all(|pause| *pause <= LONGEST_PAUSE && *pause >= PAUSE)
        );
        assert!(of("a").iter().sum::<Duration>() < Duration::from_secs(5));
    }
}
