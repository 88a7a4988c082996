//! One request: verify → gather → decide → carry out → page.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use signalbox_approvals::put_approval_result;
use signalbox_bootstrap::Invocation;
use signalbox_decision::approval::Via;
use signalbox_decision::approval::answer::{self, Answer, Attempt, Closed, Effect, Settled, View};
use signalbox_decision::approval::link::VerifiedLink;
use signalbox_decision::approval::nonce::Nonce;
use signalbox_decision::approval::quorum::Vote;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::app::App;
use crate::attempt::{Form, audit, audit_stranger};
use crate::ballot;
use crate::effects::{record_attempt, record_decision, record_vote};
use crate::error::Error;
use crate::gather::{Facts, gather};
use crate::http::{Request, Response};
use crate::page::{self, Page};
use crate::secret::Verified;
use crate::slack_message::refresh;

const COOKIE: &str = "signalbox_nonce";

/// What is kept of the function's time for saying that the time is over.
const FAREWELL: Duration = Duration::from_millis(1500);

/// How long somebody waits for their page so that the message in Slack says what they did.
const EDIT_WITHIN: Duration = Duration::from_secs(2);

/// Answers one HTTP request. Whatever fails on the way, the person gets a page that is true.
pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Response, Error> {
    let request = Request::parse(event)?;
    let left = Duration::try_from(invocation.deadline.duration_since(invocation.now)).unwrap_or_default();
    let page = tokio::time::timeout(
        left.saturating_sub(FAREWELL),
        serve(&request, app, invocation.now),
    )
    .await;
    let page = page.unwrap_or_else(|_| {
        error!(
            method = request.method(),
            "the function's time is over; whether an answer was sent is not known"
        );
        if request.method() == "POST" {
            page::unconfirmed()
        } else {
            page::unavailable()
        }
    });
    Ok(Response::new(page, request.method() == "HEAD"))
}

async fn serve(request: &Request, app: &App, now: Timestamp) -> Page {
    if request.path() == "/slack" {
        return crate::slack::serve(request, app, now).await;
    }
    let Some(segment) = request.link() else {
        return page::not_found();
    };
    let answering = match request.method() {
        "GET" | "HEAD" => false,
        "POST" => true,
        _ => return page::bad_request(405, "only GET, HEAD and POST are answered here"),
    };
    if let Err(too_many) = app.admit_address(request.address(), now) {
        warn!(
            address = request.address(),
            method = request.method(),
            "too many requests of one address"
        );
        return page::too_many(too_many.retry_after);
    }
    let verified = match app.keys.verify(segment).await {
        Ok(Ok(verified)) => verified,
        Ok(Err(why)) => {
            warn!(address = request.address(), method = request.method(), %why, "a link that is not ours");
            if answering {
                note_stranger(request, app, &why.to_string(), now).await;
            }
            return page::not_found();
        }
        Err(cause) => return failed(&cause),
    };
    // Before anything is read: another pipeline's state is not this function's to see.
    if verified.0.link().approval.pipeline != app.config.pipeline {
        warn!(
            address = request.address(),
            method = request.method(),
            "a link for another pipeline"
        );
        if answering {
            note_stranger(request, app, "a link for another pipeline", now).await;
        }
        return page::not_found();
    }
    if let Err(too_many) = app.admit_link(&name(&verified), now) {
        warn!(person = %verified.0.link().approver, "too many requests by one link");
        if answering {
            let link = verified.0.link();
            let line = audit(
                link,
                request,
                None,
                "refused: too many requests by this link",
                now,
            );
            if let Err(cause) = record_attempt(app, link, line, now).await {
                return failed(&cause);
            }
        }
        return page::too_many(too_many.retry_after);
    }
    let served = if answering {
        answer(request, app, &verified, now).await
    } else {
        show(request, app, &verified, now).await
    };
    served.unwrap_or_else(|cause| failed(&cause))
}

/// What a link speaks of, without being one.
fn name(verified: &Verified) -> String {
    let link = verified.0.link();
    let approval = &link.approval;
    format!(
        "{} {} {} {} {}",
        approval.execution, approval.stage, approval.action, link.token, link.approver
    )
}

