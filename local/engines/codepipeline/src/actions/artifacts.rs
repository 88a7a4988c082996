//! Files inside of artifacts, which are zip archives in the artifact store's bucket.

use std::io::{Cursor, Read, Write};
use std::sync::Arc;

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::engine::Inner;
use crate::state::Artifact;
use crate::task::{ActionTask, Failure};

/// More than any template or configuration file that AWS takes, and less than a bomb.
const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024;

/// The input artifact of that name.
pub(crate) fn input<'a>(task: &'a ActionTask, name: &str) -> Result<&'a Artifact, Failure> {
    task.inputs
        .iter()
        .find(|artifact| artifact.name == name)
        .ok_or_else(|| {
            Failure::configuration(format!(
                "The action {} refers to the artifact {name}, which is not one of its input artifacts",
                task.action
            ))
        })
}

/// What AWS says when its artifact store does not answer.
pub(crate) fn bucket_failure(artifact: &Artifact, error: &signalbox_local_core::AwsError) -> Failure {
    Failure::job(format!(
        "The action failed because either the artifact or the Amazon S3 bucket could not be found. Name of artifact \
         bucket: {}. Verify that this bucket exists. If it exists, check the life cycle policy, then try releasing a \
         change. ({})",
        artifact.bucket, error.message
    ))
}

/// A file of an input artifact, named `Artifact::path/in/archive`.
pub(crate) async fn read(inner: &Arc<Inner>, task: &ActionTask, reference: &str) -> Result<String, Failure> {
    let Some((name, path)) = reference.split_once("::") else {
        return Err(Failure::configuration(format!(
            "'{reference}' does not name a file in an artifact: write ArtifactName::path/of/file"
        )));
    };
    let artifact = input(task, name)?;
    let object = inner
        .cloud
        .get_object(&artifact.bucket, &artifact.key, None)
        .await
        .map_err(|error| bucket_failure(artifact, &error))?;
    unzip(&object.bytes, path).map_err(|why| {
        Failure::configuration(format!(
            "File [{path}] does not exist in artifact [{name}] ({why})"
        ))
    })
}

fn unzip(archive: &[u8], path: &str) -> Result<String, String> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|error| error.to_string())?;
    let file = archive.by_name(path).map_err(|error| error.to_string())?;
    let mut content = String::new();
    let read = file
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut content)
        .map_err(|error| error.to_string())?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(content)
}

/// Stores an artifact that holds one file.
pub(crate) async fn write(
    inner: &Arc<Inner>,
    artifact: &Artifact,
    path: &str,
    content: &[u8],
) -> Result<(), Failure> {
    let archive = zip_one(path, content)
        .map_err(|why| Failure::job(format!("The output artifact was not written: {why}")))?;
    inner
        .cloud
        .put_object(&artifact.bucket, &artifact.key, archive)
        .await
        .map_err(|error| bucket_failure(artifact, &error))?;
    Ok(())
}

fn zip_one(path: &str, content: &[u8]) -> Result<Vec<u8>, String> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive
        .start_file(path, SimpleFileOptions::default())
        .map_err(|error| error.to_string())?;
    archive.write_all(content).map_err(|error| error.to_string())?;
    Ok(archive.finish().map_err(|error| error.to_string())?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_zipped_can_be_read_and_another_cannot() {
        let archive = zip_one("a/b.json", b"{}").unwrap();
        assert_eq!(unzip(&archive, "a/b.json").unwrap(), "{}");
        assert!(unzip(&archive, "c.json").is_err());
        assert!(unzip(b"not a zip", "a/b.json").is_err());
    }
}
