//! The approval page as people use it: in headless Chromium, by keyboard, mouse and finger.

pub(crate) mod chromium;
pub(crate) mod setup;
pub(crate) mod tab;

use std::net::Ipv4Addr;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;

use crate::approvals::{self, action, approval, ask, ask_with, assert_open, resigned};
use crate::process;
use crate::world::{ANN, BEN, World, until};
use chromium::Chromium;
use tab::{DESKTOP, PHONE, Scripts, Tab};

const APPROVE: &str = "button[value=approve]";
const REJECT: &str = "button[value=reject]";

/// A browser of a trial's own.
pub(crate) async fn browser(world: &World) -> Chromium {
    let home = world.running.paths.home();
    let program = setup::chromium(&home, &world.running.tools).await;
    let program = program.unwrap_or_else(|why| panic!("{why}"));
    Chromium::start(&program, &home)
}

/// A page's whole answer to somebody who reads it.
pub(crate) async fn assert_says(tab: &Tab, parts: &[&str]) {
    let text = tab.text().await;
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

/// Nothing was asked for elsewhere, and the browser found nothing to block.
pub(crate) fn assert_by_itself(world: &World, tab: &Tab) {
    let (own, requests) = (world.running.url(), tab.requests());
    assert!(!requests.is_empty());
    for url in requests {
        assert!(
            url.starts_with(&own) || url.starts_with("data:"),
            "{url} was asked for"
        );
    }
    let complaints = tab.complaints();
    // A refusal is told with its status, which is no fault of the page's.
    let is_fault =
        |text: &&String| !text.starts_with("Failed to load resource: the server responded with a status");
    assert_eq!(complaints.iter().find(is_fault), None);
}

pub(crate) async fn a_page_s_form_decides_without_scripts_and_with_them(world: &World) {
    let browser = browser(world).await;
    for scripts in [Scripts::Off, Scripts::On] {
        let asked = ask(world).await;
        let ann = Tab::new(&browser, DESKTOP, scripts).await;
        assert_eq!(ann.open(&asked.ann).await, 200);
        assert_says(&ann, &["Release to staging?", "Round the totals", "Open until"]).await;
        ann.fill("#comment", "Looks good, \u{e9}\u{10348}\nand reads well")
            .await;
        assert_open(world, &asked.run).await;
        assert_eq!(ann.click(APPROVE).await, 200);
        assert_says(
            &ann,
            &[
                "Approved",
                "Your decision is recorded",
                ANN,
                "Looks good, \u{e9}\u{10348}",
            ],
        )
        .await;
        assert!(!ann.has("form").await);
        let decided = action(world, &asked.run).await;
        assert_eq!(decided["status"], "Succeeded", "{scripts:?}");
        assert!(
            decided
                .to_string()
                .contains("Approved by ann@example.com via link: Looks good"),
            "{decided}"
        );
        assert_by_itself(world, &ann);
    }
}

pub(crate) async fn a_finger_on_a_phone_rejects(world: &World) {
    let (browser, asked) = (browser(world).await, ask(world).await);
    for (scripts, url) in [(Scripts::Off, &asked.ann), (Scripts::On, &asked.ben)] {
        let person = Tab::new(&browser, PHONE, scripts).await;
        assert_eq!(person.open(url).await, 200);
        if *url == asked.ann {
            person.fill("#comment", "not before Monday").await;
            assert_eq!(person.tap(REJECT).await, 200);
            assert_says(&person, &["Rejected", "nothing goes out", "not before Monday"]).await;
        } else {
            assert_says(&person, &["Already rejected", ANN, "not before Monday"]).await;
        }
    }
    assert_eq!(action(world, &asked.run).await["status"], "Failed");
}

pub(crate) async fn the_keyboard_alone_is_enough(world: &World) {
    let (browser, asked) = (browser(world).await, ask(world).await);
    let ann = Tab::new(&browser, DESKTOP, Scripts::Off).await;
    assert_eq!(ann.open(&asked.ann).await, 200);
    let controls = ann.controls().await;
    let told: Vec<(&str, &str)> = controls
        .iter()
        .map(|(role, name)| (role.as_str(), name.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("link", "The run in the AWS console"),
            ("textbox", "Comment (optional)"),
            ("button", "Approve"),
            ("button", "Reject"),
        ]
    );
    let mut reached = Vec::new();
    for _ in 0..4 {
        reached.push(ann.next().await);
        assert!(
            ann.focus_is_visible().await,
            "one does not see that {reached:?} has the keyboard"
        );
        if reached.last().is_some_and(|last| last == "comment") {
            ann.write("by hand").await;
        }
    }
    assert_eq!(
        reached,
        ["The run in the AWS console", "comment", "approve", "reject"]
    );
    assert_open(world, &asked.run).await;
    assert_eq!(ann.enter().await, 200);
    assert_says(&ann, &["Rejected", "by hand"]).await;
    assert_eq!(
        approval(world, &asked.run).await["decision"]["comment"],
        "by hand"
    );
}

pub(crate) async fn opening_and_reloading_decide_nothing(world: &World) {
    let (browser, asked) = (browser(world).await, ask(world).await);
    let ann = Tab::new(&browser, PHONE, Scripts::On).await;
    for _ in 0..2 {
        assert_eq!(ann.open(&asked.ann).await, 200);
        assert_eq!(ann.reload().await, Some(200));
    }
    assert_open(world, &asked.run).await;
    assert_eq!(approval(world, &asked.run).await["attempts"], json!([]));
    // The form is still good.
    assert_eq!(ann.click(APPROVE).await, 200);
    assert_eq!(action(world, &asked.run).await["status"], "Succeeded");
}

pub(crate) async fn going_back_after_deciding_shows_the_truth(world: &World) {
    let (browser, asked) = (browser(world).await, ask(world).await);
    for (scripts, url) in [(Scripts::Off, &asked.ann), (Scripts::On, &asked.ben)] {
        let person = Tab::new(&browser, DESKTOP, scripts).await;
        assert_eq!(person.open(url).await, 200);
        if *url == asked.ann {
            assert_eq!(person.click(APPROVE).await, 200);
            assert_eq!(person.back().await, Some(200), "the page is asked for again");
        }
        assert_says(&person, &["Already approved", ANN]).await;
        assert!(!person.has("form").await);
    }
}

pub(crate) async fn who_was_slower_is_told_by_whom_it_was_decided(world: &World) {
    let (browser, asked) = (browser(world).await, ask(world).await);
    let (ann, ben) = tokio::join!(
        Tab::new(&browser, DESKTOP, Scripts::Off),
        Tab::new(&browser, PHONE, Scripts::Off)
    );
    assert_eq!(
        (ann.open(&asked.ann).await, ben.open(&asked.ben).await),
        (200, 200)
    );
    assert_eq!(ben.tap(REJECT).await, 200);
    assert_eq!(ann.click(APPROVE).await, 409);
    assert_says(
        &ann,
        &["Already rejected", BEN, "There is nothing left to decide"],
    )
    .await;
    assert!(!ann.has("form").await);
    assert_eq!(approval(world, &asked.run).await["decision"]["by"], BEN);
}

pub(crate) async fn an_expired_request_says_so_and_asks_nothing(world: &World) {
    let (browser, asked) = (browser(world).await, ask(world).await);
    let past = Timestamp::from_second(Timestamp::now().as_second() - 3600).unwrap();
    let (url, _, _) = resigned(world, &asked.ann, |link| link.expires = past).await;
    for scripts in [Scripts::Off, Scripts::On] {
        let ann = Tab::new(&browser, PHONE, scripts).await;
        assert_eq!(ann.open(&url).await, 410);
        assert_says(&ann, &["This approval has expired", "Nothing was decided"]).await;
        assert!(!ann.has("form").await && !ann.has("button").await);
    }
    assert_open(world, &asked.run).await;
}

pub(crate) async fn the_author_is_offered_to_reject_only(world: &World) {
    let browser = browser(world).await;
    let asked = ask_with(world, "Author: Ann <ann@example.com>").await;
    let ann = Tab::new(&browser, PHONE, Scripts::Off).await;
    assert_eq!(ann.open(&asked.ann).await, 200);
    assert_says(&ann, &["You made this change"]).await;
    assert!(!ann.has(APPROVE).await && ann.has(REJECT).await);
}

/// A world whose newer runs wait behind the older ones, and where two people have to approve.
pub(crate) async fn a_queue_of_two() -> (World, approvals::Asked) {
    let world = World::start().await.unwrap();
    let pipeline = json!({ "name": world.installed.pipeline });
    let mut pipeline = world
        .running
        .call("codepipeline", "GetPipeline", pipeline)
        .await
        .unwrap()["pipeline"]
        .take();
    pipeline["executionMode"] = json!("SUPERSEDED");
    world
        .running
        .call("codepipeline", "UpdatePipeline", json!({ "pipeline": pipeline }))
        .await
        .unwrap();
    let policy = json!({ "version": 1, "quorum": 2, "approvers": [{ "email": ANN }, { "email": BEN }] });
    let parameter = json!({
        "Name": "/signalbox/staging/approval-policy", "Type": "String", "Overwrite": true, "Value": policy.to_string(),
    });
    world
        .running
        .call("ssm", "PutParameter", parameter)
        .await
        .unwrap();
    let asked = ask(&world).await;
    (world, asked)
}

/// Another upload, whose run comes to wait behind the one that is asked about.
pub(crate) async fn let_a_newer_one_wait(world: &World) {
    let version = approvals::upload(world, "Round the totals twice").await;
    let newer = world.run_of(&version).await;
    let name = json!({ "name": world.installed.pipeline });
    until("the newer run to wait", async || {
        let state = world
            .running
            .call("codepipeline", "GetPipelineState", name.clone())
            .await
            .unwrap();
        let stage = state["stageStates"]
            .as_array()?
            .iter()
            .find(|stage| stage["stageName"] == "Approval")?;
        stage["inboundExecutions"]
            .to_string()
            .contains(&newer)
            .then_some(())
    })
    .await;
}

/// In a cloud of its own: elsewhere runs go side by side.
pub(crate) async fn an_older_revision_takes_a_second_step_of_each(world: &World) {
    let browser = browser(world).await;
    let (world, asked) = a_queue_of_two().await;
    let ann = Tab::new(&browser, DESKTOP, Scripts::Off).await;
    assert_eq!(ann.open(&asked.ann).await, 200);
    assert_says(
        &ann,
        &["No newer revision is waiting", "0 of 2 people have approved"],
    )
    .await;
    let_a_newer_one_wait(&world).await;

    // The form that Ann has open knows nothing of it: she is told, and nothing is decided.
    ann.fill("#comment", "the first one").await;
    assert_eq!(ann.click(APPROVE).await, 200);
    let text = ann.text().await;
    assert!(
        text.trim_start()
            .starts_with("A newer revision waits behind this one."),
        "{text}"
    );
    assert_says(&ann, &["Nothing was decided yet", "Approve the older revision?"]).await;
    assert_eq!(ann.value("#comment").await, "the first one");
    assert_open(&world, &asked.run).await;
    assert_eq!(ann.click(APPROVE).await, 200);
    assert_says(
        &ann,
        &["Your approval is recorded", "one more person has to approve"],
    )
    .await;
    assert_eq!(action(&world, &asked.run).await["status"], "InProgress");

    // Ben's page says it before anything else.
    let ben = Tab::new(&browser, PHONE, Scripts::On).await;
    assert_eq!(ben.open(&asked.ben).await, 200);
    let text = ben.text().await;
    assert!(
        text.trim_start()
            .starts_with("A newer revision is waiting behind this one."),
        "{text}"
    );
    assert!(
        !text.contains("none waits"),
        "what waited at first is told as if it were so now: {text}"
    );
    assert_says(&ben, &["1 of 2 people have approved", ANN]).await;
    assert_eq!(ben.tap(APPROVE).await, 200);
    assert_says(&ben, &["Approve the older revision?"]).await;
    assert_eq!(action(&world, &asked.run).await["status"], "InProgress");
    assert_eq!(ben.tap(APPROVE).await, 200);
    assert_says(&ben, &["Approved", "Your decision is recorded", ANN, BEN]).await;
    assert_eq!(action(&world, &asked.run).await["status"], "Succeeded");
    world.stop().await;
}

pub(crate) async fn h56_a_site_that_frames_the_page_shows_nothing_of_it(world: &World) {
    let (browser, asked) = (browser(world).await, ask(world).await);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let site = format!("http://{}", listener.local_addr().unwrap());
    let around = |url: &str| {
        Html(format!(
            "<!doctype html><title>Prizes</title><iframe src='{url}' width=600 height=600></iframe>"
        ))
    };
    let (theirs, ours) = (around("/harmless"), around(&asked.ann));
    let router = Router::new()
        .route("/harmless", get(async || Html("<p>harmless")))
        .route("/theirs", get(async || theirs))
        .route("/ours", get(async || ours));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    let victim = Tab::new(&browser, DESKTOP, Scripts::On).await;
    // Cookies and all, as after a visit of the page itself.
    assert_eq!(victim.open(&asked.ann).await, 200);
    assert_eq!(victim.open(&format!("{site}/theirs")).await, 200);
    assert_eq!(
        victim.framed().await,
        format!("{site}/harmless"),
        "what may be framed is shown"
    );
    assert_eq!(victim.open(&format!("{site}/ours")).await, 200);
    assert_eq!(victim.framed().await, "chrome-error://chromewebdata/");
    let complaints = victim.complaints().join("\n");
    assert!(
        complaints.contains("frame-ancestors") || complaints.contains("X-Frame-Options"),
        "{complaints}"
    );
    serving.abort();
    assert_open(world, &asked.run).await;
}

pub(crate) async fn scripts_that_are_off_do_not_run(world: &World) {
    let browser = browser(world).await;
    for (scripts, title) in [(Scripts::On, "changed"), (Scripts::Off, "as it was")] {
        let tab = Tab::new(&browser, DESKTOP, scripts).await;
        tab.open("data:text/html,<title>as it was</title><script>document.title='changed'</script>")
            .await;
        assert_eq!(tab.evaluate("document.title").await, title);
    }
}

pub(crate) async fn no_browser_outlives_its_trial(world: &World) {
    let own = u64::from(std::process::id());
    let of = |browser: &Chromium| -> Vec<process::Process> {
        let pid = browser.pid();
        let mut all = process::descendants(pid);
        all.extend(
            process::descendants(own)
                .into_iter()
                .filter(|child| child.pid == pid),
        );
        all
    };
    let gone = async |processes: Vec<process::Process>| {
        assert!(processes.len() > 1, "{processes:?}");
        until("the end of each of the browser's processes", async || {
            processes.iter().all(|process| !process.is_alive()).then_some(())
        })
        .await;
    };

    // A trial that panics.
    let first = browser(world).await;
    Tab::new(&first, DESKTOP, Scripts::On).await;
    let (processes, profile) = (of(&first), first.profile().to_owned());
    let panicking = std::thread::spawn(move || {
        let _first = first;
        // Without the panic's message, which would look like a failure.
        std::panic::resume_unwind(Box::new("a trial that fails"));
    });
    assert!(panicking.join().is_err());
    gone(processes).await;
    assert!(!profile.exists(), "its profile is left");

    // A suite that is killed can do nothing any more; its pipes close.
    let second = browser(world).await;
    Tab::new(&second, DESKTOP, Scripts::On).await;
    let processes = of(&second);
    second.closed_pipe().await;
    gone(processes).await;
}

pub(crate) async fn a_machine_without_a_browser_is_told_what_to_install(_: &World) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(setup::installed(None, path), Ok(None));
    let why = setup::installed(Some("/nowhere/chromium"), path).unwrap_err();
    assert!(
        why.contains("/nowhere/chromium") && why.contains("apt-get install") && !why.contains('\n'),
        "{why}"
    );
    let program = folder.path().join("google-chrome");
    std::fs::write(&program, "").unwrap();
    let found = setup::installed(None, path).unwrap().unwrap();
    assert_eq!(found.path, program);
    let named = setup::installed(program.to_str(), "").unwrap().unwrap();
    assert_eq!(named.path, program);
}
