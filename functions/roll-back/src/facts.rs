//! Gathers what the arbiter needs: everything is read afresh, nothing is taken from the event.

use aws_sdk_codedeploy::operation::get_deployment::GetDeploymentOutput;
use aws_sdk_codedeploy::types::{
    AlarmConfiguration, DeploymentCreator, DeploymentInfo, DeploymentStatus, RevisionLocation, TimeRange,
};
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::moment;
use signalbox_decision::names::{DeploymentGroupName, DeploymentId};
use signalbox_decision::rollback::attribution::ReleaseAction;
use signalbox_decision::rollback::moments::HEARD_WITHIN;
use signalbox_decision::rollback::{Begun, Deployment, Facts, Overtaken, ROLLBACK_MARK, Status};
use signalbox_decision::validation::preflight::Override;
use signalbox_events::appspec::AppSpec;

use crate::app::App;
use crate::error::Error;
use crate::groups::Linked;
use crate::run::{self, Attributed, NotNamed};
use crate::versions;

/// A Lambda deployment is over after that, hooks included (CodeDeploy user guide, "Quotas": 48 hours of
/// shifting and an hour for each hook); with an hour to spare for clocks.
const LONGEST_DEPLOYMENT: SignedDuration = SignedDuration::from_hours(51);
/// Pages of deployments that are read, of up to a hundred each: more than start one after the other in
/// the days that matter.
const MAX_PAGES: usize = 20;
/// What `BatchGetDeployments` takes.
pub(crate) const BATCH: usize = 25;

/// The facts, and which run brought what they speak of.
pub(crate) struct Seen {
    pub(crate) facts: Facts,
    pub(crate) run: Attributed,
}

pub(crate) async fn gather(
    app: &App,
    linked: &Linked,
    begun: Option<Begun>,
    now: Timestamp,
) -> Result<Seen, Error> {
    let listing = Listing::of(app, &linked.group.name, now).await?;
    let recent = newest(app, &listing).await?;
    let still_bakes = |newest: &Deployment| {
        newest.status == Status::Succeeded
            && !newest.is_rollback
            && newest
                .completed
                .is_none_or(|completed| now.duration_since(completed) <= app.config.bake + HEARD_WITHIN)
    };
    let candidates = match recent.newest.as_ref().filter(|newest| still_bakes(newest)) {
        Some(newest) => versions::candidates(app, &linked.group.name, newest).await?,
        None => Vec::new(),
    };
    let mut run = recent.run;
    let mut behind = None;
    if let Some(begun) = &begun
        && [&recent.newest, &recent.undone]
            .into_iter()
            .flatten()
            .all(|deployment| deployment.id != begun.deployment)
        && let Some((found, brought_by)) = overtaken(app, &listing, begun).await?
    {
        (behind, run) = (Some(found), brought_by);
    }
    let facts = Facts {
        link: linked.link.clone(),
        alarm: linked.alarm.clone(),
        group: linked.group.clone(),
        newest: recent.newest,
        undone: recent.undone,
        candidates,
        begun,
        overtaken: behind,
    };
    Ok(Seen { facts, run })
}

/// What an earlier try was about, where newer deployments have come since, with the run that brought it.
async fn overtaken(
    app: &App,
    Listing { infos, actions }: &Listing,
    begun: &Begun,
) -> Result<Option<(Overtaken, Attributed)>, Error> {
    let id = begun.deployment.as_str();
    let Some(at) = infos.iter().position(|info| info.deployment_id() == Some(id)) else {
        return Ok(None);
    };
    let deployment = deployment(app, id).await?;
    // Newest first. What says of itself that it takes this one back; else the next one, if it is a rollback.
    let newer = infos.get(..at).unwrap_or_default();
    let takes_back = |info: &&DeploymentInfo| {
        let says_so = info
            .description()
            .and_then(|description| description.strip_prefix(ROLLBACK_MARK))
            .is_some_and(|what| what.split(':').next() == Some(id));
        let triggered = info
            .rollback_info()
            .and_then(|rollback| rollback.rollback_triggering_deployment_id());
        says_so || triggered == Some(id)
    };
    let follower = newer.last().filter(|info| is_rollback(info));
    let by = match newer
        .iter()
        .find(takes_back)
        .or(follower)
        .and_then(|info| info.deployment_id())
    {
        Some(id) => {
            let by = self::deployment(app, id).await?;
            Some((by.id, by.to))
        }
        None => None,
    };
    let run = attributed(app, &deployment, actions).await;
    Ok(Some((Overtaken { deployment, by }, run)))
}

/// What is asked for once, whatever is looked for in it.
struct Listing {
    /// The group's deployments that matter, newest first.
    infos: Vec<DeploymentInfo>,
    /// What released them, if that is known: what a rollback of the pipeline's stage made is a rollback, and
    /// CodeDeploy does not know.
    actions: Result<Vec<ReleaseAction>, String>,
}

