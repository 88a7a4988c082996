//! A function's code: in S3, inline, or on this machine.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::shape::{subset, text};
use crate::invalid;

/// The bucket names by which the serverless transform marks code that is on this machine.
const LOCAL_BINARY: &str = "local-binary";
const LOCAL_DIRECTORY: &str = "local-directory";

fn zipped(error: &dyn std::fmt::Display) -> AwsError {
    AwsError::internal(format!("the function's code could not be zipped: {error}"))
}

fn inline(properties: &Value, source: &str) -> Result<Vec<u8>, AwsError> {
    let python = text(properties, "Runtime").is_some_and(|runtime| runtime.starts_with("python"));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let name = if python { "index.py" } else { "index.js" };
    writer
        .start_file(name, SimpleFileOptions::default())
        .map_err(|error| zipped(&error))?;
    writer
        .write_all(source.as_bytes())
        .map_err(|error| zipped(&error))?;
    Ok(writer.finish().map_err(|error| zipped(&error))?.into_inner())
}

fn directory(root: &Path) -> Result<Vec<u8>, AwsError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(|error| invalid(format!("CodeUri: {error}")))?;
        let Ok(relative) = entry.path().strip_prefix(root) else {
            continue;
        };
        if entry.file_type().is_file() {
            let options = SimpleFileOptions::default().unix_permissions(0o755);
            writer
                .start_file(relative.to_string_lossy(), options)
                .map_err(|error| zipped(&error))?;
            let bytes = std::fs::read(entry.path()).map_err(|error| zipped(&error))?;
            writer.write_all(&bytes).map_err(|error| zipped(&error))?;
        }
    }
    Ok(writer.finish().map_err(|error| zipped(&error))?.into_inner())
}

/// What `CreateFunction` takes as `Code`.
///
/// # Errors
/// `ValidationError` where there is no code; what reading and zipping it answers.
pub(super) async fn code(project_root: &Path, properties: &Value) -> Result<Value, AwsError> {
    let code = properties.get("Code").cloned().unwrap_or_default();
    if let Some(source) = text(&code, "ZipFile") {
        return Ok(json!({ "ZipFile": STANDARD.encode(inline(properties, &source)?) }));
    }
    let key = text(&code, "S3Key").unwrap_or_default();
    match text(&code, "S3Bucket").as_deref() {
        Some(LOCAL_BINARY) => Ok(json!({ "ImageUri": format!("{LOCAL_BINARY}:{key}") })),
        Some(LOCAL_DIRECTORY) => {
            let root: PathBuf = project_root.join(&key);
            let bytes = tokio::task::spawn_blocking(move || directory(&root))
                .await
                .map_err(|error| zipped(&error))??;
            Ok(json!({ "ZipFile": STANDARD.encode(bytes) }))
        }
        Some(_) => Ok(subset(&code, &["S3Bucket", "S3Key", "S3ObjectVersion"])),
        None if code.get("ImageUri").is_some() => Ok(subset(&code, &["ImageUri"])),
        None => Err(invalid(
            "Properties validation failed: [#/Code: code must name an S3 object, inline text or an image]",
        )),
    }
}