/// Nothing was and nothing will be done for a stranger: that the audit's line could not be written changes
/// nothing for anybody, and is told in the log.
async fn note_stranger(request: &Request, app: &App, why: &str, now: Timestamp) {
    let line = audit_stranger(request, why, now);
    if let Err(cause) = app.ledger.record_stranger(&app.config.pipeline, line, now).await {
        error!(%cause, "an attempt with a link that is not ours could not be recorded");
    }
}

/// Logged here, once; an alarm on the log's level `ERROR` finds it. The page says only that nothing
/// was decided.
pub(crate) fn failed(cause: &Error) -> Page {
    error!(%cause, "the request could not be served; nothing was decided");
    page::unavailable()
}

/// `GET` and `HEAD`: renders, and decides nothing.
async fn show(request: &Request, app: &App, verified: &Verified, now: Timestamp) -> Result<Page, Error> {
    let (link, keys) = verified;
    let facts = gather(app, link.link()).await?;
    let record = facts.record.as_ref();
    match (answer::view(link, facts.for_answer(app), now), record) {
        (View::Open(ballot), Some(record)) => {
            // A nonce that this browser has already is kept: the forms in its other tabs stay good.
            let nonce = request
                .cookie(COOKIE)
                .and_then(Nonce::parse)
                .map_or_else(new_nonce, Ok)?;
            let open = page::Open {
                link: link.link(),
                record,
                ballot: &ballot,
                nonce: &nonce.form_value(link, keys),
                now,
            };
            Ok(page::open(&open, cookie(nonce, request)))
        }
        (View::Open(_), None) => Ok(page::closed(link.link(), None, &Closed::NotReady, true)),
        (View::Closed(closed), record) => Ok(page::closed(link.link(), record, &closed, true)),
    }
}

fn new_nonce() -> Result<Nonce, Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    Ok(Nonce::new(random))
}

fn cookie(nonce: Nonce, request: &Request) -> String {
    let secure = if request.is_plain_http() { "" } else { "; Secure" };
    let lifetime = page::COOKIE_LIFETIME.as_secs();
    format!(
        "{COOKIE}={}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Strict{secure}",
        nonce.cookie_value()
    )
}

/// `POST`: the only way to a decision.
async fn answer(request: &Request, app: &App, verified: &Verified, now: Timestamp) -> Result<Page, Error> {
    let (link, keys) = verified;
    let form = match Form::read(request) {
        Ok(form) => form,
        Err((status, why)) => {
            record_attempt(app, link.link(), audit(link.link(), request, None, why, now), now).await?;
            return Ok(page::bad_request(status, why));
        }
    };
    let nonce = request.cookie(COOKIE).and_then(Nonce::parse);
    let facts = gather(app, link.link()).await?;
    let attempt = Attempt {
        verdict: form.verdict,
        comment: &form.comment,
        same_origin: crate::origin::is_same(request),
        via: Via::Link,
        nonce_fits: nonce.is_some_and(|nonce| nonce.fits(&form.nonce, link, keys)),
        older_confirmed: nonce.is_some_and(|nonce| nonce.fits_older(&form.older, link, keys, &facts.newer)),
    };
    let line = |outcome: &str| audit(link.link(), request, Some(form.verdict), outcome, now);
    match answer::decide(link, attempt, facts.for_answer(app), now) {
        Answer::Send(effect) => {
            let outcome = format!("{} is sent to CodePipeline", effect.decision.verdict);
            record_attempt(app, link.link(), line(&outcome), now).await?;
            Ok(send(app, link, &facts, &effect, now).await)
        }
        Answer::Count(vote) => {
            record_attempt(app, link.link(), line("approved"), now).await?;
            let page = count(app, link, facts, &vote, now).await?;
            if page.what == ballot::COUNTED {
                refresh(app, link.link(), keys, now, Instant::now() + EDIT_WITHIN).await;
            }
            Ok(page)
        }
        Answer::Counted(tally) => {
            record_attempt(app, link.link(), line("approved before; others are missing"), now).await?;
            Ok(ballot::counted(link.link(), &tally))
        }
        Answer::ConfirmOlder => {
            record_attempt(app, link.link(), line("asked again: a newer revision waits"), now).await?;
            let older = nonce
                .map(|nonce| nonce.older_value(link, keys, &facts.newer))
                .unwrap_or_default();
            let values = (form.nonce.as_str(), older.as_str());
            Ok(ballot::confirm_older(
                link.link(),
                facts.record.as_ref(),
                facts.newer.len(),
                values,
                &form.comment,
            ))
        }
        Answer::Closed(closed) => {
            info!(person = %link.link().approver, execution = %link.link().approval.execution, %closed, "not decided");
            record_attempt(app, link.link(), line(&closed.to_string()), now).await?;
            note_if_unrecorded(app, link, &facts, &closed, now).await;
            Ok(page::closed(link.link(), facts.record.as_ref(), &closed, false))
        }
    }
}

