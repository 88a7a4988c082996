//! A click in Slack: signature → person → the person's own link → the same decision as the page's.
//!
//! Slack waits three seconds for an answer, and gets an empty 200 as soon as it is decided. The message
//! that asked is edited by request-approval, when CodePipeline says that the approval has ended; until then
//! it is edited from here, to show who has approved and what waits ([`crate::slack_message`]). What only
//! the person who clicked needs to know goes to `response_url`, which must be Slack's own host. Both have what
//! is left of the time; whether they arrive changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::approval::answer::{self, Answer, Attempt};
use signalbox_decision::approval::keys::Keys;
use signalbox_decision::approval::link::{Link, VerifiedLink};
use signalbox_decision::approval::slack::{self, Click, Message};
use signalbox_decision::approval::{Verdict, Via};
use signalbox_decision::text::shown;
use signalbox_slack::Slack;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::app::App;
use crate::ballot::COUNTED;
use crate::effects::record_attempt;
use crate::error::Error;
use crate::gather::gather;
use crate::handler::{count, failed, note_if_unrecorded, send};
use crate::http::{BodyError, Request};
use crate::page::{self, Page};
use crate::slack_message::refresh;

/// Slack sends the message back with every click; ours has some ten thousand characters at most, which
/// the form's encoding may triple.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// From the start on, until when Slack itself is told something before it gets its answer: it mostly takes
/// 300 ms, and of its three seconds the rest is the network's and the cold start's.
const TELL_WITHIN: Duration = Duration::from_millis(1500);

/// Where AWS was slow and that is over, so long is tried all the same.
const TELL_AT_LEAST: Duration = Duration::from_millis(500);

/// Answers a `POST /slack`.
pub(crate) async fn serve(request: &Request, app: &App, now: Timestamp) -> Page {
    let started = Instant::now();
    let Some(slack) = &app.slack else {
        return page::not_found();
    };
    if request.method() != "POST" {
        return page::bad_request(405, "only POST is answered here");
    }
    if let Err(too_many) = app.admit_address(request.address(), now) {
        warn!(address = request.address(), "too many requests of one address");
        return page::too_many(too_many.retry_after);
    }
    let click = match read(request, app, slack, now).await {
        Ok(click) => click,
        Err(page) => return page,
    };
    let clicked = match answer(request, app, &click, now).await {
        Ok(clicked) => clicked,
        Err(cause) => return failed(&cause),
    };
    let until = (started + TELL_WITHIN).max(Instant::now() + TELL_AT_LEAST);
    let edit = async {
        if let Some((link, keys)) = &clicked.changed {
            refresh(app, link, keys, now, until).await;
        }
    };
    tokio::join!(edit, tell(slack, &click, clicked.message.as_ref(), until));
    clicked.page
}

/// What came of a click.
struct Clicked {
    page: Page,
    /// For the person who clicked.
    message: Option<Message>,
    /// The asking whose message says too little now.
    changed: Option<(Link, Keys)>,
}

impl Clicked {
    fn new(page: Page, message: Option<Message>) -> Self {
        Self {
            page,
            message,
            changed: None,
        }
    }
}

async fn tell(slack: &Slack, click: &Click, message: Option<&Message>, until: Instant) {
    if let (Some(to), Some(message)) = (&click.response_url, message) {
        match timeout_at(until, slack.respond(to, message)).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => warn!(%cause, "the person who clicked could not be told"),
            Err(_) => warn!("no time was left to tell the person who clicked"),
        }
    }
}

/// An answer that Slack reads: its status alone.
fn status(status: u16, what: &'static str) -> Page {
    Page {
        status,
        html: String::new(),
        cookie: None,
        what,
        retry_after: Duration::ZERO,
    }
}