impl Listing {
    async fn of(app: &App, group: &DeploymentGroupName, now: Timestamp) -> Result<Self, Error> {
        let (infos, actions) = tokio::join!(recent_infos(app, group, now), run::actions(app));
        Ok(Self {
            infos: infos?,
            actions,
        })
    }
}

/// The newest deployments of a group that matter.
pub(crate) struct Recent {
    pub(crate) newest: Option<Deployment>,
    /// Where the newest is a rollback, the newest that is none.
    pub(crate) undone: Option<Deployment>,
    /// The run that brought the one that is none.
    pub(crate) run: Attributed,
}

/// Reads them.
pub(crate) async fn recent(app: &App, group: &DeploymentGroupName, now: Timestamp) -> Result<Recent, Error> {
    newest(app, &Listing::of(app, group, now).await?).await
}

async fn newest(app: &App, listing: &Listing) -> Result<Recent, Error> {
    let infos = &listing.infos;
    if infos.is_empty() {
        return Ok(Recent {
            newest: None,
            undone: None,
            run: Err(NotNamed::none("there is no deployment")),
        });
    }
    let (newest, mut run) = seen(app, listing, 0).await?;
    let mut undone = None;
    if newest.is_rollback {
        for at in 1..infos.len() {
            // What CodeDeploy itself calls a rollback needs no second look.
            if infos.get(at).is_none_or(is_rollback) {
                continue;
            }
            let (earlier, brought_by) = seen(app, listing, at).await?;
            if !earlier.is_rollback {
                (undone, run) = (Some(earlier), brought_by);
                break;
            }
        }
    }
    Ok(Recent {
        newest: Some(newest),
        undone,
        run,
    })
}

/// A deployment of the listing, and the run that brought it, which alone knows of a rollback of a stage.
///
/// Where CodePipeline does not answer, and the deployment before was taken back, this one may be what takes it back: to
/// stop it would bring the bad version again. That is tried again, rather than guessed.
async fn seen(app: &App, listing: &Listing, at: usize) -> Result<(Deployment, Attributed), Error> {
    let id = listing.infos.get(at).and_then(|info| info.deployment_id());
    let mut deployment = deployment(app, id.unwrap_or_default()).await?;
    let run = attributed(app, &deployment, &listing.actions).await;
    deployment.is_rollback |= run.as_ref().is_ok_and(|run| run.is_rollback);
    let before = listing.infos.get(at + 1);
    let taken_back =
        |before: &DeploymentInfo| is_rollback(before) || before.status() == Some(&DeploymentStatus::Stopped);
    match &run {
        Err(NotNamed {
            why,
            unanswered: true,
        }) if !deployment.is_rollback && before.is_some_and(taken_back) => Err(Error::Unsettled(format!(
            "deployment {} may be a rollback of a stage, since the one before it was taken back, and CodePipeline \
             does not say: {why}",
            deployment.id
        ))),
        _ => Ok((deployment, run)),
    }
}

async fn attributed(
    app: &App,
    deployment: &Deployment,
    actions: &Result<Vec<ReleaseAction>, String>,
) -> Attributed {
    if !deployment.by_stack {
        return Err(NotNamed::none("no stack's update made the deployment"));
    }
    run::of_deployment(app, deployment.created, actions).await
}

/// Newest first.
async fn recent_infos(
    app: &App,
    group: &DeploymentGroupName,
    now: Timestamp,
) -> Result<Vec<DeploymentInfo>, Error> {
    let ids = recent_ids(app, group, now).await?;
    let mut recent = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        recent.extend(details(app, ids).await?);
    }
    // AWS does not say in which order deployments are listed.
    recent.sort_by_key(|info| std::cmp::Reverse(time(info.create_time())));
    Ok(recent)
}

/// The group's newest deployment of the last days that is no rollback.
pub(crate) async fn newest_release(
    app: &App,
    group: &DeploymentGroupName,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let infos = recent_infos(app, group, now).await?;
    let release = infos.into_iter().find(|info| !is_rollback(info));
    Ok(release.and_then(|info| info.deployment_id))
}

/// The group's newest deployment of the last days.
pub(crate) async fn newest_id(
    app: &App,
    group: &DeploymentGroupName,
    now: Timestamp,
) -> Result<Option<DeploymentId>, Error> {
    let infos = recent_infos(app, group, now).await?;
    let newest = infos.first().and_then(|info| info.deployment_id());
    Ok(newest.and_then(|id| DeploymentId::new(id).ok()))
}

