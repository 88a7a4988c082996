//! Hazards 41 to 56: the approval page, by HTTP, against the real function in the cloud of all tests.
//!
//! Every visitor has an address of their own in 127.0.0.0/8, since the page limits how often one may ask.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};

use aws_sdk_s3::primitives::ByteStream;
use futures::future::join_all;
use jiff::Timestamp;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use signalbox_decision::approval::keys::{Key, Keys};
use signalbox_decision::approval::link::{Link, VerifiedLink};
use signalbox_decision::approval::nonce::Nonce;
use signalbox_decision::names::{ActionName, Approver, PipelineName, StageName};

use crate::runs::actions;
use crate::world::{ANN, BEN, World, package, until};

/// Somebody with a browser of their own.
pub(crate) struct Visitor {
    client: Client,
    origin: String,
}

impl Visitor {
    pub(crate) fn new(world: &World) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let address = IpAddr::from([127, 0, 41, NEXT.fetch_add(1, Ordering::Relaxed)]);
        Self {
            client: Client::builder().local_address(address).build().unwrap(),
            origin: world.running.url(),
        }
    }

    /// Where its forms come from.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    async fn open(&self, method: Method, url: &str) -> Response {
        self.client.request(method, url).send().await.unwrap()
    }

    pub(crate) async fn get(&self, url: &str) -> (StatusCode, String) {
        let answer = self.open(Method::GET, url).await;
        (answer.status(), answer.text().await.unwrap())
    }

    /// Opens the page, as a browser does; answers its cookie and its form's nonce.
    pub(crate) async fn form(&self, url: &str) -> (String, String) {
        let answer = self.open(Method::GET, url).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let page = answer.text().await.unwrap();
        let nonce = page
            .split_once("name=\"nonce\" value=\"")
            .unwrap()
            .1
            .split('"')
            .next()
            .unwrap()
            .to_owned();
        (cookie, nonce)
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        cookie: &str,
        origin: &str,
        fields: &[(&str, &str)],
    ) -> (StatusCode, String) {
        let request = self
            .client
            .post(url)
            .header("cookie", cookie)
            .header("origin", origin)
            .form(fields);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// Opens the page and sends its form.
    pub(crate) async fn decide(&self, url: &str, verdict: &str, comment: &str) -> (StatusCode, String) {
        let (cookie, nonce) = self.form(url).await;
        let fields = [
            ("verdict", verdict),
            ("nonce", nonce.as_str()),
            ("comment", comment),
        ];
        self.post(url, &cookie, &self.origin, &fields).await
    }
}

/// An approval that waits for Ann and Ben.
pub(crate) struct Asked {
    pub(crate) run: String,
    pub(crate) ann: String,
    pub(crate) ben: String,
}

pub(crate) async fn ask(world: &World) -> Asked {
    ask_with(world, "Round the totals").await
}

/// Uploads a sound package; answers its version.
pub(crate) async fn upload(world: &World, summary: &str) -> String {
    let upload = world
        .running
        .s3()
        .put_object()
        .bucket(&world.installed.source_bucket);
    // A key of its own: of several uploads to one key, only the newest gets a run.
    let key = format!("source/develop/{}.zip", uuid::Uuid::new_v4());
    let upload = upload.key(key).body(ByteStream::from(package()));
    let upload = upload.metadata("codepipeline-artifact-revision-summary", summary);
    upload.send().await.unwrap().version_id().unwrap().to_owned()
}

pub(crate) async fn ask_with(world: &World, summary: &str) -> Asked {
    let run = world.run_of(&upload(world, summary).await).await;
    let mut links = Vec::new();
    for person in [ANN, BEN] {
        let base = format!("{}a/", world.installed.answer_url);
        let of_run = |body: &str| {
            link_in(body, &base).filter(|url| link_of(world, url).is_some_and(|link| link == run))
        };
        let what = format!("to {person} about {run}");
        let mail = world.mail(&what, |mail| mail.to == person && of_run(&mail.text).is_some());
        links.push(link_in(&mail.await.text, &base).unwrap());
    }
    let [ann, ben] = links.try_into().unwrap();
    Asked { run, ann, ben }
}

fn link_in(body: &str, base: &str) -> Option<String> {
    let rest = body.split_once(base)?.1;
    Some(format!("{base}{}", rest.split_whitespace().next()?))
}

