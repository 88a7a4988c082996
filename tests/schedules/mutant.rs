//! Faults that are seeded into the functions' steps; each must break an invariant.

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// start-run takes no claim, and its token is new with every delivery.
    TokenPerDelivery,
    /// answer-approval answers whatever waits most recently.
    AnswersTheNewestRun,
    /// answer-approval sends the first vote.
    OneVoteIsEnough,
    /// roll-back takes the alarm to have fired just now.
    AlarmTimeIgnored,
    /// roll-back does not recognise rollbacks.
    RollbackUnmarked,
    /// Notices go out without a claim.
    NoticeUnclaimed,
    /// A claim is completed before the notice goes out.
    RecordedBeforeSent,
    /// roll-back's note of what it begins replaces the one of another delivery.
    NoteOverwritten,
    /// The sweep does not look at alarms.
    SweepBlindToAlarms,
    /// The sweep does not look at runs.
    SweepBlindToRuns,
    /// The sweep does not look at deployments.
    SweepBlindToDeployments,
}
