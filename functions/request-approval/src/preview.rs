//! Reads what going out would mean. Nothing here fails the asking: what cannot be read is said in the
//! request, and whoever is asked decides whether that is enough.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_cloudformation::types::{self as cfn, ChangeSetStatus};
use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::types::{
    ActionExecutionDetail, ActionExecutionStatus, PipelineExecutionFilter, SucceededInStageFilter,
};
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::ApprovalAction;
use signalbox_decision::approval::evidence::{
    ChangeSet, Known, MAX_CHANGES, Preview, Released, Replacement, ResourceChange,
};
use signalbox_decision::names::{ExecutionId, Revision};
use signalbox_decision::text::cut;
use tracing::warn;

use crate::app::App;
use crate::gather::time;

/// Of the function's time, so much is spent on the preview; the asking itself needs the rest.
const PATIENCE: Duration = Duration::from_secs(9);
const TOO_SLOW: &str = "AWS did not answer in time";

/// Reads it.
pub(crate) async fn preview(
    app: &App,
    approval: &ApprovalAction,
    state: Option<&GetPipelineStateOutput>,
    actions: &[ActionExecutionDetail],
) -> Preview {
    let (change_set, released) = tokio::join!(
        tokio::time::timeout(PATIENCE, change_set(app, actions)),
        tokio::time::timeout(PATIENCE, released(app, approval, state)),
    );
    Preview {
        tests: exported(actions, "UNIT_TESTS"),
        scans: exported(actions, "SCANS"),
        released: released.unwrap_or_else(|_| Known::missing(TOO_SLOW)),
        change_set: change_set.unwrap_or_else(|_| Known::missing(TOO_SLOW)),
    }
}

fn succeeded(detail: &&ActionExecutionDetail) -> bool {
    detail.status() == Some(&ActionExecutionStatus::Succeeded)
}

/// A variable that one of the run's actions exported; the newest attempt counts.
fn exported(actions: &[ActionExecutionDetail], name: &str) -> Known<String> {
    let found = actions
        .iter()
        .filter(succeeded)
        .find_map(|detail| detail.output()?.output_variables()?.get(name));
    match found {
        Some(value) if !value.trim().is_empty() => Known::Is(cut(value, 1000).to_owned()),
        _ => Known::missing(format!("not known: no build of this run exported {name}")),
    }
}

/// The stack and the name of the change set that the run prepared.
fn named(actions: &[ActionExecutionDetail]) -> Result<(String, String), String> {
    let sets: BTreeSet<(String, String)> = actions
        .iter()
        .filter(succeeded)
        .filter_map(|detail| {
            let input = detail.input()?;
            let value = |name: &str| -> Option<&String> {
                let resolved: Option<&HashMap<String, String>> = input.resolved_configuration();
                resolved
                    .and_then(|configuration| configuration.get(name))
                    .or_else(|| input.configuration()?.get(name))
            };
            (value("ActionMode")? == "CHANGE_SET_REPLACE")
                .then(|| Some((value("StackName")?.clone(), value("ChangeSetName")?.clone())))?
        })
        .collect();
    let mut sets = sets.into_iter();
    match (sets.next(), sets.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err("none: no action of this run prepared a change set".to_owned()),
        (Some(_), more) => Err(format!(
            "this run prepared {} change sets, which are shown in the console only",
            more + 1
        )),
    }
}

