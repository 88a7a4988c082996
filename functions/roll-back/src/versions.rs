//! The function's versions: which code they are, and whether it is remembered as bad.

use aws_sdk_codedeploy::types::DeploymentStatus;
use signalbox_decision::names::{DeploymentGroupName, FunctionName, VersionNumber};
use signalbox_decision::rollback::Deployment;
use signalbox_decision::rollback::good::{Candidate, Standing};

use crate::app::App;
use crate::error::Error;
use crate::facts::{BATCH, deployment, details, time};

/// How far back a good version is looked for: each deployment costs a call, and whoever finds none among
/// so many has to think anyway.
const FARTHEST: usize = 20;
/// Pages of deployments that are read at most, of up to a hundred each. AWS does not say in which order it lists them.
const MAX_PAGES: usize = 10;

/// Lambda's `CodeSha256` of a version; `None` where the version does not exist.
pub(crate) async fn code_sha256(
    app: &App,
    function: &FunctionName,
    version: &VersionNumber,
) -> Result<Option<String>, Error> {
    let answer = app
        .functions
        .get_function_configuration()
        .function_name(function.as_str())
        .qualifier(version.as_str())
        .send()
        .await;
    match answer {
        Ok(configuration) => match configuration.code_sha256() {
            Some(code) => Ok(Some(code.to_owned())),
            None => Err(Error::Unsettled(format!(
                "Lambda does not say what the code of version {version} of {function} is"
            ))),
        },
        Err(error) => match Error::aws("GetFunctionConfiguration", &error) {
            Error::Aws { failure, .. } if failure.is("ResourceNotFoundException") => Ok(None),
            error => Err(error),
        },
    }
}

/// What is known of a version.
pub(crate) async fn standing(
    app: &App,
    function: &FunctionName,
    version: &VersionNumber,
) -> Result<Standing, Error> {
    let Some(code) = code_sha256(app, function, version).await? else {
        return Ok(Standing::Missing);
    };
    let remembered = app.ledger.bad_version(function, &code).await?;
    Ok(match remembered.filter(|bad| bad.allowed.is_none()) {
        Some(bad) => Standing::Bad { alarm: bad.alarm },
        None => Standing::Good,
    })
}

/// The versions that were there before `newest`, newest first, up to the first good one.
pub(crate) async fn candidates(
    app: &App,
    group: &DeploymentGroupName,
    newest: &Deployment,
) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Candidates {
        app,
        newest,
        found: Vec::new(),
    };
    if let Some(from) = &newest.from
        && candidates.add(from).await?
    {
        return Ok(candidates.found);
    }
    // Rarely needed: only where the version before is bad itself, or gone.
    for id in succeeded(app, group).await?.into_iter().take(FARTHEST) {
        let earlier = deployment(app, &id).await?;
        for version in [Some(&earlier.to), earlier.from.as_ref()].into_iter().flatten() {
            if candidates.add(version).await? {
                return Ok(candidates.found);
            }
        }
    }
    Ok(candidates.found)
}

struct Candidates<'a> {
    app: &'a App,
    newest: &'a Deployment,
    found: Vec<Candidate>,
}

impl Candidates<'_> {
    /// Looks at a version, unless it has been looked at; whether it is a good one.
    async fn add(&mut self, version: &VersionNumber) -> Result<bool, Error> {
        let is_known = self.found.iter().any(|known| known.version == *version);
        if is_known || *version == self.newest.to {
            return Ok(false);
        }
        let standing = standing(self.app, &self.newest.function, version).await?;
        let is_good = standing == Standing::Good;
        self.found.push(Candidate {
            version: version.clone(),
            standing,
        });
        Ok(is_good)
    }
}

/// The group's deployments that succeeded, newest first.
pub(crate) async fn succeeded(app: &App, group: &DeploymentGroupName) -> Result<Vec<String>, Error> {
    let mut infos = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let answer = app
            .deployments
            .list_deployments()
            .application_name(app.config.application.as_str())
            .deployment_group_name(group.as_str())
            .include_only_statuses(DeploymentStatus::Succeeded)
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| Error::aws("ListDeployments", &error))?;
        for ids in answer.deployments().chunks(BATCH) {
            infos.extend(details(app, ids).await?);
        }
        next = answer.next_token().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    infos.sort_by_key(|info| std::cmp::Reverse(time(info.create_time())));
    let ids = infos.into_iter().filter_map(|info| info.deployment_id);
    Ok(ids.collect())
}
