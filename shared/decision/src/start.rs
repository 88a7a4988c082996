//! Starting a run: which upload becomes a run, which only a build, and which neither.
//!
//! Two steps, since the second needs facts that are only worth gathering after the first:
//! [`screen`] looks at the event alone; [`decide`] looks at the object, the ledger and the package.
//!
//! An upload is named by bucket, key *and version*: the run is pinned to that version, whatever is
//! uploaded meanwhile. Its [`token`] derives from those names alone, so that every delivery of the event,
//! by whatever route, asks AWS for the same run.

mod branch;
mod sequencer;

pub use branch::{Branch, InvalidBranch};
pub use sequencer::{InvalidSequencer, Sequencer};

use crate::claim::digest;
use crate::names::{ActionName, BucketName, ObjectKey, PipelineName, VersionId};
use crate::package::{self, Limits, Package, Rejection};
use crate::text::shown;

/// What happened to an object, by either route (EventBridge, or an S3 notification).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Something was written: by a put, a post, a copy or a completed multipart upload.
    Created(Upload),
    /// Something was deleted.
    Deleted {
        /// Whether only a delete marker was put on top.
        marker: bool,
    },
    /// S3's `s3:TestEvent`, sent once when a notification is configured.
    Test,
    /// Anything else, by its name.
    Other(String),
}

/// One object version that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The bucket.
    pub bucket: BucketName,
    /// The key, byte for byte.
    pub key: ObjectKey,
    /// The version; absent or `null` where the bucket keeps none.
    pub version: Option<String>,
    /// The event's place in the order of the key's events. AWS always sends it; where it is missing,
    /// the order cannot be checked, and claims alone keep the run single.
    pub sequencer: Option<Sequencer>,
    /// The content's tag, without quotes.
    pub etag: Option<String>,
    /// The bucket's account, by the EventBridge route.
    pub account: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
}

/// What an environment accepts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The pipeline to start.
    pub pipeline: PipelineName,
    /// Its S3 source action, whose revision is overridden.
    pub source_action: ActionName,
    /// The CodeBuild project that builds the other branches.
    pub build_project: String,
    /// The only bucket packages come from.
    pub bucket: BucketName,
    /// What a package's key begins with, such as `source/`.
    pub prefix: String,
    /// The account the bucket is in.
    pub account: String,
    /// The region the bucket is in.
    pub region: String,
    /// The branch that this environment deploys.
    pub branch: Branch,
    /// What a package may be.
    pub limits: Limits,
}

/// An upload that passed [`screen`]: the facts about it are worth gathering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The bucket, which is the environment's own.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The version, which is a real one.
    pub version: VersionId,
    /// See [`Upload::sequencer`].
    pub sequencer: Option<Sequencer>,
    /// See [`Upload::etag`].
    pub etag: Option<String>,
}

/// What [`screen`] says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an unread screening starts nothing"]
pub enum Screened {
    /// Gather the facts, then [`decide`].
    Candidate(Candidate),
    /// Nothing to gather: this is the decision, and this upload's.
    Decided(Decision),
}

/// What to do about an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision that nobody executes does nothing"]
pub enum Decision {
    /// Start a run, pinned to the version.
    Start {
        /// The pipeline.
        pipeline: PipelineName,
        /// Its source action.
        source_action: ActionName,
        /// `clientRequestToken`: the same for every delivery.
        token: String,
        /// `S3_OBJECT_KEY`.
        key: ObjectKey,
        /// `S3_OBJECT_VERSION_ID`.
        version: VersionId,
        /// The branch, which is the environment's own.
        branch: Branch,
    },
    /// Build and test only: the branch belongs to no environment, or to another one.
    Build {
        /// The CodeBuild project.
        project: String,
        /// `idempotencyToken`: the same for every delivery (CodeBuild honours it for five minutes).
        token: String,
        /// `sourceLocationOverride`: `bucket/key`.
        location: String,
        /// `sourceVersion`: the object's version.
        version: VersionId,
        /// The branch.
        branch: Branch,
    },
    /// No run; one notice says why and how to mend it.
    Reject(Refusal),
    /// Nothing to do.
    Ignore {
        /// Why.
        reason: String,
    },
    /// An event that has no business here. Nothing to do, and worth counting.
    Deny {
        /// Why.
        reason: String,
    },
}

