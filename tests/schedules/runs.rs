//! start-run and track-run, step by step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use signalbox_decision::names::{ActionName, BucketName, ObjectKey, PipelineName};
use signalbox_decision::package::{Contents, Entry, Limits, Package};
use signalbox_decision::start::{
    Arrival, Branch, Decision, Facts, Object, Screened, Sequencer, Settings, Upload, decide, screen,
};
use signalbox_decision::timeline::attempts::Reading;
use signalbox_decision::timeline::tell::{Due, Message};
use signalbox_decision::timeline::{Action, Deployment, Progress, State, Subject, Timeline, reconcile};
use signalbox_ledger::{Advance, ClaimKey, Saved};

use crate::aws::{Aws, STAGES};
use crate::mutant::Mutant;
use crate::shell::{Failed, Invocation, REGION, REMEMBERED};

pub(crate) fn pipeline() -> PipelineName {
    PipelineName::new("pipeline").unwrap()
}

fn settings() -> Settings {
    Settings {
        pipeline: pipeline(),
        source_action: ActionName::new("Source").unwrap(),
        build_project: "build".to_owned(),
        bucket: BucketName::new("bucket").unwrap(),
        prefix: "source/".to_owned(),
        account: "123456789012".to_owned(),
        region: REGION.to_owned(),
        branch: Branch::new("main").unwrap(),
        limits: Limits::default(),
    }
}

/// An upload's event has come: of two uploads of the key, only the newer is run.
pub(crate) async fn start_run(cx: Invocation, version: usize) -> Result<(), Failed> {
    let settings = settings();
    let upload = Upload {
        bucket: settings.bucket.clone(),
        key: ObjectKey::new("source/main/app.zip").unwrap(),
        version: Some(format!("v{version}")),
        sequencer: Some(Sequencer::new(&format!("{:016X}", version + 1)).unwrap()),
        etag: None,
        account: None,
        region: None,
    };
    let Screened::Candidate(candidate) = screen(Arrival::Created(upload), &settings) else {
        panic!("an upload of the environment's own");
    };
    let (bucket, key, sequencer) = (
        &candidate.bucket,
        &candidate.key,
        candidate.sequencer.as_ref().unwrap(),
    );
    let package = Package {
        size: 1000,
        contents: Contents::Read(vec![Entry::file("index.js", 900, 1000)]),
    };
    let facts = Facts {
        newest: None,
        object: Object::Found {
            etag: None,
            branch: None,
            package,
        },
    };
    cx.step().await;
    let advance = cx
        .ledger
        .advance_sequencer(bucket, key, sequencer, candidate.version.as_str(), cx.now)
        .await?;
    if let Advance::Older { .. } = advance {
        return Ok(());
    }
    let start = async || {
        cx.step().await;
        let mut facts = facts.clone();
        facts.newest = cx.ledger.newest_sequencer(bucket, key, cx.now).await?;
        match decide(&candidate, &facts, &settings) {
            Decision::Start { mut token, .. } => {
                if cx.has(Mutant::TokenPerDelivery) {
                    token.clone_from(&cx.id);
                }
                let run = cx.call(|aws| aws.start(&token, version)).await;
                Ok(run.to_string())
            }
            Decision::Ignore { reason } => Ok(reason),
            other => panic!("{other:?}"),
        }
    };
    if cx.has(Mutant::TokenPerDelivery) {
        return start().await.map(drop);
    }
    let name = format!("upload-{version}");
    cx.once(&ClaimKey::new("start-run", &name), &name, REMEMBERED, start)
        .await
        .map(drop)
}

pub(crate) fn action_id(run: usize, stage: usize) -> String {
    format!("{run}-{}", STAGES[stage])
}

pub(crate) fn subject_of_run(aws: &Aws, run: usize) -> Subject {
    Subject::Run {
        pipeline: pipeline(),
        execution: aws.runs[run].id.clone(),
    }
}