/// The click, if Slack signed it; the signature covers the bytes as they came, so it is checked first.
async fn read(request: &Request, app: &App, slack: &Slack, now: Timestamp) -> Result<Click, Page> {
    let body = request.body_within(MAX_BODY_BYTES).map_err(|error| match error {
        BodyError::TooLarge => status(413, "slack: too large"),
        BodyError::Malformed => status(400, "slack: malformed"),
    })?;
    let secret = slack.signing_secret().await.map_err(|cause| {
        error!(%cause, "no request of Slack's can be checked; nothing was decided");
        status(503, "slack: no secret")
    })?;
    let (time, signature) = (
        request.header("x-slack-request-timestamp"),
        request.header("x-slack-signature"),
    );
    if let Err(why) = secret.verify(time, signature, &body, now) {
        warn!(address = request.address(), %why, "a request that is not Slack's");
        note(app, request, &format!("refused: {why}"), now).await;
        return Err(status(401, "slack: not signed"));
    }
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&body).unwrap_or_default();
    let mut payloads = fields.iter().filter(|(name, _)| name == "payload");
    let (Some((_, payload)), None) = (payloads.next(), payloads.next()) else {
        return Err(status(400, "slack: no payload"));
    };
    Click::parse(payload).map_err(|why| {
        warn!(%why, "Slack sent something else than a click");
        status(400, "slack: no click")
    })
}

/// Nothing was done: that the audit's line could not be written changes nothing for anybody.
async fn note(app: &App, request: &Request, outcome: &str, now: Timestamp) {
    let line = json!({
        "at": now, "channel": Via::Slack, "address": shown(request.address(), 64), "outcome": shown(outcome, 200),
    });
    if let Err(cause) = app.ledger.record_stranger(&app.config.pipeline, line, now).await {
        error!(%cause, "an attempt that is not Slack's could not be recorded");
    }
}

/// The decision, and what to tell the person about it.
async fn answer(request: &Request, app: &App, click: &Click, now: Timestamp) -> Result<Clicked, Error> {
    let (button, keys) = match app.keys.verify(&click.value).await? {
        Ok(verified) => verified,
        Err(why) => {
            warn!(%why, user = %shown(&click.user, 40), "a button that is not ours");
            note(
                app,
                request,
                &format!("refused: a button of {}: {why}", shown(&click.user, 40)),
                now,
            )
            .await;
            return Ok(Clicked::new(status(403, "slack: not our button"), None));
        }
    };
    let line = |person: Option<&str>, outcome: &str| audit(request, click, person, outcome, now);
    let policy = app.policy().await?;
    let place = policy.as_ref().and_then(|policy| policy.slack.as_ref());
    let person = policy
        .as_ref()
        .and_then(|policy| policy.by_slack(&click.user))
        .cloned();
    let refused = match (place, &person) {
        (None, _) => Some("refused: the policy names no workspace of Slack's"),
        (Some(place), _) if place.team != click.team => Some("refused: another workspace"),
        (Some(_), None) => Some("refused: this Slack user is not an approver"),
        (Some(_), Some(_)) => None,
    };
    let link = match (refused, person) {
        (None, Some(person)) => slack::link_of(button.link(), person),
        _ => None,
    };
    let Some(link) = link.and_then(|link: Link| Link::verify(&link.sign(&keys), &keys).ok()) else {
        let outcome = refused.unwrap_or("refused: the button's value is not one of a button");
        warn!(user = %shown(&click.user, 40), team = %shown(&click.team, 40), outcome, "not decided");
        record_attempt(app, button.link(), line(None, outcome), now).await?;
        return Ok(Clicked::new(status(403, "slack: refused"), None));
    };
    decide(app, click, (&link, &keys), &line, now).await
}

