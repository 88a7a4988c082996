//! Artifacts: files of the workspace, zipped or one by one, in S3.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::build::{Artifacts, Build, Object};
use crate::buildspec::ArtifactsSection;
use crate::engine::Shared;
use crate::glob::Glob;
use crate::phase::Context;

/// The object's key, or the folder's where files are stored one by one.
fn key(artifacts: &Artifacts, name: Option<&str>, project: &str, uuid: &str) -> String {
    let id = (artifacts.namespace_type.as_deref() == Some("BUILD_ID")).then_some(uuid);
    let name = name.filter(|name| !name.is_empty()).unwrap_or(project);
    let parts = [artifacts.path.as_deref(), id, Some(name)];
    let parts = parts.into_iter().flatten().map(|part| part.trim_matches('/'));
    parts
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

/// The ARN under which AWS shows an artifact's place; `None` where nothing is stored.
pub(crate) fn location(
    artifacts: &Artifacts,
    name: Option<&str>,
    project: &str,
    uuid: &str,
) -> Option<String> {
    let bucket = bucket(artifacts)?;
    Some(format!(
        "arn:aws:s3:::{bucket}/{}",
        key(artifacts, name, project, uuid)
    ))
}

/// A pipeline names the bucket where its artifacts are to go; without one nothing is stored.
fn bucket(artifacts: &Artifacts) -> Option<&str> {
    match artifacts.kind.as_str() {
        "S3" | "CODEPIPELINE" => artifacts.location.as_deref().filter(|bucket| !bucket.is_empty()),
        _ => None,
    }
}

/// The files that a section means: names in the artifact, and where they are.
///
/// # Errors
/// Where two files would have the same name, or where nothing matches.
fn collect(section: &ArtifactsSection, source: &Path) -> Result<BTreeMap<String, PathBuf>, Context> {
    let globs = |texts: &[crate::buildspec::Text]| {
        texts
            .iter()
            .map(|text| {
                // AWS takes absolute paths too, where they lie in the source.
                let inside = text
                    .0
                    .strip_prefix(&format!("{}/", source.display()))
                    .unwrap_or(&text.0);
                Glob::new(inside).ok_or_else(|| {
                    Context::client(format!("artifact path {} is not inside the source", text.0))
                })
            })
            .collect::<Result<Vec<Glob>, Context>>()
    };
    let (wanted, excluded) = (globs(&section.files)?, globs(&section.exclude_paths)?);
    let mut files = BTreeMap::new();
    for base in bases(section, source)? {
        for file in wanted.iter().flat_map(|glob| glob.files(&base)) {
            if excluded.iter().any(|glob| glob.matches(&file)) {
                continue;
            }
            let path = base.join(&file);
            let name = match file.rsplit('/').next() {
                Some(last) if section.discard_paths.0 => last.to_owned(),
                _ => file,
            };
            if let Some(other) = files.insert(name.clone(), path.clone())
                && other != path
            {
                return Err(Context::client(format!(
                    "two files are called {name} once their paths are discarded: {} and {}",
                    other.display(),
                    path.display()
                )));
            }
        }
    }
    if files.is_empty() {
        return Err(Context::client("no matching artifact paths found"));
    }
    Ok(files)
}

/// `base-directory` may have wildcards, and then mean several directories.
fn bases(section: &ArtifactsSection, source: &Path) -> Result<Vec<PathBuf>, Context> {
    let Some(base) = section.base_directory.as_ref().map(|text| text.0.as_str()) else {
        return Ok(vec![source.to_owned()]);
    };
    let base = base
        .strip_prefix(&format!("{}/", source.display()))
        .unwrap_or(base)
        .trim_end_matches('/');
    let glob = Glob::new(base)
        .ok_or_else(|| Context::client(format!("base-directory {base} is not inside the source")))?;
    if !base.contains(['*', '?', '[']) {
        return Ok(vec![source.join(base)]);
    }
    let dirs = walkdir::WalkDir::new(source).into_iter().filter_map(Result::ok);
    Ok(dirs
        .filter(|entry| entry.file_type().is_dir())
        .filter(|entry| {
            let relative = entry.path().strip_prefix(source).ok().and_then(Path::to_str);
            relative.is_some_and(|relative| glob.matches(relative))
        })
        .map(walkdir::DirEntry::into_path)
        .collect())
}

/// A zip that is the same for the same files: no times, sorted names.
fn zip(files: &BTreeMap<String, PathBuf>) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, path) in files {
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        zip.start_file(name.as_str(), SimpleFileOptions::default().unix_permissions(mode))?;
        zip.write_all(&fs::read(path)?)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Stores one artifact; answers its `BuildArtifacts`, or `None` where nothing is to be stored.
///
/// `name` is the buildspec's name once the shell has expanded it.
pub(crate) async fn upload(
    shared: &Shared,
    build: &Build,
    artifacts: &Artifacts,
    section: &ArtifactsSection,
    name: Option<&str>,
    source: PathBuf,
) -> Result<Option<Object>, Context> {
    let Some(bucket) = bucket(artifacts) else {
        return Ok(None);
    };
    let name = name
        .filter(|_| artifacts.override_artifact_name)
        .or(artifacts.name.as_deref());
    let key = key(artifacts, name, &build.fixed.project, &build.fixed.uuid);
    let zipped = artifacts.packaging.as_deref() == Some("ZIP") || artifacts.kind == "CODEPIPELINE";
    let section = section.clone();
    let objects = tokio::task::spawn_blocking(move || {
        let files = collect(&section, &source)?;
        let failed =
            |error: &dyn std::fmt::Display| Context::client(format!("reading the artifacts: {error}"));
        if zipped {
            return Ok(vec![(
                String::new(),
                zip(&files).map_err(|error| failed(&error))?,
            )]);
        }
        let mut objects = Vec::new();
        for (name, path) in files {
            objects.push((
                format!("/{name}"),
                fs::read(path).map_err(|error| failed(&error))?,
            ));
        }
        Ok(objects)
    });
    let objects = objects
        .await
        .map_err(|error| Context::internal("collecting artifacts", error))??;

    let mut out = Object::new();
    out.insert(
        "location".to_owned(),
        json!(format!("arn:aws:s3:::{bucket}/{key}")),
    );
    if zipped && let Some((_, bytes)) = objects.first() {
        out.insert("sha256sum".to_owned(), json!(hex::encode(Sha256::digest(bytes))));
    }
    if let Some(identifier) = &artifacts.artifact_identifier {
        out.insert("artifactIdentifier".to_owned(), json!(identifier));
    }
    for (suffix, bytes) in objects {
        shared
            .cloud
            .put_object(bucket, &format!("{key}{suffix}"), bytes)
            .await
            .map_err(|error| {
                Context::client(format!(
                    "{}: {} for s3://{bucket}/{key}",
                    error.code, error.message
                ))
            })?;
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildspec::{Flag, Text};

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.txt", "out/b.txt", "out/deep/c.txt", "out/d.bin"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    fn section(files: &[&str]) -> ArtifactsSection {
        ArtifactsSection {
            files: files.iter().map(|f| Text((*f).to_owned())).collect(),
            ..Default::default()
        }
    }

    fn names(section: &ArtifactsSection, dir: &Path) -> Vec<String> {
        collect(section, dir).unwrap().into_keys().collect()
    }

    #[test]
    fn globs_bases_exclusions_and_flat_names() {
        let dir = tree();
        assert_eq!(
            names(&section(&["**/*.txt"]), dir.path()),
            ["a.txt", "out/b.txt", "out/deep/c.txt"]
        );
        let mut based = section(&["**/*"]);
        based.base_directory = Some(Text("out".into()));
        assert_eq!(names(&based, dir.path()), ["b.txt", "d.bin", "deep/c.txt"]);
        based.exclude_paths = vec![Text("**/*.bin".into())];
        based.discard_paths = Flag(true);
        assert_eq!(names(&based, dir.path()), ["b.txt", "c.txt"]);
    }

    #[test]
    fn nothing_found_and_clashing_names_are_errors() {
        let dir = tree();
        let error = collect(&section(&["none/*"]), dir.path()).unwrap_err();
        assert_eq!(
            error,
            Context::new("CLIENT_ERROR", "no matching artifact paths found")
        );
        assert!(collect(&section(&["../**"]), dir.path()).is_err());
        fs::write(dir.path().join("out/a.txt"), "other").unwrap();
        let mut flat = section(&["**/*"]);
        flat.discard_paths = Flag(true);
        assert!(collect(&flat, dir.path()).unwrap_err().message.contains("a.txt"));
    }

    #[test]
    fn the_same_files_give_the_same_zip() {
        let dir = tree();
        let files = collect(&section(&["**/*"]), dir.path()).unwrap();
        assert_eq!(zip(&files).unwrap(), zip(&files).unwrap());
    }

    #[test]
    fn the_place_follows_path_namespace_and_name() {
        let mut artifacts = Artifacts {
            kind: "S3".into(),
            location: Some("b".into()),
            path: Some("/p/q/".into()),
            namespace_type: Some("BUILD_ID".into()),
            ..Artifacts::default()
        };
        assert_eq!(
            location(&artifacts, None, "proj", "id"),
            Some("arn:aws:s3:::b/p/q/id/proj".into())
        );
        artifacts.namespace_type = None;
        assert_eq!(
            location(&artifacts, Some("x.zip"), "proj", "id"),
            Some("arn:aws:s3:::b/p/q/x.zip".into())
        );
        artifacts.kind = "NO_ARTIFACTS".into();
        assert_eq!(location(&artifacts, None, "proj", "id"), None);
    }
}