async fn change_set(app: &App, actions: &[ActionExecutionDetail]) -> Known<ChangeSet> {
    let (stack, name) = match named(actions) {
        Ok(named) => named,
        Err(why) => return Known::Missing(why),
    };
    let mut set = ChangeSet {
        stack,
        name,
        status: String::new(),
        reason: None,
        changes: Vec::new(),
        more: 0,
        more_replaced: 0,
    };
    let mut next = None;
    loop {
        let answer = app
            .stacks
            .describe_change_set()
            .stack_name(&set.stack)
            .change_set_name(&set.name)
            .set_next_token(next)
            .send()
            .await;
        let page = match answer {
            Ok(page) => page,
            Err(error) => {
                let failure = aws_failure(&error);
                warn!(%failure, stack = set.stack, change_set = set.name, "the change set cannot be read");
                let code = failure.code.unwrap_or_else(|| "no answer".to_owned());
                return Known::missing(format!(
                    "{} of the stack {} cannot be read ({code}): look at it in the console",
                    set.name, set.stack
                ));
            }
        };
        set.status = page
            .status()
            .map_or("UNKNOWN", ChangeSetStatus::as_str)
            .to_owned();
        set.reason = page.status_reason().map(|reason| cut(reason, 1000).to_owned());
        for change in page.changes().iter().filter_map(cfn::Change::resource_change) {
            add(&mut set, resource(change));
        }
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            return Known::Is(set);
        }
    }
}

/// Replacements are listed before all else where not everything can be.
fn add(set: &mut ChangeSet, change: ResourceChange) {
    if set.changes.len() < MAX_CHANGES {
        set.changes.push(change);
        return;
    }
    set.more += 1;
    let kept = set.changes.iter_mut().rev().find(|kept| !kept.is_replaced());
    match kept {
        Some(kept) if change.is_replaced() => *kept = change,
        _ => set.more_replaced += usize::from(change.is_replaced()),
    }
}

fn resource(change: &cfn::ResourceChange) -> ResourceChange {
    let text = |text: Option<&str>, max| cut(text.unwrap_or_default(), max).to_owned();
    let details = change.details().iter().filter_map(|detail| detail.target());
    let properties: BTreeSet<String> = details
        .filter_map(|target| {
            target
                .name()
                .map(str::to_owned)
                .or_else(|| Some(target.attribute()?.as_str().to_owned()))
        })
        .take(20)
        .collect();
    let changed = if properties.is_empty() {
        change
            .scope()
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect()
    } else {
        properties.into_iter().collect()
    };
    ResourceChange {
        action: text(change.action().map(cfn::ChangeAction::as_str), 40),
        kind: text(change.resource_type(), 200),
        logical_id: text(change.logical_resource_id(), 255),
        physical_id: change.physical_resource_id().map(|id| cut(id, 300).to_owned()),
        replacement: match change.replacement() {
            Some(cfn::Replacement::True) => Replacement::Yes,
            None | Some(cfn::Replacement::False) => Replacement::No,
            Some(_) => Replacement::Perhaps,
        },
        changed,
        policy: change.policy_action().map(policy),
    }
}

/// `ReplaceAndRetain` and its like say what happens to the old one, as the plain words do.
fn policy(action: &cfn::PolicyAction) -> String {
    let word = action.as_str();
    word.strip_prefix("ReplaceAnd").unwrap_or(word).to_owned()
}