/// An upload that is refused, for its uploader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The version, where there is one.
    pub version: Option<VersionId>,
    /// Names this refusal: one notice for each.
    pub token: String,
    /// What is wrong, and how to mend it.
    pub reasons: Vec<Rejection>,
}

/// What is known of an upload, read from S3 and the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The highest sequencer that the ledger has seen of this key.
    pub newest: Option<Sequencer>,
    /// The object version.
    pub object: Object,
}

/// The object version as S3 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// It is there.
    Found {
        /// The content's tag, without quotes.
        etag: Option<String>,
        /// The object's metadata `branch`.
        branch: Option<String>,
        /// What inspecting the package found.
        package: Package,
    },
    /// It is not there, or no longer: the upload failed, or the version was deleted.
    Gone,
}

/// Names an upload, whatever route its event came by: hex SHA-256 over pipeline, bucket, key, version,
/// each with its length, so that no two uploads share it. 64 characters of `[0-9a-f]`, as
/// CodePipeline's `clientRequestToken` (≤128 of `[A-Za-z0-9-]`) takes them.
#[must_use]
pub fn token(pipeline: &PipelineName, bucket: &BucketName, key: &ObjectKey, version: &str) -> String {
    digest(&[pipeline.as_str(), bucket.as_str(), key.as_str(), version])
}

/// Looks at the event alone.
pub fn screen(arrival: Arrival, settings: &Settings) -> Screened {
    let ignore = |reason: &str| {
        Screened::Decided(Decision::Ignore {
            reason: reason.to_owned(),
        })
    };
    let deny = |reason: String| Screened::Decided(Decision::Deny { reason });
    let upload = match arrival {
        Arrival::Created(upload) => upload,
        Arrival::Deleted { marker: true } => {
            return ignore("a delete marker: it deletes nothing that a run needs");
        }
        Arrival::Deleted { marker: false } => return ignore("an object version was deleted: nothing to run"),
        Arrival::Test => return ignore("S3's test message, sent when the notification was configured"),
        Arrival::Other(name) => {
            return ignore(&format!("{} is no upload", shown(&name, 100)));
        }
    };
    if upload.bucket != settings.bucket {
        return deny(format!(
            "bucket {} is not {}, this environment's",
            upload.bucket, settings.bucket
        ));
    }
    if let Some(account) = upload
        .account
        .as_deref()
        .filter(|account| *account != settings.account)
    {
        return deny(format!(
            "account {} is not {}, the bucket's",
            shown(account, 20),
            settings.account
        ));
    }
    if let Some(region) = upload
        .region
        .as_deref()
        .filter(|region| *region != settings.region)
    {
        return deny(format!(
            "region {} is not {}, the bucket's",
            shown(region, 40),
            settings.region
        ));
    }
    let key = upload.key.as_str();
    if !key.starts_with(&settings.prefix) {
        return deny(format!(
            "key {} is not below {}",
            shown(key, 200),
            shown(&settings.prefix, 200)
        ));
    }
    if key.ends_with('/') {
        return ignore("a folder marker: its key ends in / and it holds nothing");
    }
    let Some(version) = upload
        .version
        .as_deref()
        .filter(|v| *v != "null")
        .and_then(|v| VersionId::new(v).ok())
    else {
        // The notice is told apart by what the event still has: an unversioned key is written many times.
        let which = upload
            .sequencer
            .as_ref()
            .map(Sequencer::as_str)
            .or(upload.etag.as_deref())
            .unwrap_or("");
        return Screened::Decided(Decision::Reject(Refusal {
            token: token(
                &settings.pipeline,
                &upload.bucket,
                &upload.key,
                &format!("null {which}"),
            ),
            bucket: upload.bucket,
            key: upload.key,
            version: None,
            reasons: vec![Rejection::Unversioned],
        }));
    };
    Screened::Candidate(Candidate {
        bucket: upload.bucket,
        key: upload.key,
        version,
        sequencer: upload.sequencer,
        etag: upload.etag,
    })
}

