//! Hazard 53: the approver's answer reaches CodePipeline, or does not, and nobody is told which.

use serde_json::json;
use signalbox_local::faults::{Fault, Injected, Rule};

use crate::approvals::{Visitor, action, approval, ask, assert_open};
use crate::world::{ANN, World};

/// Every call of the page's that sends this comment fails so.
fn fails(world: &World, comment: &str, what: Fault, change: fn(Rule) -> Rule) -> Injected {
    let rule = Rule::new("codepipeline", "PutApprovalResult", what);
    let rule = rule.by(&world.function("answer-approval")).containing(comment);
    world.running.cloud.faults().inject(change(rule))
}

pub(crate) async fn h53_a_lost_answer_is_read_again_and_told_truthfully(world: &World) {
    // It arrived: once its confirmation is lost on the way, once AWS takes it and says that it failed, every
    // time that it is asked.
    for (comment, what, change) in [
        (
            "h53 reset",
            Fault::Reset,
            (|rule| rule.after().times(1)) as fn(Rule) -> Rule,
        ),
        ("h53 failure", Fault::error("InternalFailure", 500), Rule::after),
        ("h53 half", Fault::Truncated, Rule::after),
    ] {
        let (asked, ann) = (ask(world).await, Visitor::new(world));
        let injected = fails(world, comment, what, change);
        let (status, page) = ann.decide(&asked.ann, "approve", comment).await;
        assert!(injected.hits() > 0, "{comment}: no answer was lost");
        assert_eq!(status, 200, "{comment}: {page}");
        assert!(
            page.contains("Your decision is recorded") && page.contains(ANN),
            "{page}"
        );
        let action = action(world, &asked.run).await;
        assert_eq!(action["status"], "Succeeded", "{comment}");
        let summary = format!("Approved by ann@example.com via link: {comment}");
        assert!(action.to_string().contains(&summary), "{action}");
        let stored = approval(world, &asked.run).await;
        assert_eq!(
            (&stored["decision"]["by"], &stored["decision"]["verdict"]),
            (&json!(ANN), &json!("approved"))
        );
        let (status, page) = Visitor::new(world).get(&asked.ben).await;
        assert_eq!(status, 200);
        assert!(
            page.contains("Already approved") && page.contains(ANN) && !page.contains("<form"),
            "{page}"
        );
    }

    // It did not: the page does not say that it did, and the next attempt counts.
    let (asked, ann) = (ask(world).await, Visitor::new(world));
    let injected = fails(world, "h53 never", Fault::Reset, |rule| rule);
    let (status, page) = ann.decide(&asked.ann, "reject", "h53 never").await;
    assert!(injected.hits() > 0, "no answer was lost");
    assert_ne!(status, 200, "{page}");
    assert!(!page.contains("Your decision is recorded"), "{page}");
    assert_open(world, &asked.run).await;
    drop(injected);
    let (status, page) = ann.decide(&asked.ann, "reject", "h53 never").await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(action(world, &asked.run).await["status"], "Failed");
    assert_eq!(
        approval(world, &asked.run).await["decision"]["verdict"],
        "rejected"
    );
}
