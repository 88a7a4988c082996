//! Approvals in each of CodePipeline's execution modes, by HTTP, against the real functions: several people
//! have to approve, a newer revision waits, another run takes the approval over, and the policy rejects what
//! is superseded. A link and a token serve the run that they were made for, and no other.

use futures::future::join_all;
use serde_json::json;
use signalbox_local_core::Caller;
use tokio::sync::OnceCell;

use crate::approvals::Visitor;
use crate::site::{Plan, Site};
use crate::world::{ANN, BEN, World, until};

const CAROL: &str = "carol@example.com";
const DAN: &str = "dan@example.com";

static QUORUM: OnceCell<Site> = OnceCell::const_new();

async fn quorum(world: &World) -> &'static Site {
    let approvers = [ANN, BEN, CAROL, DAN].map(|email| json!({ "email": email }));
    let plan = || Plan {
        environment: "quorum",
        mode: "PARALLEL",
        policy: json!({ "version": 1, "quorum": 2, "approvers": approvers }),
        slack: None,
    };
    QUORUM.get_or_init(|| Site::make(world, plan())).await
}

/// Somebody in a role's session of their own name, as an identity provider makes it.
async fn session(world: &World, name: &str) -> Caller {
    let role = format!("people-{}", uuid::Uuid::new_v4());
    let trust = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "sts:AssumeRole" },
    ] });
    let input = json!({ "RoleName": role, "AssumeRolePolicyDocument": trust.to_string() });
    world.running.call("iam", "CreateRole", input).await.unwrap();
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "codepipeline:StartPipelineExecution", "Resource": "*" },
    ] });
    let input = json!({ "RoleName": role, "PolicyName": "start", "PolicyDocument": document.to_string() });
    world.running.call("iam", "PutRolePolicy", input).await.unwrap();
    Caller::Role {
        arn: format!("arn:aws:iam::123456789012:role/{role}"),
        session: name.to_owned(),
    }
}

/// Carol made the change, Dan started the run: neither counts. Of the others both have to approve, and the
/// same person twice is one.
pub(crate) async fn two_different_people_have_to_approve(world: &World) {
    let site = quorum(world).await;
    let run = site.start_as(world, &session(world, DAN).await).await;
    let link = async |person| site.link(world, person, &run).await;
    for (person, words) in [(CAROL, "You made this change"), (DAN, "or started this run")] {
        let (url, visitor) = (link(person).await, Visitor::new(world));
        let (_, page) = visitor.get(&url).await;
        assert!(
            page.contains(words) && !page.contains("value=\"approve\""),
            "{page}"
        );
        assert_eq!(visitor.decide(&url, "approve", "").await.0, 403, "{person}");
    }
    site.assert_open(world, &run).await;

    let (url, ann) = (link(ANN).await, Visitor::new(world));
    let (status, page) = ann.decide(&url, "approve", "").await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("one more person") && page.contains(BEN), "{page}");
    assert!(
        !page.contains(CAROL) && !page.contains(DAN),
        "neither is missing: {page}"
    );
    let (status, page) = ann.decide(&url, "approve", "again").await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("one more person"), "{page}");
    assert_eq!(site.action(world, &run).await.0, "InProgress");
    assert_eq!(
        site.stored(world, &run).await["votes"].as_array().unwrap().len(),
        1
    );

    let (status, page) = Visitor::new(world)
        .decide(&link(BEN).await, "approve", "ship it")
        .await;
    assert_eq!(status, 200, "{page}");
    let (status, summary) = site.action(world, &run).await;
    assert_eq!(
        (status.as_str(), summary.as_str()),
        (
            "Succeeded",
            "Approved by ann@example.com, ben@example.com via link: ship it"
        )
    );
    let stored = site.stored(world, &run).await;
    assert_eq!(stored["decision"]["by"], "ann@example.com, ben@example.com");
    let outcomes = stored["attempts"].to_string();
    assert!(
        outcomes.contains("the author of a change cannot approve it"),
        "{outcomes}"
    );
}

/// Whoever has approved: one rejection is the end, also the author's own.
pub(crate) async fn one_rejection_ends_it_at_once(world: &World) {
    let site = quorum(world).await;
    let run = site.start(world).await;
    let ann = Visitor::new(world);
    let url = site.link(world, ANN, &run).await;
    assert_eq!(ann.decide(&url, "approve", "").await.0, 200);
    assert_eq!(site.action(world, &run).await.0, "InProgress");
    let carol = site.link(world, CAROL, &run).await;
    let (status, page) = Visitor::new(world).decide(&carol, "reject", "not yet").await;
    assert_eq!(status, 200, "{page}");
    let (status, summary) = site.action(world, &run).await;
    assert_eq!(
        (status.as_str(), summary.as_str()),
        ("Failed", "Rejected by carol@example.com via link: not yet")
    );
    let (_, page) = ann.get(&url).await;
    assert!(
        page.contains("Already rejected") && page.contains(CAROL),
        "{page}"
    );
}

