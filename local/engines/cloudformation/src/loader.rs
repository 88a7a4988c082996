//! From the text of a template to its long form.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Cloud};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::invalid;
use crate::template::Template;

/// Loads templates, and remembers those it has seen: a process for each would take a second each time.
pub(crate) struct Loader {
    python: PathBuf,
    transform: PathBuf,
    seen: Mutex<HashMap<(String, String), Arc<Template>>>,
}

fn transforms(template: &Value) -> Vec<String> {
    match template.get("Transform") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

impl Loader {
    pub(crate) fn new(python: PathBuf, transform: PathBuf) -> Self {
        Self {
            python,
            transform,
            seen: Mutex::default(),
        }
    }

    /// Loads a template. `parameters` are those that were given: the serverless transform reads some.
    ///
    /// # Errors
    /// `ValidationError` for what is wrong with the template; `InternalFailure` where the transform cannot
    /// be run at all.
    pub(crate) async fn load(
        &self,
        region: &str,
        text: &str,
        parameters: &[(String, Option<String>)],
    ) -> Result<Arc<Template>, AwsError> {
        let given: HashMap<&str, &str> = parameters
            .iter()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?)))
            .collect();
        let key = (text.to_owned(), json!(given).to_string());
        if let Some(known) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let plain = serde_json::from_str::<Value>(text)
            .ok()
            .filter(|value| transforms(value).is_empty());
        let (processed, named) = match plain {
            Some(value) => (value, Vec::new()),
            None => {
                let request = json!({ "template": text, "region": region, "parameters": given });
                self.convert(&request).await?
            }
        };
        let template = Arc::new(Template::parse(text, processed, named)?);
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, Arc::clone(&template));
        Ok(template)
    }

    async fn convert(&self, request: &Value) -> Result<(Value, Vec<String>), AwsError> {
        let cannot = |why: String| {
            AwsError::internal(format!(
                "{} {} could not be run ({why}); start the local cloud once more, which repairs its Python environment",
                self.python.display(),
                self.transform.display()
            ))
        };
        let mut child = Command::new(&self.python)
            .arg(&self.transform)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A process that dies early says why on its standard error.
            let _ = stdin.write_all(request.to_string().as_bytes()).await;
        }
        let output = child
            .wait_with_output()
            .await
            .map_err(|error| cannot(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| {
            let told = String::from_utf8_lossy(&output.stderr);
            cannot(told.lines().last().unwrap_or("it said nothing").to_owned())
        })?;
        if let Some(errors) = answer.get("errors").and_then(Value::as_array) {
            let told: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
            return Err(invalid(told.join(" ")));
        }
        let named = answer
            .get("transforms")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let named = named.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok((answer.get("template").cloned().unwrap_or(Value::Null), named))
    }
}

/// Bucket and key of a `TemplateURL`: `s3://bucket/key`, path style, or virtual-hosted style.
pub(crate) fn s3_location(url: &str) -> Option<(String, String)> {
    if let Some(rest) = url.strip_prefix("s3://") {
        return rest
            .split_once('/')
            .map(|(bucket, key)| (bucket.to_owned(), key.to_owned()));
    }
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/')?;
    let path = path.split('?').next().unwrap_or(path);
    if let Some((bucket, service)) = host.split_once('.')
        && service.starts_with("s3")
        && !bucket.is_empty()
    {
        return Some((bucket.to_owned(), path.to_owned()));
    }
    path.split_once('/')
        .map(|(bucket, key)| (bucket.to_owned(), key.to_owned()))
}

/// The template that a request names: its body, or the object at its URL.
///
/// # Errors
/// `ValidationError` where neither is there or the object cannot be read.
pub(crate) async fn body(cloud: &dyn Cloud, input: &Value) -> Result<Option<String>, AwsError> {
    if let Some(text) = input.get("TemplateBody").and_then(Value::as_str) {
        return Ok(Some(text.to_owned()));
    }
    let Some(url) = input.get("TemplateURL").and_then(Value::as_str) else {
        return Ok(None);
    };
    let (bucket, key) = s3_location(url)
        .ok_or_else(|| invalid(format!("TemplateURL must reference a valid S3 object: {url}")))?;
    let object = cloud
        .get_object(&bucket, &key, None)
        .await
        .map_err(|error| invalid(format!("S3 error: {} ({url})", error.message)))?;
    let text = String::from_utf8(object.bytes);
    text.map(Some)
        .map_err(|_| invalid(format!("Template format error: {url} is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_s3_address_names_bucket_and_key() {
        let expected = Some(("box".to_owned(), "dir/t.yaml".to_owned()));
        for url in [
            "s3://box/dir/t.yaml",
            "https://s3.amazonaws.com/box/dir/t.yaml",
            "https://box.s3.us-east-1.amazonaws.com/dir/t.yaml",
            "https://box.s3.amazonaws.com/dir/t.yaml?versionId=1",
            "http://127.0.0.1:4750/box/dir/t.yaml",
        ] {
            assert_eq!(s3_location(url), expected, "{url}");
        }
        assert_eq!(s3_location("ftp://box/t.yaml"), None);
    }
}