/// Writes one person's approval, and sends the answer where it was the last that was missing.
pub(crate) async fn count(
    app: &App,
    link: &VerifiedLink,
    mut facts: Facts,
    vote: &Vote,
    now: Timestamp,
) -> Result<Page, Error> {
    match record_vote(app, link.link(), vote, now).await? {
        Ok(votes) => facts.votes = votes,
        Err(decision) => facts.decision = Some(decision),
    }
    Ok(match answer::counted(link, vote, facts.for_answer(app), now) {
        Answer::Send(effect) => send(app, link, &facts, &effect, now).await,
        Answer::Counted(tally) => {
            info!(person = %vote.person, execution = %link.link().approval.execution, open = tally.open(), "approval counted");
            ballot::counted(link.link(), &tally)
        }
        Answer::Closed(closed) => page::closed(link.link(), facts.record.as_ref(), &closed, false),
        // Not an answer to a vote that was taken.
        Answer::Count(_) | Answer::ConfirmOlder => page::unavailable(),
    })
}

/// Sends the answer, and finds out what came of it.
pub(crate) async fn send(
    app: &App,
    link: &VerifiedLink,
    facts: &Facts,
    effect: &Effect,
    now: Timestamp,
) -> Page {
    let record = facts.record.as_ref();
    let approval = &effect.approval;
    let Err(failure) = put_approval_result(&app.pipelines, effect).await else {
        info!(
            pipeline = %approval.pipeline, execution = %approval.execution, person = %link.link().approver,
            verdict = %effect.decision.verdict, "decided"
        );
        record_decision(app, link.link(), &effect.decision, now).await;
        return page::taken(link.link(), record, &effect.decision);
    };
    // Answered by somebody faster, expired, refused, or lost on the way: only what AWS shows now counts.
    warn!(execution = %approval.execution, %failure, "CodePipeline did not accept the answer; reading again");
    let facts = match gather(app, link.link()).await {
        Ok(facts) => facts,
        Err(cause) => {
            error!(execution = %approval.execution, %cause, "whether the answer arrived is not known");
            return page::unconfirmed();
        }
    };
    match answer::settle(link, effect, facts.for_answer(app), now) {
        Settled::Arrived => {
            record_decision(app, link.link(), &effect.decision, now).await;
            page::taken(link.link(), record, &effect.decision)
        }
        Settled::Closed(closed) => {
            if closed == Closed::NotReady {
                error!(execution = %approval.execution, %failure, "the answer was not accepted, and the approval is still open");
            }
            note_if_unrecorded(app, link, &facts, &closed, now).await;
            page::closed(link.link(), facts.record.as_ref(), &closed, false)
        }
    }
}

/// A decision that CodePipeline has and the ledger lacks, made in the console or just before a crash, is
/// written into the ledger, so that it can still be told when the stage has long moved on.
pub(crate) async fn note_if_unrecorded(
    app: &App,
    link: &VerifiedLink,
    facts: &Facts,
    closed: &Closed,
    now: Timestamp,
) {
    if let Closed::Decided(decision) = closed
        && facts.decision.is_none()
    {
        record_decision(app, link.link(), decision, now).await;
    }
}

#[cfg(test)]
mod tests;
