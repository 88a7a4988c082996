//! Where a build works, and how its source gets there.

use std::path::{Path, PathBuf};

use crate::build::{Build, Source};
use crate::buildspec::Buildspec;
use crate::engine::Shared;
use crate::phase::Context;
use crate::unpack::unpack;

/// A build's own directories.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Makes the directories.
    pub(crate) async fn create(root: PathBuf) -> std::io::Result<Self> {
        let workspace = Self { root };
        let dirs = [
            workspace.source(),
            workspace.home(),
            workspace.tmp(),
            crate::shell::dir(&workspace.root),
        ];
        for dir in dirs {
            tokio::fs::create_dir_all(dir).await?;
        }
        Ok(workspace)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.root.join("src")
    }

    pub(crate) fn secondary(&self, identifier: &str) -> PathBuf {
        self.root.join(format!("src-{identifier}"))
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// Fetches the primary and the secondary sources; answers the primary's version.
pub(crate) async fn download(
    shared: &Shared,
    build: &Build,
    workspace: &Workspace,
) -> Result<Option<String>, Context> {
    let plan = &build.fixed.plan;
    let version = fetch(
        shared,
        &plan.source,
        plan.source_version.as_deref(),
        workspace.source(),
    )
    .await?;
    for source in &plan.secondary_sources {
        let id = source.source_identifier.as_deref().unwrap_or_default();
        // The identifier names a directory and a variable.
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Context::client(format!(
                "sourceIdentifier {id:?} of a secondary source may only have letters, digits and underscores"
            )));
        }
        let version = plan
            .secondary_source_versions
            .iter()
            .find(|version| version.source_identifier == id);
        let version = version.map(|version| version.source_version.as_str());
        fetch(shared, source, version, workspace.secondary(id)).await?;
    }
    Ok(version)
}

async fn fetch(
    shared: &Shared,
    source: &Source,
    version: Option<&str>,
    into: PathBuf,
) -> Result<Option<String>, Context> {
    match source.kind.as_str() {
        "NO_SOURCE" => return Ok(None),
        "S3" | "CODEPIPELINE" => {}
        kind => {
            return Err(Context::client(format!(
                "the local cloud has no sources of type {kind}; upload a zip and use type S3"
            )));
        }
    }
    let location = source.location.as_deref().unwrap_or_default();
    let location = location.strip_prefix("arn:aws:s3:::").unwrap_or(location);
    let Some((bucket, key)) = location
        .split_once('/')
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
    else {
        return Err(Context::client(format!(
            "source location {location:?} is not of the form bucket/key"
        )));
    };
    if key.ends_with('/') {
        return Err(Context::client(format!(
            "source location {location:?} is a folder; the local cloud takes one zip"
        )));
    }
    let version = version.filter(|version| !version.is_empty());
    let object = shared
        .cloud
        .get_object(bucket, key, version)
        .await
        .map_err(|error| {
            Context::client(format!(
                "{}: {} for s3://{bucket}/{key}",
                error.code, error.message
            ))
        })?;
    let name = format!("s3://{bucket}/{key}");
    let bytes = object.bytes;
    let done = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&into).map_err(|error| error.to_string())?;
        unpack(&bytes, &into)
    });
    done.await
        .map_err(|error| Context::internal("unpacking the source", error))?
        .map_err(|error| Context::client(format!("the source {name} was refused: {error}")))?;
    Ok(object.version_id)
}

/// Reads the buildspec: text in the project, `arn:aws:s3:::bucket/key`, or a path in the source.
pub(crate) async fn buildspec(
    shared: &Shared,
    build: &Build,
    workspace: &Workspace,
) -> Result<Buildspec, Context> {
    let given = build
        .fixed
        .plan
        .source
        .buildspec
        .as_deref()
        .map(str::trim)
        .unwrap_or_default();
    let text = if given.contains('\n') || given.starts_with("version") || given.starts_with('{') {
        given.to_owned()
    } else if let Some(location) = given.strip_prefix("arn:aws:s3:::") {
        let (bucket, key) = location.split_once('/').unwrap_or((location, ""));
        let object = shared
            .cloud
            .get_object(bucket, key, None)
            .await
            .map_err(|error| Context::yaml(format!("{}: {} for {given}", error.code, error.message)))?;
        String::from_utf8_lossy(&object.bytes).into_owned()
    } else {
        let path = if given.is_empty() { "buildspec.yml" } else { given };
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(Context::yaml(format!(
                "buildspec {path} is not inside the source"
            )));
        }
        tokio::fs::read_to_string(workspace.source().join(path))
            .await
            .map_err(|error| Context::yaml(format!("YAML file does not exist: {path}: {error}")))?
    };
    Buildspec::parse(&text).map_err(Context::yaml)
}
