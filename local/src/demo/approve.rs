//! Answers a request for approval over the same page that a person would use: the mail's link, the
//! page's form, its cookie.

use super::{APPROVER, DemoError, PATIENCE, Stage};
use crate::inbox::Mail;

const STEP: &str = "answering the request for approval";

/// Waits for the mail about `run`, and approves by its link; with `--manual`, shows the link and waits
/// for nobody: the run itself waits.
pub(crate) async fn approve(stage: &Stage<'_>, run: &str) -> Result<(), DemoError> {
    let is_ours = |mail: &Mail| mail.to == APPROVER && mail.text.contains(run);
    let log = format!("signalbox-{}-request-approval.log", stage.installed.environment);
    let log = stage.running.logs.join(log);
    let mail = tokio::time::timeout(PATIENCE, stage.running.cloud.inbox().wait_for(is_ours))
        .await
        .map_err(|_| DemoError::new(STEP, "no mail asked for it").with_log(log.display()))?;
    let link = mail
        .text
        .split_whitespace()
        .find(|word| word.starts_with(&stage.installed.answer_url))
        .ok_or_else(|| DemoError::new(STEP, "the mail has no link").with_log(log.display()))?;
    stage.console.good(&format!(
        "request-approval asked {APPROVER}: \"{}\"",
        mail.subject
    ));
    if stage.manual {
        ask(stage, link);
        return Ok(());
    }
    let log = format!("signalbox-{}-answer-approval.log", stage.installed.environment);
    answer(link)
        .await
        .map_err(|error| error.with_log(stage.running.logs.join(log).display()))?;
    stage
        .console
        .good(&format!("approved over the page's form, as {APPROVER}"));
    Ok(())
}

/// Tells the person at the terminal where to decide, and what follows.
fn ask(stage: &Stage<'_>, link: &str) {
    let console = stage.console;
    console.heading("Your turn: open this page in a browser, and approve or reject");
    console.link(link);
    console.detail(&format!(
        "It is {APPROVER}'s link; opening it decides nothing. Approve, and the release goes on; reject, and the run \
         ends here, and the demo with it."
    ));
    console.detail(&format!(
        "The mail itself is in the inbox: {}/_signalbox/inbox",
        stage.running.url()
    ));
    console.waiting("waiting for your answer, a quarter of an hour at most");
}

async fn answer(link: &str) -> Result<(), DemoError> {
    let failed = |error: reqwest::Error| DemoError::new(STEP, error.without_url());
    // The page is on this machine: a proxy must not see the link.
    let client = reqwest::Client::builder().no_proxy().build().map_err(failed)?;
    let page = client.get(link).send().await.map_err(failed)?;
    let status = page.status();
    let cookie = page
        .headers()
        .get("set-cookie")
        .and_then(|cookie| cookie.to_str().ok())
        .and_then(|cookie| cookie.split(';').next())
        .unwrap_or_default()
        .to_owned();
    let html = page.text().await.map_err(failed)?;
    if !status.is_success() {
        return Err(DemoError::new(STEP, format!("the page answered {status}")));
    }
    let nonce = between(&html, "name=\"nonce\" value=\"", "\"")
        .ok_or_else(|| DemoError::new(STEP, "the page has no form"))?;
    let origin: String = link.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let form = [
        ("nonce", nonce),
        ("verdict", "approve"),
        ("comment", "Looks good in the demo"),
    ];
    let answer = client
        .post(link)
        .header("cookie", cookie)
        .header("origin", origin)
        .form(&form)
        .send()
        .await
        .map_err(failed)?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(DemoError::new(
            STEP,
            format!("the answer was refused with {status}"),
        ))
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(value, _)| value)
}
