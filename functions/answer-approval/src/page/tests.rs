//! What the pages say, and what they never do.

use signalbox_decision::approval::policy::Policy;
use signalbox_decision::approval::quorum::{Tally, Vote};
use signalbox_decision::approval::{ApprovalAction, Evidence, Token};
use signalbox_decision::names::{ActionName, Approver, ExecutionId, PipelineName, StageName};

use super::*;

fn link() -> Link {
    Link {
        approval: ApprovalAction {
            pipeline: PipelineName::new("lambda-function-production-pipeline").unwrap(),
            execution: ExecutionId::new("0f1e").unwrap(),
            stage: StageName::new("Approval").unwrap(),
            action: ActionName::new("Approve").unwrap(),
        },
        token: Token::new("TOKEN").hash(),
        approver: Approver::new("ann@example.com").unwrap(),
        expires: "2026-06-05T14:05:00Z".parse().unwrap(),
    }
}

fn record() -> Record {
    Record {
        approval: link().approval,
        token_hash: link().token,
        asked: ["ann", "bob", "cat"]
            .map(|name| Approver::new(format!("{name}@example.com")).unwrap())
            .to_vec(),
        opened: "2026-05-29T14:05:00Z".parse().unwrap(),
        expires: link().expires,
        evidence: Evidence {
            environment: "production".to_owned(),
            revision_summary: Some("<script>alert(1)</script>\u{202e}".to_owned()),
            console: "https://console.example/?a=1&b=2".to_owned(),
            ..Evidence::default()
        },
    }
}

fn form(only_reject: Option<OnlyReject>, newer_waiting: usize) -> String {
    let (link, record) = (link(), record());
    let policy = Policy::parse(
        r#"{"version":1,"quorum":2,"approvers":[{"email":"ann@example.com"},{"email":"bob@example.com"},{"email":"cat@example.com"}]}"#,
    );
    let vote = Vote {
        person: Approver::new("cat@example.com").unwrap(),
        via: Via::Slack,
        at: "2026-05-29T14:40:00Z".parse().unwrap(),
        comment: String::new(),
    };
    let ballot = Ballot {
        only_reject,
        tally: Tally::of(&[vote], &policy.unwrap(), &record),
        newer_waiting,
    };
    let shown = Open {
        link: &link,
        record: &record,
        ballot: &ballot,
        nonce: "NONCE",
        now: "2026-05-29T15:00:00Z".parse().unwrap(),
    };
    open(&shown, String::new()).html
}

#[test]
fn the_form_has_labels_headings_and_a_language() {
    let html = form(None, 0);
    for part in [
        "<html lang=\"en\">",
        "<h1>Release to production?</h1>",
        "<label for=\"comment\">",
        "<textarea id=\"comment\" name=\"comment\"",
        "<input type=\"hidden\" name=\"nonce\" value=\"NONCE\">",
        "name=\"verdict\" value=\"approve\"",
        "name=\"verdict\" value=\"reject\"",
        "<form method=\"post\">",
        "<time datetime=\"2026-06-05T14:05:00Z\">Friday 5 June 2026, 14:05 UTC</time> (in 6 days)",
        "1 of 2 people",
        "cat@example.com",
        "ann@example.com (you)",
        "bob@example.com",
        "width=device-width",
    ] {
        assert!(html.contains(part), "{part} is missing in {html}");
    }
    assert_eq!(html.matches("<h1").count(), 1);
}

#[test]
fn nothing_runs_and_nothing_is_loaded() {
    let html = form(None, 1);
    for part in [
        "<script", "onclick", "src=", "@import", "url(", "style=\"", "\u{202e}",
    ] {
        assert!(!html.contains(part), "{part}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}"));
    assert!(html.contains("https://console.example/?a=1&amp;b=2"));
}

#[test]
fn the_author_sees_no_button_to_approve() {
    let html = form(Some(OnlyReject::OwnChange), 0);
    assert!(!html.contains("value=\"approve\" ") && !html.contains(">Approve<") && html.contains(">Reject<"));
}

#[test]
fn a_newer_run_is_pointed_out() {
    let html = form(None, 1);
    let main = html.split_once("<main>").unwrap().1;
    assert!(
        main.starts_with("<p class=\"notice\"><strong>A newer revision is waiting"),
        "{main}"
    );
    assert!(form(Some(OnlyReject::Superseded), 1).contains("policy rejects the older revision"));
    assert!(!form(None, 0).contains("A newer revision is waiting"));
}

/// The record tells what waited when the request was sent; the page tells what waits now, and only that.
#[test]
fn what_waits_now_is_said_once() {
    let (none, one) = (form(None, 0), form(None, 1));
    assert!(none.contains("No newer revision is waiting behind this one."));
    assert!(!one.contains("No newer revision"));
    assert!(!none.contains("Newer runs") && !one.contains("Newer runs"));
}

#[test]
fn who_cannot_approve_is_not_told_how_to() {
    for why in [
        OnlyReject::OwnChange,
        OnlyReject::Approved,
        OnlyReject::Superseded,
    ] {
        assert!(!form(Some(why), 1).contains("second step"), "{why:?}");
    }
}

#[test]
fn a_decided_request_is_not_told_as_if_it_were_open() {
    let page = closed(&link(), Some(&record()), &rejection(), true).html;
    assert!(
        page.contains("What was rejected") && !page.contains("What would go out"),
        "{page}"
    );
}

fn rejection() -> Closed {
    Closed::Decided(Decision {
        verdict: Verdict::Rejected,
        by: "bob@example.com".to_owned(),
        via: Via::Link,
        at: Some("2026-05-29T14:30:00Z".parse().unwrap()),
        comment: "<b>no</b>".to_owned(),
    })
}

#[test]
fn a_late_answer_is_told_who_decided_and_when() {
    let page = closed(&link(), Some(&record()), &rejection(), false);
    assert_eq!(page.status, 409);
    for part in [
        "Already rejected",
        "bob@example.com",
        "Friday 29 May 2026, 14:30 UTC",
        "&lt;b&gt;no&lt;/b&gt;",
    ] {
        assert!(page.html.contains(part), "{part}");
    }
    assert_eq!(closed(&link(), None, &rejection(), true).status, 200);
}

#[test]
fn a_stranger_learns_nothing_of_the_run() {
    for why in [
        Refusal::NotListed,
        Refusal::NotAsked,
        Refusal::Nonce,
        Refusal::ForeignOrigin,
        Refusal::OtherPipeline,
    ] {
        let page = closed(&link(), Some(&record()), &Closed::Refused(why), true);
        assert!((400..500).contains(&page.status));
        assert!(
            !page.html.contains("lambda-function") && !page.html.contains("bob@"),
            "{why}"
        );
    }
}

#[test]
fn every_page_names_itself() {
    for page in [
        not_found(),
        unavailable(),
        unconfirmed(),
        bad_request(413, "the form is too large"),
    ] {
        assert!(page.html.contains("<title>") && page.html.contains("<h1>"));
    }
}

#[test]
fn too_many_requests_are_told_when_to_come_back() {
    let page = too_many(SignedDuration::from_millis(1500));
    assert_eq!((page.status, page.retry_after), (429, Duration::from_secs(2)));
}