/// Two runs wait at the same time, each with a token of its own.
pub(crate) async fn in_parallel_mode_a_link_serves_its_own_run_only(world: &World) {
    let site = quorum(world).await;
    let (one, other) = (site.start(world).await, site.start(world).await);
    let (one_link, other_link) = (
        site.link(world, ANN, &one).await,
        site.link(world, ANN, &other).await,
    );
    let ann = Visitor::new(world);
    site.assert_apart(world, &ann, &one_link, &other_link).await;
    site.assert_open(world, &one).await;
    site.assert_open(world, &other).await;
    assert_eq!(ann.decide(&one_link, "reject", "").await.0, 200);
    assert_eq!(site.action(world, &one).await.0, "Failed");
    site.assert_open(world, &other).await;
    assert_eq!(ann.decide(&other_link, "reject", "").await.0, 200);
    assert_eq!(site.action(world, &other).await.0, "Failed");
}

/// The stale guard, and what becomes of the older run's link when the newer run has taken over.
pub(crate) async fn in_queued_mode_the_older_revision_takes_a_second_step(world: &World) {
    let plan = Plan {
        environment: "queued",
        mode: "QUEUED",
        policy: json!({ "version": 1, "approvers": [{ "email": ANN }, { "email": BEN }] }),
        slack: None,
    };
    let site = Site::make(world, plan).await;
    let older = site.start(world).await;
    let url = site.link(world, ANN, &older).await;
    let ann = Visitor::new(world);
    let (_, page) = ann.get(&url).await;
    assert!(!page.contains("A newer revision is waiting"), "{page}");
    let newer = site.start(world).await;
    site.waits_behind(world, &newer).await;

    let (_, page) = ann.get(&url).await;
    let said = page.find("A newer revision is waiting behind this one").unwrap();
    assert!(said < page.find("<h1").unwrap(), "before anything else: {page}");
    let (cookie, nonce) = ann.form(&url).await;
    let post = async |more: &[(&str, &str)]| {
        let fields = [&[("verdict", "approve"), ("nonce", nonce.as_str())][..], more].concat();
        ann.post(&url, &cookie, ann.origin(), &fields).await
    };
    let (status, page) = post(&[("comment", "urgent")]).await;
    assert_eq!(status, 200, "{page}");
    assert!(
        page.contains("Approve the older revision?") && page.contains("Nothing was decided yet"),
        "{page}"
    );
    let value = page.split_once("name=\"older\" value=\"").unwrap().1;
    let value = value.split('"').next().unwrap();
    for wrong in ["", "yes", nonce.as_str()] {
        let (_, page) = post(&[("older", wrong)]).await;
        assert!(page.contains("Approve the older revision?"), "{wrong:?}: {page}");
    }
    site.assert_open(world, &older).await;
    let (status, page) = post(&[("older", value), ("comment", "urgent")]).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(
        site.action(world, &older).await,
        (
            "Succeeded".to_owned(),
            "Approved by ann@example.com via link: urgent".to_owned()
        )
    );

    // The newer run has taken over the approval action, with a token of its own.
    let taken_over = site.link(world, ANN, &newer).await;
    site.assert_apart(world, &ann, &url, &taken_over).await;
    let (status, page) = post(&[("older", value)]).await;
    assert_eq!(status, 409, "{page}");
    let (status, page) = ann.get(&url).await;
    assert_eq!(status, 200);
    assert!(
        page.contains("Already approved") && !page.contains("<form"),
        "{page}"
    );
    site.assert_open(world, &newer).await;
    assert_eq!(ann.decide(&taken_over, "reject", "").await.0, 200);
    assert_eq!(
        site.ended(world, &newer, "Failed").await,
        "Rejected by ann@example.com via link"
    );
}

/// The newest takes over; the run in between never waits for anybody, and the older one's link is worth
/// nothing for the newest.
pub(crate) async fn in_superseded_mode_an_older_link_does_not_serve_the_run_that_took_over(world: &World) {
    let plan = Plan {
        environment: "superseded",
        mode: "SUPERSEDED",
        policy: json!({ "version": 1, "approvers": [{ "email": ANN }, { "email": BEN }] }),
        slack: None,
    };
    let site = Site::make(world, plan).await;
    let first = site.start(world).await;
    let url = site.link(world, ANN, &first).await;
    let ann = Visitor::new(world);
    let (cookie, nonce) = ann.form(&url).await;
    let second = site.start(world).await;
    site.waits_behind(world, &second).await;
    let third = site.start(world).await;
    site.waits_behind(world, &third).await;
    until("the second run to be superseded", async || {
        (site.status(world, &second).await == "Superseded").then_some(())
    })
    .await;
    let (_, page) = ann.get(&url).await;
    assert!(page.contains("A newer revision is waiting"), "{page}");

    site.stop(world, &first).await;
    let taken_over = site.link(world, ANN, &third).await;
    // The form was opened while its own run waited.
    for verdict in ["approve", "reject"] {
        let fields = [("verdict", verdict), ("nonce", nonce.as_str())];
        let (status, page) = ann.post(&url, &cookie, ann.origin(), &fields).await;
        assert_eq!(status, 410, "{page}");
        assert!(page.contains("There is nothing left to decide"), "{page}");
    }
    assert_eq!(ann.get(&url).await.0, 410);
    site.assert_apart(world, &ann, &url, &taken_over).await;
    let (middle, cookie, nonce) = site
        .resigned(world, &taken_over, |link| {
            link.approval.execution = second.parse().unwrap();
        })
        .await;
    let fields = [("verdict", "approve"), ("nonce", nonce.as_str())];
    assert_eq!(
        ann.post(&middle, &cookie, ann.origin(), &fields).await.0,
        403,
        "the second run"
    );
    site.assert_open(world, &third).await;
    let audit = site.stored(world, &first).await["attempts"].to_string();
    assert!(audit.contains("gone: "), "{audit}");

    assert_eq!(ann.decide(&taken_over, "approve", "").await.0, 200);
    assert_eq!(
        site.ended(world, &third, "Succeeded").await,
        "Approved by ann@example.com via link"
    );
}

