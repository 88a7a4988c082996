use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::json;

use super::click::{APPROVE, APPROVE_OLDER};
use super::message::{HEADER, SECTION};
use super::*;
use crate::approval::evidence::tests::{change, change_set};
use crate::approval::evidence::{Known, Replacement};
use crate::approval::link::tests::keys;
use crate::approval::policy::Policy;
use crate::approval::quorum::{Tally, Vote};
use crate::approval::request::tests::record;
use crate::approval::tests::{approver, at};
use crate::approval::{Decision, Verdict, Via};

const BODY: &[u8] = b"payload=%7B%7D";
const NOW: &str = "2026-05-29T15:00:00Z";

fn sign(timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(&[b"v0:", timestamp.as_bytes(), b":", body].concat());
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

fn judged(timestamp: Option<&str>, signature: Option<&str>, body: &[u8]) -> Result<(), Unsigned> {
    SigningSecret::new("secret").verify(timestamp, signature, body, at(NOW))
}

#[test]
fn slacks_own_example_fits() {
    // "Verifying requests from Slack", Slack's documentation.
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let secret = SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5");
    let now = Timestamp::from_second(1_531_420_618).unwrap();
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    assert_eq!(
        secret.verify(Some("1531420618"), Some(signature), body, now),
        Ok(())
    );
}

#[test]
fn the_time_may_be_five_minutes_off_and_no_second_more() {
    let now = at(NOW).as_second();
    for (off, verdict) in [
        (0, Ok(())),
        (300, Ok(())),
        (-300, Ok(())),
        (301, Err(Unsigned::Stale)),
        (-301, Err(Unsigned::Stale)),
    ] {
        let time = (now + off).to_string();
        assert_eq!(
            judged(Some(&time), Some(&sign(&time, BODY)), BODY),
            verdict,
            "{off}"
        );
    }
}

#[test]
fn another_body_or_header_is_refused() {
    let time = at(NOW).as_second().to_string();
    let good = sign(&time, BODY);
    assert_eq!(
        judged(Some(&time), Some(&good), b"payload=%7B%7E"),
        Err(Unsigned::Forged)
    );
    assert_eq!(judged(None, Some(&good), BODY), Err(Unsigned::Missing));
    assert_eq!(judged(Some(&time), None, BODY), Err(Unsigned::Missing));
    let twice = format!("{good},{good}");
    assert_eq!(judged(Some(&time), Some(&twice), BODY), Err(Unsigned::Malformed));
    let twice = format!("{time},{time}");
    assert_eq!(
        judged(Some(&twice), Some(&sign(&twice, BODY)), BODY),
        Err(Unsigned::Malformed)
    );
    let plus = format!("+{time}");
    assert_eq!(
        judged(Some(&plus), Some(&sign(&plus, BODY)), BODY),
        Err(Unsigned::Malformed)
    );
    assert_eq!(
        judged(Some(&time), Some(&good[3..]), BODY),
        Err(Unsigned::Malformed)
    );
    assert!(!format!("{:?}", SigningSecret::new("secret")).contains("secret"));
}

#[test]
fn a_click_is_read() {
    let payload = json!({
        "type": "block_actions", "team": { "id": "T1", "domain": "x" }, "user": { "id": "U1" },
        "actions": [{ "action_id": APPROVE, "value": "v", "type": "button" }],
        "response_url": "https://hooks.slack.com/actions/T1/1/x",
    });
    let click = Click::parse(&payload.to_string()).ok().unwrap();
    assert_eq!(
        (click.team.as_str(), click.user.as_str(), click.verdict),
        ("T1", "U1", Verdict::Approved)
    );
    assert!(click.response_url.is_some() && !click.is_although(&[]));
    for (path, value) in [
        ("type", json!("view_submission")),
        ("actions", json!([])),
        ("actions", json!([{ "action_id": "x" }])),
    ] {
        let mut other = payload.clone();
        other[path] = value;
        assert_eq!(Click::parse(&other.to_string()).err(), Some(NoClick::Other));
    }
    assert_eq!(Click::parse("[]").err(), Some(NoClick::Malformed));
}

#[test]
fn only_slacks_own_host_is_answered() {
    assert!(ResponseUrl::parse("https://hooks.slack.com/actions/T/1/x").is_some());
    for url in [
        "http://hooks.slack.com/actions/T/1/x",
        "https://hooks.slack.com",
        "https://hooks.slack.com.evil.example/x",
        "https://hooks.slack.com@evil.example/x",
        "https://hooks.slack.com:444/x",
        "https://evil.example/https://hooks.slack.com/",
        "https://HOOKS.slack.com/x",
        "https://hooks.slack.com/\r\nHost: evil.example",
        "https://hooks.slack.com/\\@evil.example",
        "https://169.254.169.254/",
        "",
    ] {
        assert!(ResponseUrl::parse(url).is_none(), "{url}");
    }
}

#[test]
fn a_buttons_value_names_the_approval_and_nobody() {
    let value = button(&record(), &keys()).unwrap();
    assert!(value.len() <= 2000, "Slack's limit");
    let verified = Link::verify(&value, &keys()).unwrap();
    let link = link_of(verified.link(), approver("ann@example.com")).unwrap();
    assert_eq!(
        (link.approval.clone(), link.token),
        (record().approval, record().token_hash)
    );
    assert!(
        link_of(&link, approver("bob@example.com")).is_none(),
        "a person's own link is no button"
    );
}

#[test]
fn a_message_stays_within_block_kit_whatever_the_evidence() {
    let mut record = record();
    record.evidence.revision_summary = Some("<!channel> *x* \u{202e}".repeat(400));
    record.evidence.preview.change_set = Known::Is(change_set(vec![change("Modify", Replacement::Yes); 150]));
    let value = button(&record, &keys()).unwrap();
    let decided = Ended::Decided(Decision {
        verdict: Verdict::Approved,
        by: "ann@example.com".to_owned(),
        via: Via::Slack,
        at: Some(at(NOW)),
        comment: String::new(),
    });
    let open = Open {
        tally: &tally(&record, &[]),
        newer: &[],
    };
    for message in [ask(&record, &value, open, at(NOW)), ended(&record, &decided)] {
        let blocks = message.blocks.as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            let text = block["text"]["text"].as_str().unwrap_or("x");
            let max = if block["type"] == "header" {
                HEADER
            } else {
                SECTION
            };
            assert!(!text.is_empty() && text.chars().count() <= max, "{block}");
        }
        assert!(!message.blocks.to_string().contains("mrkdwn"));
        assert!(message.blocks.to_string().contains("lines more"));
    }
    let after = ended(&record, &decided).blocks.to_string();
    assert!(
        after.contains("Approved by ann@example.com in Slack, Friday 29 May 2026"),
        "{after}"
    );
    assert!(
        !after.contains("button") && !after.contains(&value),
        "no buttons are left"
    );
}

