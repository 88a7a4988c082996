//! Whole requests against a CodePipeline, a Secrets Manager and a Parameter Store of few calls each.

use serde_json::json;
use signalbox_decision::approval::keys::{Key, Keys};

use super::*;

mod world;

use world::{Case, KEY, Mood, NOW, TOKEN, case, link, policy};

#[tokio::test(start_paused = true)]
async fn opening_the_page_decides_nothing() {
    let case = case().await;
    let segment = Case::segment("ann@example.com");
    for _ in 0..15 {
        assert_eq!(case.send("GET", &segment, json!({})).await.status, 200);
        let head = case.send("HEAD", &segment, json!({})).await;
        assert_eq!((head.status, head.body.as_str(), head.cookie), (200, "", None));
    }
    assert_eq!(case.answers(), 0);
    assert!(case.stored().await.attempts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_form_decides_once_and_its_replay_is_told_so() {
    let case = case().await;
    let first = case.answer("ann@example.com", "approve").await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(case.aws.answers.lock().unwrap()[0]["token"], TOKEN);
    assert_eq!(
        case.aws.answers.lock().unwrap()[0]["result"]["summary"],
        "Approved by ann@example.com via link: fine"
    );
    let replay = case.answer("bob@example.com", "reject").await;
    assert_eq!(
        (replay.status, case.answers()),
        (403, 1),
        "the page of a decided approval has no form, and so no nonce"
    );
    let page = case
        .send("GET", &Case::segment("bob@example.com"), json!({}))
        .await;
    assert!(page.body.contains("Already approved") && page.body.contains("ann@example.com"));
    let stored = case.stored().await;
    assert_eq!(stored.decision.unwrap()["by"], "ann@example.com");
    assert_eq!(stored.attempts.len(), 2);
    assert_eq!(stored.attempts[0]["address"], "203.0.113.7");
}

#[tokio::test(start_paused = true)]
async fn of_two_forms_opened_before_the_decision_the_second_is_told_who_decided() {
    let case = case().await;
    let segment = Case::segment("bob@example.com");
    let page = case.send("GET", &segment, json!({})).await;
    let nonce = page
        .body
        .split_once("name=\"nonce\" value=\"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    case.answer("ann@example.com", "approve").await;
    let body = format!("nonce={nonce}&verdict=reject");
    let late = case
        .send(
            "POST",
            &segment,
            json!({ "body": body, "cookies": [page.cookie.unwrap()] }),
        )
        .await;
    assert_eq!((late.status, case.answers()), (409, 1));
    assert!(late.body.contains("Already approved") && late.body.contains("ann@example.com"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_for_and_told_truthfully() {
    let case = case().await;
    *case.aws.mood.lock().unwrap() = Mood::LosesTheAnswer;
    let answered = case.answer("ann@example.com", "approve").await;
    assert_eq!((answered.status, case.answers()), (200, 1));
    assert_eq!(case.stored().await.decision.unwrap()["by"], "ann@example.com");
}

#[tokio::test(start_paused = true)]
async fn a_denied_answer_is_not_told_as_a_decision() {
    let case = case().await;
    *case.aws.mood.lock().unwrap() = Mood::Denies;
    let answered = case.answer("ann@example.com", "approve").await;
    assert_eq!((answered.status, case.answers()), (503, 0));
    assert!(case.stored().await.decision.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pipeline_is_gone() {
    let case = case().await;
    *case.aws.mood.lock().unwrap() = Mood::Deleted;
    assert_eq!(
        case.send("GET", &Case::segment("ann@example.com"), json!({}))
            .await
            .status,
        410
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_decide_is_refused_and_audited() {
    let case = case().await;
    assert_eq!(case.answer("mallory@example.com", "approve").await.status, 403);
    assert_eq!(
        case.answer("carol@example.com", "approve").await.status,
        403,
        "the author"
    );
    let segment = Case::segment("ann@example.com");
    let foreign = json!({ "body": "verdict=approve", "headers": { "origin": "https://evil.example", "sec-fetch-site": "cross-site" } });
    assert_eq!(case.send("POST", &segment, foreign).await.status, 403);
    assert_eq!(
        case.send("POST", &segment, json!({ "body": "verdict=approve" }))
            .await
            .status,
        403,
        "no nonce"
    );
    assert_eq!(case.answers(), 0);
    let outcomes: Vec<_> = case
        .stored()
        .await
        .attempts
        .iter()
        .map(|line| line["outcome"].to_string())
        .collect();
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    assert!(!format!("{outcomes:?}").contains(&segment));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_our_link_looks_like_an_unknown_path() {
    let case = case().await;
    let stolen = link("ann@example.com").sign(&Keys::new(Key::new("k1", "x".repeat(32)).unwrap(), None));
    let retired = link("ann@example.com").sign(&Keys::new(Key::new("k0", KEY).unwrap(), None));
    let unknown = case.send("GET", "", json!({ "rawPath": "/.env" })).await;
    for segment in [stolen.as_str(), &retired, "x", &"A".repeat(5000)] {
        for method in ["GET", "POST"] {
            let answered = case
                .send(method, segment, json!({ "body": "verdict=approve" }))
                .await;
            assert_eq!((answered.status, &answered.body), (404, &unknown.body));
        }
    }
    let strangers = case
        .app
        .ledger
        .strangers(&case.app.config.pipeline, NOW.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(strangers.attempts.len(), 4, "the forms that were sent");
    assert!(!format!("{strangers:?}").contains(&stolen));
    assert_eq!(case.send("DELETE", "x", json!({})).await.status, 405);
    assert_eq!(case.answers(), 0);
}

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let rest = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap().1;
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn two_of_three_have_to_approve_and_the_page_says_who_is_missing() {
    let case = case().await;
    *case.aws.policy.lock().unwrap() = Some(policy(2, "warn"));
    let first = case.answer("ann@example.com", "approve").await;
    assert_eq!((first.status, case.answers()), (200, 0));
    assert!(
        first.body.contains("one more person") && first.body.contains("bob@example.com"),
        "{}",
        first.body
    );
    assert!(!first.body.contains("carol@"), "the author is not missing");
    assert_eq!(
        case.answer("carol@example.com", "approve").await.status,
        403,
        "the author"
    );
    let second = case.answer("bob@example.com", "approve").await;
    assert_eq!((second.status, case.answers()), (200, 1), "{}", second.body);
    let stored = case.stored().await;
    assert_eq!(stored.decision.unwrap()["by"], "ann@example.com, bob@example.com");
    assert_eq!(stored.votes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_older_revision_takes_a_second_step_that_knows_what_waits() {
    let case = case().await;
    *case.aws.newer.lock().unwrap() = vec!["aaaa"];
    let segment = Case::segment("ann@example.com");
    let page = case.send("GET", &segment, json!({})).await;
    assert!(page.body.contains("A newer revision is waiting"));
    let cookie = page.cookie.unwrap();
    let nonce = field(&page.body, "nonce");
    let post = async |body: String| {
        case.send("POST", &segment, json!({ "body": body, "cookies": [cookie] }))
            .await
    };
    let first = post(format!("nonce={nonce}&verdict=approve&comment=urgent")).await;
    assert_eq!((first.status, case.answers()), (200, 0));
    assert!(first.body.contains("Approve the older revision?") && first.body.contains(">urgent</textarea>"));
    assert_eq!(
        post(format!("nonce={nonce}&verdict=approve&older={nonce}"))
            .await
            .status,
        200
    );
    let older = field(&first.body, "older");
    *case.aws.newer.lock().unwrap() = vec!["aaaa", "bbbb"];
    let again = post(format!("nonce={nonce}&verdict=approve&older={older}")).await;
    assert_eq!(
        case.answers(),
        0,
        "a third revision has come since: {}",
        again.body
    );
    let older = field(&again.body, "older");
    assert_eq!(
        (
            post(format!("nonce={nonce}&verdict=approve&older={older}"))
                .await
                .status,
            case.answers()
        ),
        (200, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_rejects_older_revisions_is_told_to_whoever_approves_one() {
    let case = case().await;
    *case.aws.policy.lock().unwrap() = Some(policy(1, "reject"));
    let segment = Case::segment("ann@example.com");
    let page = case.send("GET", &segment, json!({})).await;
    let body = format!("nonce={}&verdict=approve", field(&page.body, "nonce"));
    *case.aws.newer.lock().unwrap() = vec!["aaaa"];
    let answered = case
        .send(
            "POST",
            &segment,
            json!({ "body": body, "cookies": [page.cookie.unwrap()] }),
        )
        .await;
    assert_eq!((answered.status, case.answers()), (409, 1));
    assert!(answered.body.contains("Your approval was not taken"));
    assert_eq!(
        case.aws.answers.lock().unwrap()[0]["result"]["summary"],
        "Rejected by signalbox via policy: a newer revision is waiting behind this one"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_valid_policy_nobody_decides() {
    for document in [None, Some("{}".to_owned()), Some(policy(9, "warn"))] {
        let case = case().await;
        let segment = Case::segment("ann@example.com");
        let page = case.send("GET", &segment, json!({})).await;
        *case.aws.policy.lock().unwrap() = document;
        tokio::time::advance(Duration::from_secs(61)).await;
        let body = format!("nonce={}&verdict=approve", field(&page.body, "nonce"));
        let answered = case
            .send(
                "POST",
                &segment,
                json!({ "body": body, "cookies": [page.cookie.unwrap()] }),
            )
            .await;
        assert_eq!((answered.status, case.answers()), (403, 0));
        assert!(answered.body.contains("AWS console"));
        assert_eq!(
            case.stored().await.attempts[0]["outcome"],
            "refused: there is no valid approval policy"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_refused_and_posts_of_them_audited() {
    let case = case().await;
    let segment = Case::segment("ann@example.com");
    let mut statuses = Vec::new();
    for _ in 0..70 {
        statuses.push(
            case.send("POST", &segment, json!({ "body": "verdict=approve" }))
                .await
                .status,
        );
    }
    assert_eq!(statuses[..30], [403; 30], "no nonce");
    assert_eq!(statuses[30..], [429; 40]);
    // 30 without a nonce, 30 too many by this link; past that the address is refused unread.
    assert_eq!((case.stored().await.attempts.len(), case.answers()), (60, 0));
    let other = json!({ "requestContext": { "http": { "method": "GET", "sourceIp": "203.0.113.8" } } });
    assert_eq!(
        case.send("GET", &Case::segment("bob@example.com"), other)
            .await
            .status,
        200
    );
}