/// Whether a newer upload of the same key has been seen, so that this one is not run.
#[must_use]
pub fn is_overtaken(candidate: &Candidate, newest: Option<&Sequencer>) -> bool {
    matches!((&candidate.sequencer, newest), (Some(own), Some(newest)) if own < newest)
}

/// Looks at the facts. Deterministic: the same upload and facts always give the same decision.
pub fn decide(candidate: &Candidate, facts: &Facts, settings: &Settings) -> Decision {
    if is_overtaken(candidate, facts.newest.as_ref()) {
        return Decision::Ignore {
            reason: "a newer upload of the same key has been seen".to_owned(),
        };
    }
    let Object::Found {
        etag,
        branch,
        package,
    } = &facts.object
    else {
        return Decision::Ignore {
            reason: "the object version is not there: the upload failed, or the version was deleted"
                .to_owned(),
        };
    };
    if let (Some(told), Some(found)) = (&candidate.etag, etag)
        && told != found
    {
        return Decision::Deny {
            reason: "the event speaks of another content than this object version has (the ETags differ)"
                .to_owned(),
        };
    }
    let token = token(
        &settings.pipeline,
        &candidate.bucket,
        &candidate.key,
        candidate.version.as_str(),
    );
    let mut reasons = package::check(package, &settings.limits);
    let branch = match branch_of(branch.as_deref(), &candidate.key, settings) {
        Ok(branch) if reasons.is_empty() => branch,
        refused => {
            if let Err(rejection) = refused {
                reasons.push(rejection);
            }
            return Decision::Reject(Refusal {
                bucket: candidate.bucket.clone(),
                key: candidate.key.clone(),
                version: Some(candidate.version.clone()),
                token,
                reasons,
            });
        }
    };
    if branch == settings.branch {
        Decision::Start {
            pipeline: settings.pipeline.clone(),
            source_action: settings.source_action.clone(),
            token,
            key: candidate.key.clone(),
            version: candidate.version.clone(),
            branch,
        }
    } else {
        Decision::Build {
            project: settings.build_project.clone(),
            token,
            location: format!("{}/{}", candidate.bucket, candidate.key),
            version: candidate.version.clone(),
            branch,
        }
    }
}

/// The object's metadata, else the key `<prefix><branch>/….zip`, else the environment's own branch.
///
/// A branch with a slash in its name comes by metadata: of a key alone, the first folder is the branch. The two may
/// not contradict each other, so that a key with folders begins with the whole branch: IAM limits who uploads by the
/// key, and whoever may upload to the folder of one branch must not start a run of another by metadata.
fn branch_of(metadata: Option<&str>, key: &ObjectKey, settings: &Settings) -> Result<Branch, Rejection> {
    let parse = |name: &str| {
        Branch::new(name).map_err(|error| Rejection::Branch {
            problem: error.to_string(),
        })
    };
    let below = key
        .as_str()
        .strip_prefix(&settings.prefix)
        .unwrap_or(key.as_str());
    let folder = below.split_once('/').map(|(folder, _)| folder);
    match (metadata.filter(|name| !name.is_empty()), folder) {
        (Some(name), None) => parse(name),
        (Some(name), Some(_)) if is_below(below, name) => parse(name),
        (Some(name), Some(_)) => Err(Rejection::Branch {
            problem: format!(
                "the metadata says {} and the key {} is not in its folder: upload to {}{}/, or leave the metadata out",
                shown(name, 244),
                shown(key.as_str(), 244),
                shown(&settings.prefix, 200),
                shown(name, 244),
            ),
        }),
        (None, Some(folder)) => parse(folder),
        (None, None) => Ok(settings.branch.clone()),
    }
}

fn is_below(key: &str, folder: &str) -> bool {
    key.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