async fn decide(
    app: &App,
    click: &Click,
    (link, keys): (&VerifiedLink, &Keys),
    line: &(dyn Fn(Option<&str>, &str) -> Value + Sync),
    now: Timestamp,
) -> Result<Clicked, Error> {
    let person = link.link().approver.as_str();
    let facts = gather(app, link.link()).await?;
    // Slack's signature proves what a page's origin and nonce prove: the person themselves clicked.
    let attempt = Attempt {
        verdict: click.verdict,
        comment: "",
        via: Via::Slack,
        same_origin: true,
        nonce_fits: true,
        older_confirmed: click.is_although(&facts.newer),
    };
    let changed = || Some((link.link().clone(), keys.clone()));
    let mut edit = None;
    let (page, words) = match answer::decide(link, attempt, facts.for_answer(app), now) {
        Answer::Send(effect) => {
            let outcome = format!("{} is sent to CodePipeline", effect.decision.verdict);
            record_attempt(app, link.link(), line(Some(person), &outcome), now).await?;
            let page = send(app, link, &facts, &effect, now).await;
            let words = said(&page, effect.decision.verdict);
            (page, words)
        }
        Answer::Count(vote) => {
            record_attempt(app, link.link(), line(Some(person), "approved"), now).await?;
            let page = count(app, link, facts, &vote, now).await?;
            let words = said(&page, Verdict::Approved);
            edit = changed().filter(|_| page.what == COUNTED);
            (page, words)
        }
        Answer::Counted(tally) => {
            record_attempt(
                app,
                link.link(),
                line(Some(person), "approved before; others are missing"),
                now,
            )
            .await?;
            let words = format!("You have approved this before; {} more have to.", tally.open());
            // Whoever presses again may not have seen the message change.
            return Ok(Clicked {
                changed: changed(),
                ..Clicked::new(status(200, "slack: approved before"), Some(slack::words(&words)))
            });
        }
        Answer::ConfirmOlder => {
            record_attempt(
                app,
                link.link(),
                line(Some(person), "asked again: a newer revision waits"),
                now,
            )
            .await?;
            let message = facts
                .record
                .as_ref()
                .map(|record| slack::older(record, &click.value, &facts.newer));
            return Ok(Clicked {
                changed: changed(),
                ..Clicked::new(status(200, "slack: asked again"), message)
            });
        }
        Answer::Closed(closed) => {
            info!(person, execution = %link.link().approval.execution, %closed, "not decided");
            record_attempt(app, link.link(), line(Some(person), &closed.to_string()), now).await?;
            note_if_unrecorded(app, link, &facts, &closed, now).await;
            // Only a person who may not is refused to Slack as well; all else was a good click that came late.
            let code = if closed.status() == 403 { 403 } else { 200 };
            let words = format!("Your click decided nothing: {closed}.");
            let page = status(code, "slack: closed");
            return Ok(Clicked::new(page, Some(slack::words(&words))));
        }
    };
    let what = if page.status == 200 {
        "slack: taken"
    } else {
        "slack: not taken"
    };
    // What became of it is told in words: to Slack, a status other than 200 is a broken app.
    Ok(Clicked {
        changed: edit,
        ..Clicked::new(status(200, what), Some(slack::words(&words)))
    })
}

/// What the page would have said, in a sentence.
fn said(page: &Page, verdict: Verdict) -> String {
    match (page.status, page.what) {
        (200, COUNTED) => "Your approval is recorded; more people have to approve.".to_owned(),
        (200, _) => format!("{verdict}."),
        _ => {
            "Your click was not taken, or nobody knows: somebody was faster, or AWS did not answer. The page \
              behind the link in your mail says how it stands."
                .to_owned()
        }
    }
}

/// One line of the audit, as the page's, with Slack's id of the person.
fn audit(request: &Request, click: &Click, person: Option<&str>, outcome: &str, now: Timestamp) -> Value {
    json!({
        "person": person,
        "slackUser": shown(&click.user, 40),
        "slackTeam": shown(&click.team, 40),
        "at": now,
        "channel": Via::Slack,
        "address": shown(request.address(), 64),
        "verdict": click.verdict,
        "outcome": shown(outcome, 200),
    })
}