/// The deployments that an alarm of now could still speak of: under way, or within the bake window.
async fn recent_ids(app: &App, group: &DeploymentGroupName, now: Timestamp) -> Result<Vec<String>, Error> {
    let start = now
        .saturating_sub(LONGEST_DEPLOYMENT + app.config.bake + HEARD_WITHIN)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let range = TimeRange::builder()
        .start(aws_smithy_types::DateTime::from_secs(start.as_second()))
        .build();
    let mut ids = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let answer = app
            .deployments
            .list_deployments()
            .application_name(app.config.application.as_str())
            .deployment_group_name(group.as_str())
            .create_time_range(range.clone())
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| Error::aws("ListDeployments", &error))?;
        ids.extend(answer.deployments().iter().cloned());
        next = answer.next_token().map(str::to_owned);
        if next.is_none() {
            return Ok(ids);
        }
    }
    Err(Error::Deployment {
        deployment: group.to_string(),
        problem: format!("the group has more than {MAX_PAGES} pages of deployments since {start}"),
    })
}

pub(crate) async fn details(app: &App, ids: &[String]) -> Result<Vec<DeploymentInfo>, Error> {
    let answer = app
        .deployments
        .batch_get_deployments()
        .set_deployment_ids(Some(ids.to_vec()))
        .send()
        .await
        .map_err(|error| Error::aws("BatchGetDeployments", &error))?;
    let found = answer.deployments_info.unwrap_or_default();
    if found.len() == ids.len() {
        Ok(found)
    } else {
        Err(Error::Unsettled(format!(
            "CodeDeploy lists {} deployments and describes {} of them",
            ids.len(),
            found.len()
        )))
    }
}

pub(crate) async fn deployment(app: &App, id: &str) -> Result<Deployment, Error> {
    let answer: GetDeploymentOutput = app
        .deployments
        .get_deployment()
        .deployment_id(id)
        .send()
        .await
        .map_err(|error| Error::aws("GetDeployment", &error))?;
    let lacking = |problem: &str| Error::Deployment {
        deployment: id.to_owned(),
        problem: problem.to_owned(),
    };
    let info = answer
        .deployment_info()
        .ok_or_else(|| lacking("CodeDeploy answered nothing about it"))?;
    let revision = info.revision().ok_or_else(|| lacking("it has no revision"))?;
    let content = match content(revision) {
        Some(content) => content.to_owned(),
        None => registered_content(app, revision)
            .await?
            .ok_or_else(|| lacking("its revision has no AppSpec content"))?,
    };
    let spec = AppSpec::parse(&content)?;
    Ok(Deployment {
        id: DeploymentId::new(id).map_err(|error| lacking(&error.to_string()))?,
        status: status(info.status()),
        is_rollback: is_rollback(info),
        by_stack: info.creator() == Some(&DeploymentCreator::CloudFormation),
        overrides: Override::of(info.override_alarm_configuration().map(overrides)),
        created: time(info.create_time()),
        completed: info.complete_time().map(|at| time(Some(at))),
        function: spec.function,
        alias: spec.alias,
        from: spec.current,
        to: spec.target,
    })
}

fn overrides(configuration: &AlarmConfiguration) -> (bool, Vec<String>) {
    let names = configuration.alarms().iter().filter_map(|alarm| alarm.name());
    (configuration.enabled(), names.map(str::to_owned).collect())
}

fn content(revision: &RevisionLocation) -> Option<&str> {
    revision
        .app_spec_content()
        .and_then(|content| content.content())
        .or_else(|| revision.string().and_then(|string| string.content()))
        .filter(|content| !content.is_empty())
}

/// `GetDeployment` may answer with the digest of an AppSpec alone; the application keeps the text.
async fn registered_content(app: &App, revision: &RevisionLocation) -> Result<Option<String>, Error> {
    let answer = app
        .deployments
        .get_application_revision()
        .application_name(app.config.application.as_str())
        .revision(revision.clone())
        .send()
        .await
        .map_err(|error| Error::aws("GetApplicationRevision", &error))?;
    Ok(answer.revision().and_then(content).map(str::to_owned))
}

pub(crate) fn is_rollback(info: &DeploymentInfo) -> bool {
    info.creator()
        .is_some_and(|creator| creator.as_str().ends_with("Rollback"))
        || info
            .rollback_info()
            .is_some_and(|rollback| rollback.rollback_triggering_deployment_id().is_some())
        || info
            .description()
            .is_some_and(|description| description.starts_with(ROLLBACK_MARK))
}

fn status(status: Option<&DeploymentStatus>) -> Status {
    match status {
        Some(DeploymentStatus::Succeeded) => Status::Succeeded,
        Some(DeploymentStatus::Failed) => Status::Failed,
        Some(DeploymentStatus::Stopped) => Status::Stopped,
        // A state that AWS adds later is taken to be in flight: to stop what has ended is refused and
        // does no harm, to leave alone what still runs would.
        _ => Status::InFlight,
    }
}

pub(crate) fn time(at: Option<&aws_smithy_types::DateTime>) -> Timestamp {
    at.and_then(moment).unwrap_or(Timestamp::UNIX_EPOCH)
}