/// The run that a link speaks of: its text stands in the link's bytes, behind the pipeline's.
fn link_of(world: &World, url: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(segment(url))
        .ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let rest = text.split_once(world.installed.pipeline.as_str())?.1;
    let run: String = rest
        .chars()
        .skip_while(|c| !c.is_ascii_hexdigit())
        .take(36)
        .collect();
    Some(run)
}

fn segment(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// The keys that links of this environment are signed with.
async fn keys(world: &World, environment: &str) -> Keys {
    let input = json!({ "SecretId": format!("signalbox-{environment}-signing") });
    let secret = world
        .running
        .call("secretsmanager", "GetSecretValue", input)
        .await
        .unwrap();
    let key: Key = serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap();
    Keys::new(key, None)
}

/// What a link says, with its proof.
async fn verified(world: &World, url: &str) -> (VerifiedLink, Keys) {
    let keys = keys(world, &world.installed.environment).await;
    (Link::verify(segment(url), &keys).unwrap(), keys)
}

/// Ann's link, changed and signed anew, with a cookie and a nonce that fit it.
pub(crate) async fn resigned(
    world: &World,
    url: &str,
    change: impl FnOnce(&mut Link),
) -> (String, String, String) {
    let (sound, keys) = verified(world, url).await;
    let mut link = sound.link().clone();
    change(&mut link);
    let text = link.sign(&keys);
    let (nonce, link) = (Nonce::new([7; 32]), Link::verify(&text, &keys).unwrap());
    let form = nonce.form_value(&link, &keys);
    (
        format!("{}a/{text}", world.installed.answer_url),
        format!("signalbox_nonce={}", nonce.cookie_value()),
        form,
    )
}

/// The rows of the ledger under a partition key.
async fn rows(world: &World, pk: &str) -> Vec<Value> {
    let input = json!({
        "TableName": world.installed.ledger_table, "KeyConditionExpression": "pk = :pk", "ConsistentRead": true,
        "ExpressionAttributeValues": { ":pk": { "S": pk } },
    });
    let answer = world.running.call("dynamodb", "Query", input).await.unwrap();
    let items = answer["Items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|item| serde_json::from_str(item["body"]["S"].as_str().unwrap()).unwrap())
        .collect()
}

pub(crate) async fn approval(world: &World, run: &str) -> Value {
    let rows = rows(world, &format!("APPROVAL#{}#{run}", world.installed.pipeline)).await;
    rows.into_iter().find(|row| !row["record"].is_null()).unwrap()
}

/// The approval action of a run, as CodePipeline lists it.
pub(crate) async fn action(world: &World, run: &str) -> Value {
    let mut actions = actions(world, run).await.into_iter();
    actions.find(|action| action["stageName"] == "Approval").unwrap()
}

/// Nothing was decided: CodePipeline waits, and the ledger has neither decision nor vote.
pub(crate) async fn assert_open(world: &World, run: &str) {
    assert_eq!(action(world, run).await["status"], "InProgress");
    let stored = approval(world, run).await;
    assert!(
        stored["decision"].is_null() && stored["votes"] == json!([]),
        "{stored}"
    );
}

/// The audit of a run has a line like this, and it names time, way and address.
async fn assert_audited(world: &World, run: &str, person: &str, outcome: &str) {
    let rows = rows(world, &format!("APPROVAL#{}#{run}", world.installed.pipeline)).await;
    let lines: Vec<&Value> = rows
        .iter()
        .flat_map(|row| row["attempts"].as_array().unwrap())
        .collect();
    let line = lines
        .iter()
        .find(|line| line["person"] == person && line["outcome"].as_str().unwrap().contains(outcome));
    let line = line.unwrap_or_else(|| panic!("no line {outcome:?} of {person} in {lines:#?}"));
    assert!(line["at"].is_string() && line["channel"] == "link", "{line}");
    assert!(
        line["address"].as_str().unwrap().starts_with("127.0.41."),
        "{line}"
    );
}

/// The day's audit of links that nobody can vouch for.
async fn strangers(world: &World) -> usize {
    let rows = rows(world, &format!("STRANGERS#{}", world.installed.pipeline)).await;
    rows.iter()
        .map(|row| row["attempts"].as_array().unwrap().len())
        .sum()
}

pub(crate) async fn h41_get_and_head_never_decide(world: &World) {
    let asked = ask(world).await;
    let visit = async |number: usize| {
        let (visitor, mut shown) = (Visitor::new(world), 0);
        for turn in 0..250 {
            let url = if number.is_multiple_of(2) {
                &asked.ann
            } else {
                &asked.ben
            };
            let method = if turn % 2 == 0 { Method::GET } else { Method::HEAD };
            let status = visitor
                .open(method, &format!("{url}?verdict=approve"))
                .await
                .status();
            assert!(matches!(status.as_u16(), 200 | 429), "{status}");
            shown += usize::from(status == 200);
        }
        shown
    };
    let shown = join_all((0..4).map(visit)).await.iter().sum::<usize>();
    assert!(shown >= 60, "only {shown} of 1,000 were shown");
    assert_open(world, &asked.run).await;
    assert_eq!(approval(world, &asked.run).await["attempts"], json!([]));
}

pub(crate) async fn h42_a_form_decides_once(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let (status, page) = ann.decide(&asked.ann, "approve", "fine").await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("Your decision is recorded") && page.contains(ANN));
    let action = action(world, &asked.run).await;
    assert_eq!(action["status"], "Succeeded");
    assert!(
        action
            .to_string()
            .contains("Approved by ann@example.com via link: fine"),
        "{action}"
    );
    let stored = approval(world, &asked.run).await;
    assert_eq!(
        (&stored["decision"]["by"], &stored["decision"]["verdict"]),
        (&json!(ANN), &json!("approved"))
    );
    assert_audited(world, &asked.run, ANN, "approved").await;
}

pub(crate) async fn h43_a_replay_is_told_by_whom_and_when(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let (cookie, nonce) = ann.form(&asked.ann).await;
    let fields = [("verdict", "reject"), ("nonce", nonce.as_str())];
    assert_eq!(ann.post(&asked.ann, &cookie, &ann.origin, &fields).await.0, 200);
    let (status, page) = ann.post(&asked.ann, &cookie, &ann.origin, &fields).await;
    assert_eq!(status, 409);
    assert!(
        page.contains("Already rejected") && page.contains(ANN) && page.contains("<time datetime="),
        "{page}"
    );
    // The other one's page says the same.
    let (status, page) = Visitor::new(world).get(&asked.ben).await;
    assert_eq!(status, 200);
    assert!(page.contains("Already rejected") && page.contains(ANN) && !page.contains("<form"));
    assert_audited(world, &asked.run, ANN, "already Rejected by ann@example.com").await;
}

pub(crate) async fn h44_of_two_answers_at_once_the_first_wins_and_both_are_told(world: &World) {
    let asked = ask(world).await;
    let (ann, ben) = (Visitor::new(world), Visitor::new(world));
    let ((ann_cookie, ann_nonce), (ben_cookie, ben_nonce)) =
        tokio::join!(ann.form(&asked.ann), ben.form(&asked.ben));
    let approve = [("verdict", "approve"), ("nonce", ann_nonce.as_str())];
    let reject = [("verdict", "reject"), ("nonce", ben_nonce.as_str())];
    let (one, other) = tokio::join!(
        ann.post(&asked.ann, &ann_cookie, &ann.origin, &approve),
        ben.post(&asked.ben, &ben_cookie, &ben.origin, &reject),
    );
    let approved = action(world, &asked.run).await["status"] == "Succeeded";
    let (winner, (won, page), (lost, told)) = if approved {
        (ANN, one, other)
    } else {
        (BEN, other, one)
    };
    assert_eq!((won.as_u16(), lost.as_u16()), (200, 409), "{page} {told}");
    assert!(told.contains("Already") && told.contains(winner), "{told}");
    assert_eq!(approval(world, &asked.run).await["decision"]["by"], winner);
}

pub(crate) async fn h45_an_expired_link_decides_nothing(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let past = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
    let (url, cookie, nonce) = resigned(world, &asked.ann, |link| link.expires = past).await;
    let (status, page) = ann.get(&url).await;
    assert_eq!(status, 410);
    assert!(page.contains("This approval has expired"), "{page}");
    let (status, _) = ann
        .post(
            &url,
            &cookie,
            &ann.origin,
            &[("verdict", "approve"), ("nonce", &nonce)],
        )
        .await;
    assert_eq!(status, 410);
    assert_open(world, &asked.run).await;
    assert_audited(world, &asked.run, ANN, "expired at").await;
}

pub(crate) async fn h46_a_forged_signature_is_refused(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let (cookie, nonce) = ann.form(&asked.ann).await;
    let before = strangers(world).await;
    let mut forged: Vec<char> = asked.ann.chars().collect();
    let at = forged.len() - 20;
    forged[at] = if forged[at] == 'A' { 'B' } else { 'A' };
    let forged: String = forged.into_iter().collect();
    let (status, page) = ann
        .post(
            &forged,
            &cookie,
            &ann.origin,
            &[("verdict", "approve"), ("nonce", &nonce)],
        )
        .await;
    assert_eq!(status, 404);
    assert!(!page.contains(&asked.run) && !page.contains(ANN));
    assert_eq!(ann.get(&forged).await.0, 404);
    assert_open(world, &asked.run).await;
    assert!(strangers(world).await > before, "the attempt is audited");
}

pub(crate) async fn h47_a_retired_key_opens_nothing(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let (sound, _) = verified(world, &asked.ann).await;
    let retired = Keys::new(Key::new("k0", "0123456789abcdef0123456789abcdef").unwrap(), None);
    let url = format!("{}a/{}", world.installed.answer_url, sound.link().sign(&retired));
    let before = strangers(world).await;
    assert_eq!(ann.get(&url).await.0, 404);
    assert_eq!(
        ann.post(&url, "", &ann.origin, &[("verdict", "approve")]).await.0,
        404
    );
    assert_open(world, &asked.run).await;
    assert!(strangers(world).await > before, "the attempt is audited");
}

pub(crate) async fn h48_a_link_serves_its_own_action_only(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    type Change = fn(&mut Link);
    let moves: [(u16, Change); 3] = [
        (404, |link| {
            link.approval.pipeline = PipelineName::new("another-pipeline").unwrap();
        }),
        (403, |link| {
            link.approval.stage = StageName::new("Release").unwrap();
        }),
        (403, |link| {
            link.approval.action = ActionName::new("Other").unwrap();
        }),
    ];
    for (expected, change) in moves {
        let (url, cookie, nonce) = resigned(world, &asked.ann, change).await;
        let (status, page) = ann
            .post(
                &url,
                &cookie,
                &ann.origin,
                &[("verdict", "approve"), ("nonce", &nonce)],
            )
            .await;
        assert_eq!(status.as_u16(), expected, "{page}");
        assert!(!page.contains(&asked.run));
    }
    assert_open(world, &asked.run).await;
    assert_audited(world, &asked.run, ANN, "was not asked").await;
}

pub(crate) async fn h49_an_older_run_s_link_does_not_serve_a_newer_one(world: &World) {
    let (older, ann) = (ask(world).await, Visitor::new(world));
    let newer = ask(world).await;
    let (cookie, nonce) = ann.form(&older.ann).await;
    let input = json!({ "pipelineName": world.installed.pipeline, "pipelineExecutionId": older.run, "abandon": true, "reason": "test" });
    world
        .running
        .call("codepipeline", "StopPipelineExecution", input)
        .await
        .unwrap();
    until("the older run to stop", async || {
        (action(world, &older.run).await["status"] != "InProgress").then_some(())
    })
    .await;
    let (status, page) = ann
        .post(
            &older.ann,
            &cookie,
            &ann.origin,
            &[("verdict", "approve"), ("nonce", &nonce)],
        )
        .await;
    assert_eq!(status, 410, "{page}");
    // Nor does the older run's link with the newer run's name in it: its token was never asked about there.
    let run = newer.run.clone();
    let (url, cookie, nonce) = resigned(world, &older.ann, |link| {
        link.approval.execution = run.parse().unwrap();
    })
    .await;
    let (status, _) = ann
        .post(
            &url,
            &cookie,
            &ann.origin,
            &[("verdict", "approve"), ("nonce", &nonce)],
        )
        .await;
    assert_eq!(status, 403);
    assert_open(world, &newer.run).await;
    assert_audited(world, &older.run, ANN, "gone").await;
}

pub(crate) async fn h50_a_form_of_another_site_is_refused(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let (cookie, nonce) = ann.form(&asked.ann).await;
    let fields = [("verdict", "approve"), ("nonce", nonce.as_str())];
    for origin in ["https://evil.example", "null"] {
        assert_eq!(
            ann.post(&asked.ann, &cookie, origin, &fields).await.0,
            403,
            "{origin}"
        );
    }
    assert_eq!(
        ann.post(&asked.ann, "", &ann.origin, &fields).await.0,
        403,
        "without the cookie"
    );
    assert_open(world, &asked.run).await;
    assert_audited(world, &asked.run, ANN, "another site").await;
    assert_audited(world, &asked.run, ANN, "does not belong to the page").await;
}

pub(crate) async fn h51_nobody_approves_their_own_change(world: &World) {
    let asked = ask_with(world, "Author: Ann <ann@example.com>").await;
    let ann = Visitor::new(world);
    let (_, page) = ann.get(&asked.ann).await;
    assert!(
        page.contains("You made this change") && !page.contains("value=\"approve\""),
        "{page}"
    );
    let (status, _) = ann.decide(&asked.ann, "approve", "").await;
    assert_eq!(status, 403);
    assert_open(world, &asked.run).await;
    assert_audited(world, &asked.run, ANN, "the author of a change cannot approve it").await;
    assert_eq!(Visitor::new(world).decide(&asked.ben, "approve", "").await.0, 200);
    assert_eq!(approval(world, &asked.run).await["decision"]["by"], BEN);
}

pub(crate) async fn h52_an_unlisted_person_decides_nothing(world: &World) {
    let (asked, mallory) = (ask(world).await, Visitor::new(world));
    let change = |link: &mut Link| link.approver = Approver::new("mallory@example.com").unwrap();
    let (url, cookie, nonce) = resigned(world, &asked.ann, change).await;
    let (status, page) = mallory.get(&url).await;
    assert_eq!(status, 403);
    assert!(
        !page.contains(&asked.run) && !page.contains(ANN),
        "a stranger learns nothing"
    );
    let fields = [("verdict", "approve"), ("nonce", nonce.as_str())];
    assert_eq!(mallory.post(&url, &cookie, &mallory.origin, &fields).await.0, 403);
    assert_open(world, &asked.run).await;
    assert_audited(world, &asked.run, "mallory@example.com", "not on the list").await;
}

/// In a cloud of its own: the other tests' runs need their pipeline.
pub(crate) async fn h54_a_deleted_pipeline_is_gone(_: &World) {
    let world = World::start().await.unwrap();
    let (asked, ann) = (ask(&world).await, Visitor::new(&world));
    let pipeline = json!({ "name": world.installed.pipeline });
    world
        .running
        .call("codepipeline", "DeletePipeline", pipeline)
        .await
        .unwrap();
    let (status, page) = ann.get(&asked.ann).await;
    world.stop().await;
    assert_eq!(status, 410, "{page}");
    assert!(page.contains("The pipeline does not exist any more"), "{page}");
}

pub(crate) async fn h55_a_long_comment_is_cut_between_characters(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let (status, page) = ann.decide(&asked.ann, "approve", &"\u{10348}".repeat(600)).await;
    assert_eq!(status, 200, "{page}");
    let action = action(world, &asked.run).await;
    let summary = action
        .pointer("/output/executionResult/externalExecutionSummary")
        .and_then(Value::as_str)
        .unwrap();
    assert!(
        summary.starts_with("Approved by ann@example.com via link: \u{10348}\u{10348}"),
        "{summary}"
    );
    assert!(
        summary.encode_utf16().count() <= 512 && summary.ends_with('\u{10348}'),
        "{summary}"
    );
}

pub(crate) async fn h56_the_page_cannot_be_framed(world: &World) {
    let asked = ask(world).await;
    for url in [&asked.ann, &world.installed.answer_url] {
        let answer = Visitor::new(world).open(Method::GET, url).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-frame-options"), "DENY");
        let policy = header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"),
            "{policy}"
        );
        assert_eq!(
            (header("referrer-policy"), header("cache-control")),
            ("no-referrer".to_owned(), "no-store".to_owned())
        );
    }
}

pub(crate) async fn the_page_s_log_holds_no_credential(world: &World) {
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let (cookie, nonce) = ann.form(&asked.ann).await;
    let fields = [
        ("verdict", "reject"),
        ("nonce", nonce.as_str()),
        ("comment", "a-telling-comment"),
    ];
    assert_eq!(ann.post(&asked.ann, &cookie, &ann.origin, &fields).await.0, 200);
    let group = format!("/aws/lambda/{}", world.function("answer-approval"));
    let text = until("the log of the decision", async || {
        let answer = world
            .running
            .call("logs", "FilterLogEvents", json!({ "logGroupName": group }))
            .await
            .ok()?;
        let events = answer["events"].as_array()?;
        let text: String = events
            .iter()
            .filter_map(|event| event["message"].as_str())
            .collect();
        (text.contains(&asked.run) && text.contains("decided")).then_some(text)
    });
    let text = text.await;
    for secret in [
        segment(&asked.ann),
        nonce.as_str(),
        cookie.split_once('=').unwrap().1,
        "a-telling-comment",
    ] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}