fn tally(record: &Record, approved: &[&str]) -> Tally {
    let policy =
        r#"{"version":1,"approvers":[{"email":"ann@example.com"},{"email":"bob@example.com"}],"quorum":2}"#;
    let votes: Vec<Vote> = approved
        .iter()
        .map(|email| Vote {
            person: approver(email),
            via: Via::Slack,
            at: at(NOW),
            comment: String::new(),
        })
        .collect();
    Tally::of(&votes, &Policy::parse(policy).unwrap(), record)
}

#[test]
fn a_message_shows_who_has_approved_and_who_is_missing() {
    let (record, value) = (record(), button(&record(), &keys()).unwrap());
    let shown = |approved: &[&str]| {
        let open = Open {
            tally: &tally(&record, approved),
            newer: &[],
        };
        ask(&record, &value, open, at(NOW)).blocks.to_string()
    };
    assert!(shown(&[]).contains("0 of 2 people have approved"));
    let one = shown(&["ann@example.com"]);
    assert!(
        one.contains("1 of 2 people") && one.contains("Approved by ann@example.com in Slack"),
        "{one}"
    );
    assert!(
        one.contains("Not yet: bob@example.com") && one.contains(APPROVE),
        "{one}"
    );
}

#[test]
fn where_something_newer_waits_the_button_is_for_the_older_one_and_for_these_runs_only() {
    let (record, value) = (record(), button(&record(), &keys()).unwrap());
    let newer = [
        ExecutionId::new("aaaa").unwrap(),
        ExecutionId::new("bbbb").unwrap(),
    ];
    let open = Open {
        tally: &tally(&record, &[]),
        newer: &newer,
    };
    let blocks = ask(&record, &value, open, at(NOW)).blocks;
    assert!(
        blocks[1]["text"]["text"]
            .as_str()
            .unwrap()
            .starts_with("A newer revision waits"),
        "{blocks}"
    );
    let element = &blocks.as_array().unwrap().last().unwrap()["elements"][0];
    assert_eq!(element["action_id"], APPROVE_OLDER);
    assert!(
        element["confirm"]["text"]["text"]
            .as_str()
            .unwrap()
            .starts_with("A newer revision waits")
    );
    assert!(
        blocks.to_string().contains("2 waiting behind this one"),
        "the evidence says the same"
    );
    let payload = json!({
        "type": "block_actions", "team": { "id": "T1" }, "user": { "id": "U1" },
        "actions": [{ "action_id": APPROVE_OLDER, "value": element["value"] }],
    });
    let click = Click::parse(&payload.to_string()).ok().unwrap();
    assert_eq!(click.value, value);
    let turned = [newer[1].clone(), newer[0].clone()];
    assert!(
        click.is_although(&newer) && click.is_although(&turned),
        "in whichever order they are told"
    );
    assert!(!click.is_although(&newer[..1]) && !click.is_although(&[]));
    let value = older_button(&value, &newer);
    let mut plain = payload;
    plain["actions"][0] = json!({ "action_id": APPROVE, "value": value });
    assert!(
        !Click::parse(&plain.to_string()).ok().unwrap().is_although(&newer),
        "it is the button that says so"
    );
}
