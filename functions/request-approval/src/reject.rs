//! The policy rejects by itself: a newer revision waits behind the one that is asked about.

use jiff::Timestamp;
use serde_json::json;
use signalbox_approvals::put_approval_result;
use signalbox_decision::approval::answer::Effect;
use signalbox_decision::approval::standing::Standing;
use signalbox_decision::approval::{Decision, Record};
use signalbox_ledger::ApprovalKey;
use tracing::{info, warn};

use crate::app::App;
use crate::effects::open;
use crate::error::Error;
use crate::gather::standing;
use crate::handler::Outcome;

/// Writes the audit's line, tells CodePipeline, and writes the decision. What cannot be recorded is not done.
/// Whether the answer arrived is for CodePipeline to say: somebody may have been faster, and two invocations
/// may be at it.
pub(crate) async fn reject(
    app: &App,
    record: &Record,
    effect: &Effect,
    now: Timestamp,
) -> Result<Outcome, Error> {
    let Decision {
        via,
        verdict,
        by,
        comment,
        ..
    } = &effect.decision;
    let approval = &record.approval;
    open(app, record, now).await?;
    let key = ApprovalKey::new(approval, record.token_hash);
    let line = json!({
        "person": by, "at": now, "channel": via, "verdict": verdict,
        "outcome": format!("{verdict} is sent to CodePipeline: {comment}"),
    });
    app.ledger.record_attempt(&key, line, now).await?;
    let decision = match put_approval_result(&app.pipelines, effect).await {
        Ok(()) => effect.decision.clone(),
        Err(failure) => {
            warn!(execution = %approval.execution, %failure, "CodePipeline did not accept the rejection; reading again");
            let now_shown = standing(app, approval).await?;
            match &now_shown {
                Standing::Decided { summary, .. } if *summary == effect.summary => effect.decision.clone(),
                Standing::Decided { verdict, .. } => match now_shown.decision() {
                    Some(decision) => decision,
                    None => return Ok(Outcome::Ignored(format!("already {verdict}"))),
                },
                Standing::Lapsed => return Ok(Outcome::Ignored("expired".to_owned())),
                Standing::Gone(why) => return Ok(Outcome::Ignored(why.to_string())),
                Standing::Waiting { .. } | Standing::NotReady => {
                    return Err(Error::Aws {
                        call: "PutApprovalResult",
                        failure,
                    });
                }
            }
        }
    };
    // The first one stands, where another door had been faster.
    let _ = app.ledger.record_decision(&key, json!(decision), now).await?;
    if decision.by != *by {
        return Ok(Outcome::Ignored(format!(
            "already {} by {}",
            decision.verdict, decision.by
        )));
    }
    info!(execution = %approval.execution, "the policy rejected the older revision");
    Ok(Outcome::Rejected)
}