/// Where the policy rejects what is superseded: the sweep has it done for a request that is out already, and
/// nobody is asked where something newer waits from the start.
pub(crate) async fn the_policy_rejects_a_superseded_request_by_itself(world: &World) {
    let plan = Plan {
        environment: "strict",
        mode: "QUEUED",
        policy: json!({ "version": 1, "approvers": [{ "email": ANN }], "superseded": "reject" }),
        slack: None,
    };
    let site = Site::make(world, plan).await;
    let first = site.start(world).await;
    let url = site.link(world, ANN, &first).await;
    site.sweep(world).await;
    site.assert_open(world, &first).await;
    let second = site.start(world).await;
    site.waits_behind(world, &second).await;
    let third = site.start(world).await;
    site.waits_behind(world, &third).await;

    let summary = "Rejected by signalbox via policy: a newer revision is waiting behind this one";
    site.sweep(world).await;
    assert_eq!(site.ended(world, &first, "Failed").await, summary);
    let stored = site.stored(world, &first).await;
    assert_eq!(
        (&stored["decision"]["by"], &stored["decision"]["via"]),
        (&json!("signalbox"), &json!("policy"))
    );
    assert!(
        stored["attempts"]
            .to_string()
            .contains("Rejected is sent to CodePipeline"),
        "{stored}"
    );
    let (_, page) = Visitor::new(world).get(&url).await;
    assert!(
        page.contains("Already rejected") && page.contains("the approval policy"),
        "{page}"
    );

    // The second one is rejected as soon as it asks, and asks nobody; the third is the newest.
    assert_eq!(site.ended(world, &second, "Failed").await, summary);
    site.link(world, ANN, &third).await;
    let asked = world.mails(|mail| mail.to == ANN && mail.text.contains(&second));
    assert_eq!(asked, 0, "nobody is asked about what is rejected anyway");
    site.sweep(world).await;
    site.assert_open(world, &third).await;
    site.stop(world, &third).await;
}

/// Some hundreds of altered links, each as a request of its own: every one looks like an unknown path.
pub(crate) async fn forged_links_are_refused_over_http(world: &World) {
    let site = quorum(world).await;
    let run = site.start(world).await;
    let url = site.link(world, ANN, &run).await;
    let sound = crate::site::bytes(&url);
    let base = format!("{}a/", site.answer_url);
    let encode = |bytes: &[u8]| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    let text = encode(&sound);
    let mut forged = Vec::new();
    // Every byte of the link twice, another bit each time; cut at every seventh place; and written otherwise.
    for at in 0..sound.len() {
        for bit in [at % 8, (at + 3) % 8] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            forged.push(encode(&bytes));
        }
        if at % 7 == 0 {
            forged.push(encode(&sound[..at]));
        }
    }
    forged.push(format!("{text}="));
    forged.push(format!("{text}A"));
    forged.push(text.to_ascii_lowercase());
    forged.push(format!("{text}%00"));
    assert!(forged.len() > 200, "{}", forged.len());
    // So many of one address would be refused unread, and whoever sends what does not fit has to wait.
    let send = async |at: usize, chunk: &[String]| {
        let visitor = Visitor::new(world);
        for segment in chunk {
            let url = format!("{base}{segment}");
            let (status, page) = if at.is_multiple_of(2) {
                visitor.get(&url).await
            } else {
                let fields = [("verdict", "approve"), ("nonce", "x")];
                visitor.post(&url, "", visitor.origin(), &fields).await
            };
            assert_eq!(status, 404, "{segment}: {page}");
            assert!(!page.contains(&run));
        }
    };
    join_all(forged.chunks(40).enumerate().map(|(at, chunk)| send(at, chunk))).await;
    site.assert_open(world, &run).await;
    site.stop(world, &run).await;
}