/// The newest run that passed the stage behind the approval; where there is none, the approval's own.
async fn released(
    app: &App,
    approval: &ApprovalAction,
    state: Option<&GetPipelineStateOutput>,
) -> Known<Released> {
    let stages: Vec<&str> = state
        .map(GetPipelineStateOutput::stage_states)
        .unwrap_or_default()
        .iter()
        .filter_map(|stage| stage.stage_name())
        .collect();
    let at = stages.iter().position(|stage| *stage == approval.stage.as_str());
    let stage = at.and_then(|at| stages.get(at + 1).or_else(|| stages.get(at)));
    let Some(stage) = stage else {
        return Known::missing("not known: the pipeline has no such stage any more");
    };
    let filter = PipelineExecutionFilter::builder()
        .succeeded_in_stage(SucceededInStageFilter::builder().stage_name(*stage).build())
        .build();
    let answer = app
        .pipelines
        .list_pipeline_executions()
        .pipeline_name(approval.pipeline.as_str())
        .filter(filter)
        .max_results(10)
        .send()
        .await;
    let page = match answer {
        Ok(page) => page,
        Err(error) => {
            let failure = aws_failure(&error);
            warn!(%failure, stage, "the runs that passed the stage cannot be listed");
            let code = failure.code.unwrap_or_else(|| "no answer".to_owned());
            return Known::missing(format!(
                "not known: the pipeline's earlier runs cannot be listed ({code})"
            ));
        }
    };
    let runs = page.pipeline_execution_summaries();
    let run = runs.iter().find_map(|run| {
        let id = ExecutionId::new(run.pipeline_execution_id()?).ok()?;
        (id != approval.execution).then_some((id, run))
    });
    let Some((id, run)) = run else {
        return Known::missing(format!("nothing: no earlier run has passed {stage}"));
    };
    let source = run
        .source_revisions()
        .iter()
        .find(|source| source.revision_id().is_some());
    Known::Is(Released {
        run: id,
        revision: source.and_then(|source| Revision::new(source.revision_id()?).ok()),
        summary: source
            .and_then(|source| source.revision_summary())
            .map(|summary| cut(summary, 500).to_owned()),
        at: run.last_update_time().and_then(time),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::types::{ActionExecutionInput, ActionExecutionOutput};

    use super::*;

    fn action(
        status: ActionExecutionStatus,
        configuration: &[(&str, &str)],
        exported: &[(&str, &str)],
    ) -> ActionExecutionDetail {
        let mut input = ActionExecutionInput::builder();
        for (name, value) in configuration {
            input = input.configuration(*name, *value);
        }
        let mut output = ActionExecutionOutput::builder();
        for (name, value) in exported {
            output = output.output_variables(*name, *value);
        }
        ActionExecutionDetail::builder()
            .status(status)
            .input(input.build())
            .output(output.build())
            .build()
    }

    const REPLACE: [(&str, &str); 3] = [
        ("ActionMode", "CHANGE_SET_REPLACE"),
        ("StackName", "s"),
        ("ChangeSetName", "c"),
    ];

    #[test]
    fn the_change_set_is_the_one_that_the_run_itself_prepared() {
        let done = ActionExecutionStatus::Succeeded;
        assert_eq!(
            named(&[action(done.clone(), &REPLACE, &[])]),
            Ok(("s".to_owned(), "c".to_owned()))
        );
        assert!(named(&[action(ActionExecutionStatus::Failed, &REPLACE, &[])]).is_err());
        let mut other = REPLACE;
        other[1].1 = "t";
        let two = [action(done.clone(), &REPLACE, &[]), action(done, &other, &[])];
        assert!(named(&two).unwrap_err().contains("2 change sets"));
    }

    #[test]
    fn what_the_build_exported_is_told_and_what_not_is_said() {
        let build = action(
            ActionExecutionStatus::Succeeded,
            &[],
            &[("UNIT_TESTS", "12 of 12 passed")],
        );
        assert_eq!(
            exported(std::slice::from_ref(&build), "UNIT_TESTS"),
            Known::Is("12 of 12 passed".to_owned())
        );
        assert!(matches!(exported(&[build], "SCANS"), Known::Missing(why) if why.contains("SCANS")));
    }

    #[test]
    fn replacements_are_listed_before_all_else() {
        let change = |replacement| ResourceChange {
            action: "Modify".to_owned(),
            kind: String::new(),
            logical_id: String::new(),
            physical_id: None,
            replacement,
            changed: Vec::new(),
            policy: None,
        };
        let mut set = ChangeSet {
            stack: String::new(),
            name: String::new(),
            status: String::new(),
            reason: None,
            changes: Vec::new(),
            more: 0,
            more_replaced: 0,
        };
        for _ in 0..MAX_CHANGES {
            add(&mut set, change(Replacement::No));
        }
        add(&mut set, change(Replacement::Yes));
        add(&mut set, change(Replacement::No));
        assert_eq!(
            (set.changes.len(), set.count(), set.replaced()),
            (MAX_CHANGES, MAX_CHANGES + 2, 1)
        );
        for _ in 0..MAX_CHANGES {
            add(&mut set, change(Replacement::Yes));
        }
        assert_eq!((set.more_replaced, set.replaced()), (1, MAX_CHANGES + 1));
    }
}
