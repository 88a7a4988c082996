//! The events that the project keeps in `events/`, and the functions that they are for.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::world::{Answer, World};

/// One file.
pub(crate) struct Fixture {
    folder: String,
    name: String,
    text: String,
}

impl Fixture {
    /// Every file, in the order of their names.
    pub(crate) fn all(world: &World) -> Vec<Self> {
        let events = world.running.paths.project.join("events");
        let folders = names(&events).into_iter();
        folders
            .flat_map(|folder| {
                let directory = events.join(&folder);
                names(&directory).into_iter().map(move |name| Self {
                    text: std::fs::read_to_string(directory.join(&name)).unwrap(),
                    folder: folder.clone(),
                    name,
                })
            })
            .collect()
    }

    /// Where it is, below `events/`.
    pub(crate) fn file(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }

    /// The full name of the function that it is for, where `full` tells an environment's.
    pub(crate) fn function(&self, full: impl Fn(&str) -> String) -> String {
        match (self.folder.as_str(), self.name.as_str()) {
            // The sweep sends these, each to the function whose event was lost.
            ("sweep", "synthesized-approval-started.json") => full("request-approval"),
            ("sweep", "synthesized-alarm-raised.json") => full("roll-back"),
            ("sweep", name) if name.starts_with("synthesized-") => full("track-run"),
            ("validate-deployment", name) if name.starts_with("pipeline-job") => full("validate-job"),
            ("validate-deployment", _) => format!("CodeDeployHook_{}", full("before-traffic")),
            (folder, _) => full(folder),
        }
    }

    /// The event, as if it came from this account, of these.
    pub(crate) fn event(&self, bucket: &str, pipeline: &str) -> Value {
        let text = self
            .text
            .replace("111122223333", "123456789012")
            .replace("eu-central-1", "us-east-1")
            .replace("lambda-artifacts-staging", bucket)
            .replace("lambda-function-staging-pipeline", pipeline)
            .replace("lambda-function-production-pipeline", pipeline);
        serde_json::from_str(&text).unwrap()
    }
}

/// What is in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Hands bytes over, JSON or not, to the function of this full name.
pub(crate) async fn hand_over(world: &World, function: &str, bytes: &[u8]) -> Answer {
    let input = json!({ "FunctionName": function, "Payload": STANDARD.encode(bytes) });
    Answer::of(&world.running.call("lambda", "Invoke", input).await.unwrap())
}
