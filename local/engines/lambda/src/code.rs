//! A version's code: fetched, checked, unpacked; removed with the last version that uses it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use signalbox_local_core::{AwsError, Cloud};
use tempfile::TempDir;
use zip::ZipArchive;

use crate::errors::invalid;

/// Lambda's limit of an unpacked package, layers included.
pub(crate) const UNPACKED_LIMIT: u64 = 262_144_000;
/// Lambda's limit of a package sent with the request.
pub(crate) const ZIP_LIMIT: usize = 52_428_800;
/// More files than any package that fits the size limit sensibly has; bounds the work of a hostile one.
const ENTRY_LIMIT: usize = 100_000;
/// What CloudFormation's engine passes for a function that is one of this workspace's binaries.
const LOCAL_BINARY: &str = "local-binary:";

/// `Code` of `CreateFunction`, and the same members of `UpdateFunctionCode`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Source {
    zip_file: Option<String>,
    s3_bucket: Option<String>,
    s3_key: Option<String>,
    s3_object_version: Option<String>,
    image_uri: Option<String>,
}

/// Code that can be run.
pub(crate) struct Code {
    kind: Kind,
    /// Base64 of the package's SHA-256. A local binary's is that of its name, size and time of change:
    /// hashing hundreds of megabytes of debug build at each start would take longer than all else.
    pub(crate) sha256: String,
    /// Size of the package in bytes.
    pub(crate) size: u64,
}

enum Kind {
    /// `task/` unpacked, `code.zip` as it came.
    Package(TempDir),
    Binary {
        path: PathBuf,
        image_uri: String,
    },
}

impl Code {
    /// What the function sees as `LAMBDA_TASK_ROOT`.
    pub(crate) fn task_root(&self) -> PathBuf {
        match &self.kind {
            Kind::Package(directory) => directory.path().join("task"),
            Kind::Binary { path, .. } => path.parent().unwrap_or(Path::new("/")).to_owned(),
        }
    }

    /// The executable of a `provided.*` function.
    pub(crate) fn bootstrap(&self) -> PathBuf {
        match &self.kind {
            Kind::Package(_) => self.task_root().join("bootstrap"),
            Kind::Binary { path, .. } => path.clone(),
        }
    }

    /// True for a binary of this workspace, which no interpreter runs.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(self.kind, Kind::Binary { .. })
    }

    /// `Code` as `GetFunction` answers it: where the package can be read.
    pub(crate) fn location(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Package(directory) => serde_json::json!({
                "RepositoryType": "S3",
                "Location": format!("file://{}", directory.path().join("code.zip").display()),
            }),
            Kind::Binary { image_uri, .. } => {
                serde_json::json!({ "RepositoryType": "ECR", "ImageUri": image_uri, "ResolvedImageUri": image_uri })
            }
        }
    }
}

/// Fetches and unpacks code.
pub(crate) async fn load(cloud: &dyn Cloud, binaries: &Path, source: Source) -> Result<Arc<Code>, AwsError> {
    let bytes = match source {
        Source {
            image_uri: Some(image),
            ..
        } => return local_binary(binaries, image),
        Source {
            zip_file: Some(text), ..
        } => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|error| invalid(format!("ZipFile is not base64: {error}")))?;
            if bytes.len() > ZIP_LIMIT {
                return Err(invalid(format!(
                    "Zipped size must be smaller than {ZIP_LIMIT} bytes; put the package into S3 instead"
                )));
            }
            bytes
        }
        Source {
            s3_bucket: Some(bucket),
            s3_key: Some(key),
            s3_object_version,
            ..
        } => {
            let object = cloud
                .get_object(&bucket, &key, s3_object_version.as_deref())
                .await
                .map_err(|error| {
                    invalid(format!(
                        "Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {}",
                        error.code, error.message
                    ))
                })?;
            object.bytes
        }
        Source { .. } => return Err(invalid("Please provide a source for function code.")),
    };
    let root = cloud.work_dir().join("lambda").join("code");
    tokio::task::spawn_blocking(move || unpack(&root, &bytes))
        .await
        .map_err(|error| AwsError::internal(format!("unpacking the package failed: {error}")))?
        .map(Arc::new)
}

fn local_binary(binaries: &Path, image_uri: String) -> Result<Arc<Code>, AwsError> {
    let Some(name) = image_uri.strip_prefix(LOCAL_BINARY) else {
        return Err(invalid(format!(
            "{image_uri}: container images are not run locally; give a zip package, or {LOCAL_BINARY}<name> for a \
             binary of this workspace"
        )));
    };
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        return Err(invalid(format!("{name} is not the name of a binary")));
    }
    let path = binaries.join(name);
    let data = fs::metadata(&path).map_err(|error| {
        invalid(format!(
            "the binary {} cannot be read ({error}); build it with: cargo build --bin {name}",
            path.display()
        ))
    })?;
    let changed = data
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |d| d.as_nanos());
    let sha256 = STANDARD.encode(Sha256::digest(format!("{name}\n{}\n{changed}", data.len())));
    Ok(Arc::new(Code {
        kind: Kind::Binary { path, image_uri },
        sha256,
        size: data.len(),
    }))
}

fn unreadable() -> AwsError {
    invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
}

fn storage(error: &std::io::Error) -> AwsError {
    AwsError::internal(format!("the package cannot be stored: {error}"))
}

