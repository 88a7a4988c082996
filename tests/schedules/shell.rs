//! What every function has: the call that may be its last, claims, and notices.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use jiff::{SignedDuration, Timestamp};
use signalbox_ledger::{ClaimKey, ClaimOutcome, Ledger, LedgerError};

use crate::aws::{Aws, Refused};
use crate::mutant::Mutant;

/// How long an invocation may take.
pub(crate) const TIME_OUT: SignedDuration = SignedDuration::from_secs(60);
/// Longer than any schedule lasts.
pub(crate) const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);
pub(crate) const REGION: &str = "us-east-1";

/// Why an invocation failed: Lambda tries it again.
#[derive(Debug)]
#[expect(dead_code, reason = "read in what a failed assertion prints")]
pub(crate) enum Failed {
    Ledger(LedgerError),
    Aws(Refused),
    Busy,
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Aws(refused)
    }
}

/// One invocation.
#[derive(Clone)]
pub(crate) struct Invocation {
    pub(crate) aws: Rc<RefCell<Aws>>,
    pub(crate) ledger: Ledger,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) now: Timestamp,
    pub(crate) id: String,
}

impl Invocation {
    pub(crate) fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// A call's way there or back: others go on meanwhile, and the function may crash.
    pub(crate) async fn step(&self) {
        let mut gone = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut gone, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// A call of AWS's: its effect happens at once, between two steps.
    pub(crate) async fn call<T>(&self, effect: impl FnOnce(&mut Aws) -> T) -> T {
        self.step().await;
        let answer = effect(&mut self.aws.borrow_mut());
        self.step().await;
        answer
    }

    /// An effect under its claim, as the functions perform one: what it came to, or came to before.
    pub(crate) async fn once(
        &self,
        key: &ClaimKey,
        payload: &str,
        keep_for: SignedDuration,
        effect: impl AsyncFnOnce() -> Result<String, Failed>,
    ) -> Result<(String, bool), Failed> {
        self.once_as(key, payload, keep_for, false, effect).await
    }

    async fn once_as(
        &self,
        key: &ClaimKey,
        payload: &str,
        keep_for: SignedDuration,
        recorded_first: bool,
        effect: impl AsyncFnOnce() -> Result<String, Failed>,
    ) -> Result<(String, bool), Failed> {
        self.step().await;
        let claimed = self
            .ledger
            .claim(key, &self.id, self.now, TIME_OUT, keep_for, payload)
            .await?;
        let claim = match claimed {
            ClaimOutcome::Won(claim) => claim,
            ClaimOutcome::Done(result) => return Ok((result, false)),
            ClaimOutcome::InProgress { .. } | ClaimOutcome::Conflict => return Err(Failed::Busy),
        };
        if recorded_first {
            self.ledger.complete(claim, "", self.now).await?;
            return Ok((effect().await?, true));
        }
        let result = effect().await;
        self.step().await;
        match result {
            Ok(result) => {
                self.ledger.complete(claim, &result, self.now).await?;
                Ok((result, true))
            }
            // AWS answered, and refused: there was no effect.
            Err(failed @ Failed::Aws(_)) => {
                self.ledger.release(claim, self.now).await?;
                Err(failed)
            }
            Err(failed) => Err(failed),
        }
    }

    /// A notice under its claim and id; whether this invocation sent it.
    pub(crate) async fn publish(&self, kind: &str, id: &str) -> Result<bool, Failed> {
        let send = async || {
            self.call(|aws| aws.published.push(format!("{kind}/{id}"))).await;
            Ok(String::new())
        };
        if self.has(Mutant::NoticeUnclaimed) {
            return send().await.map(|_| true);
        }
        let recorded_first = self.has(Mutant::RecordedBeforeSent);
        let key = ClaimKey::new(kind, id);
        let (_, sent) = self.once_as(&key, id, REMEMBERED, recorded_first, send).await?;
        Ok(sent)
    }
}
