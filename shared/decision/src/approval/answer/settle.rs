//! What an unconfirmed answer came to.

use jiff::Timestamp;

use super::{Closed, Effect, Facts, examine};
use crate::approval::link::VerifiedLink;
use crate::approval::standing::Standing;

/// What the form's answer came to, after CodePipeline did not plainly accept it: refused because
/// somebody was faster, or an error after which nobody knows whether it arrived. Only what AWS and the
/// ledger say *now* counts.
pub fn settle(link: &VerifiedLink, effect: &Effect, facts: Facts<'_>, now: Timestamp) -> Settled {
    // A summary of our very own words means that our answer arrived, even if its confirmation did not.
    // Two identical forms of one person at once may both say so: it is true for both.
    if let Standing::Decided { summary, verdict, .. } = facts.standing
        && *summary == effect.summary
        && *verdict == effect.decision.verdict
        && facts.decision.is_none_or(|known| known.by == effect.decision.by)
    {
        return Settled::Arrived;
    }
    match examine(link, facts, now) {
        Ok(_) => Settled::Closed(Closed::NotReady),
        Err(closed) => Settled::Closed(closed),
    }
}

/// What an unconfirmed answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// It is the decision.
    Arrived,
    /// It is not.
    Closed(Closed),
}