/// Unpacks into a directory of its own. Nothing is written outside of it, whatever the names say: parent
/// references and absolute paths are refused, links are made last and may not leave it.
fn unpack(root: &Path, bytes: &[u8]) -> Result<Code, AwsError> {
    if bytes.is_empty() {
        return Err(invalid("Uploaded file must be a non-empty zip"));
    }
    fs::create_dir_all(root).map_err(|error| storage(&error))?;
    let directory = tempfile::Builder::new()
        .prefix("code-")
        .tempdir_in(root)
        .map_err(|error| storage(&error))?;
    let task = directory.path().join("task");
    fs::create_dir(&task).map_err(|error| storage(&error))?;

    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| unreadable())?;
    if archive.is_empty() {
        return Err(invalid("Uploaded file must be a non-empty zip"));
    }
    if archive.len() > ENTRY_LIMIT {
        return Err(invalid(format!(
            "the package has more than {ENTRY_LIMIT} entries"
        )));
    }
    let mut left = UNPACKED_LIMIT;
    let mut links = Vec::new();
    let mut made = HashSet::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|_| unreadable())?;
        let name = entry.name().map_err(|_| unreadable())?.into_owned();
        let relative = inside(&name)?;
        let path = task.join(&relative);
        let parent = if entry.is_dir() {
            Some(path.as_path())
        } else {
            path.parent()
        };
        if let Some(parent) = parent
            && made.insert(parent.to_owned())
        {
            fs::create_dir_all(parent).map_err(|error| storage(&error))?;
        }
        if entry.is_dir() {
            continue;
        }
        if entry.is_symlink() {
            let mut target = String::new();
            (&mut entry)
                .take(4096)
                .read_to_string(&mut target)
                .map_err(|_| unreadable())?;
            links.push((relative, target));
            continue;
        }
        let executable = entry.unix_mode().is_none_or(|mode| mode & 0o111 != 0);
        let mut file = File::create(&path).map_err(|error| storage(&error))?;
        // What the entry declares proves nothing: the bytes that come out are counted.
        let written = std::io::copy(&mut (&mut entry).take(left + 1), &mut file).map_err(|_| unreadable())?;
        left = left.checked_sub(written).ok_or_else(|| {
            invalid(format!(
                "Unzipped size must be smaller than {UNPACKED_LIMIT} bytes"
            ))
        })?;
        set_executable(&file, executable).map_err(|error| storage(&error))?;
    }
    for (relative, target) in links {
        link(&task, &relative, &target)?;
    }
    fs::write(directory.path().join("code.zip"), bytes).map_err(|error| storage(&error))?;
    Ok(Code {
        kind: Kind::Package(directory),
        sha256: STANDARD.encode(Sha256::digest(bytes)),
        size: bytes.len() as u64,
    })
}

/// The entry's path, if it stays inside of the package.
fn inside(name: &str) -> Result<PathBuf, AwsError> {
    let mut clean = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(invalid(format!(
                    "the package's entry {name:?} leads out of the package"
                )));
            }
        }
    }
    if name.contains(['\0', '\\']) {
        return Err(invalid(format!(
            "the package's entry {name:?} has a character that no path may have"
        )));
    }
    Ok(clean)
}

fn link(task: &Path, relative: &Path, target: &str) -> Result<(), AwsError> {
    let mut depth = relative.components().count().saturating_sub(1);
    for component in Path::new(target).components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(invalid(format!(
                    "the package's link {} leads out of the package",
                    relative.display()
                )));
            }
        }
    }
    let path = task.join(relative);
    if path.symlink_metadata().is_ok() {
        return Err(invalid(format!("the package has {} twice", relative.display())));
    }
    std::os::unix::fs::symlink(target, path).map_err(|error| storage(&error))
}

fn set_executable(file: &File, executable: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn zipped(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes, mode) in entries {
            writer
                .start_file(*name, SimpleFileOptions::default().unix_permissions(*mode))
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_package_is_unpacked_with_its_executable_bits_and_removed_with_its_last_user() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let bytes = zipped(&[("bootstrap", b"#!/bin/sh\n", 0o755), ("lib/a.js", b"1", 0o600)]);
        let code = unpack(root.path(), &bytes).unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(code.bootstrap()), 0o755);
        assert_eq!(mode(code.task_root().join("lib/a.js")), 0o644);
        assert_eq!(code.size, bytes.len() as u64);
        let place = code.task_root();
        drop(code);
        assert!(!place.exists());
    }

    #[test]
    fn names_that_lead_outside_are_refused() {
        for name in ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"] {
            assert!(inside(name).is_err(), "{name}");
        }
        assert_eq!(inside("./a/b").unwrap(), PathBuf::from("a/b"));
        let task = tempfile::tempdir().unwrap();
        fs::create_dir(task.path().join("a")).unwrap();
        assert!(link(task.path(), Path::new("a/l"), "../b").is_ok());
        assert!(link(task.path(), Path::new("l"), "../b").is_err());
        assert!(link(task.path(), Path::new("l"), "/etc/passwd").is_err());
    }

    #[test]
    fn what_is_no_package_is_refused_in_aws_words() {
        let root = tempfile::tempdir().unwrap();
        let message = |bytes: &[u8]| unpack(root.path(), bytes).err().unwrap().message;
        assert!(message(b"").contains("non-empty zip"));
        assert!(message(b"not a zip").contains("Could not unzip"));
        let mut cut = zipped(&[("index.js", b"exports.handler = 1", 0o644)]);
        cut.truncate(cut.len() - 10);
        assert!(message(&cut).contains("Could not unzip"));
    }
}