/// A run, as `GetPipelineExecution`, `GetPipelineState` and `ListActionExecutions` tell of it.
fn read(aws: &Aws, run: usize) -> Timeline {
    let it = &aws.runs[run];
    let mut reading = Reading {
        status: Some(it.state.clone()),
        revision: Some(format!("v{}", it.version)),
        ..Reading::default()
    };
    for action in &it.actions {
        let (category, provider) = [
            ("Source", "S3"),
            ("Approval", "Manual"),
            ("Deploy", "CloudFormation"),
        ][action.stage];
        let progress = Progress {
            state: action.state.clone(),
            started: Some(action.started),
            ended: action.ended,
        };
        reading
            .stages
            .insert(STAGES[action.stage].to_owned(), action.state.clone());
        reading.actions.insert(
            action_id(run, action.stage),
            Action {
                stage: STAGES[action.stage].to_owned(),
                name: STAGES[action.stage].to_owned(),
                category: category.to_owned(),
                provider: provider.to_owned(),
                external: None,
                error: None,
                progress,
            },
        );
    }
    reading.observed(None)
}

/// Something of a run has changed.
pub(crate) async fn track_run(cx: Invocation, run: usize) -> Result<(), Failed> {
    let (subject, observed) = cx.call(|aws| (subject_of_run(aws, run), read(aws, run))).await;
    follow(&cx, &subject, observed).await
}

/// A deployment has changed: it belongs to the run that was deploying then.
pub(crate) async fn track_deployment(
    cx: Invocation,
    deployment: usize,
    state: State,
    at: Timestamp,
) -> Result<(), Failed> {
    let (subject, observed) = cx
        .call(|aws| {
            let id = aws.deployments[deployment].id.clone();
            let seen = Deployment {
                application: "app".to_owned(),
                group: "app-live".to_owned(),
                progress: Progress::seen(state, Some(at)),
            };
            let seen = Timeline {
                deployments: BTreeMap::from([(id.to_string(), seen)]),
                ..Timeline::default()
            };
            match aws.runs.iter().position(|run| run.deployment == Some(deployment)) {
                Some(run) => {
                    let mut observed = read(aws, run);
                    observed.merge(&seen);
                    (subject_of_run(aws, run), observed)
                }
                None => (Subject::Deployment { id }, seen),
            }
        })
        .await;
    follow(&cx, &subject, observed).await
}

async fn follow(cx: &Invocation, subject: &Subject, observed: Timeline) -> Result<(), Failed> {
    let due = save(cx, subject, &observed).await?;
    let (mut told, mut failed) = (Timeline::default(), None);
    for due in due {
        match tell(cx, subject, &due).await {
            Ok(()) => {
                told.told.insert(due.key);
            }
            Err(error) => failed = Some(error),
        }
    }
    let _ = save(cx, subject, &told).await?;
    failed.map_or(Ok(()), Err)
}

async fn save(cx: &Invocation, subject: &Subject, observed: &Timeline) -> Result<Vec<Due>, Failed> {
    for _ in 0..12 {
        cx.step().await;
        let stored = cx.ledger.load_timeline(subject).await?;
        let changes = reconcile(subject, &stored.timeline, observed, REGION);
        if !changes.changed {
            return Ok(changes.due);
        }
        cx.step().await;
        let saved = cx
            .ledger
            .save_timeline(subject, &changes.after, stored.version, cx.now)
            .await?;
        if let Saved::Saved(_) = saved {
            return Ok(changes.due);
        }
    }
    Err(Failed::Busy)
}

async fn tell(cx: &Invocation, subject: &Subject, due: &Due) -> Result<(), Failed> {
    // Metrics go the same way; notices are what people see.
    match due.message {
        Message::Notice(_) => cx.publish("track-run", &due.claim_key(subject)).await.map(drop),
        Message::Metrics(_) => Ok(()),
    }
}
