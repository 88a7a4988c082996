//! A project as one build sees it: `StartBuild`'s overrides laid over it.

use serde_json::{Value, json};

use crate::build::Object;

/// Members of `StartBuild` that replace a member of the project as a whole.
const WHOLE: [(&str, &str); 10] = [
    ("artifactsOverride", "artifacts"),
    ("secondaryArtifactsOverride", "secondaryArtifacts"),
    ("secondarySourcesOverride", "secondarySources"),
    ("secondarySourcesVersionOverride", "secondarySourceVersions"),
    ("cacheOverride", "cache"),
    ("serviceRoleOverride", "serviceRole"),
    ("timeoutInMinutesOverride", "timeoutInMinutes"),
    ("queuedTimeoutInMinutesOverride", "queuedTimeoutInMinutes"),
    ("encryptionKeyOverride", "encryptionKey"),
    ("logsConfigOverride", "logsConfig"),
];

/// Members that replace one of the source's.
const SOURCE: [(&str, &str); 9] = [
    ("sourceTypeOverride", "type"),
    ("sourceLocationOverride", "location"),
    ("sourceAuthOverride", "auth"),
    ("gitCloneDepthOverride", "gitCloneDepth"),
    ("gitSubmodulesConfigOverride", "gitSubmodulesConfig"),
    ("buildspecOverride", "buildspec"),
    ("insecureSslOverride", "insecureSsl"),
    ("reportBuildStatusOverride", "reportBuildStatus"),
    ("buildStatusConfigOverride", "buildStatusConfig"),
];

/// Members that replace one of the environment's.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("environmentTypeOverride", "type"),
    ("imageOverride", "image"),
    ("computeTypeOverride", "computeType"),
    ("certificateOverride", "certificate"),
    ("privilegedModeOverride", "privilegedMode"),
    ("registryCredentialOverride", "registryCredential"),
    ("imagePullCredentialsTypeOverride", "imagePullCredentialsType"),
    ("fleetOverride", "fleet"),
    ("hostKernelOverride", "hostKernel"),
];

/// The project with the overrides of `input`, a `StartBuild` input, laid over it.
pub(crate) fn apply(project: &Object, input: &Object) -> Object {
    let mut out = project.clone();
    let copy = |names: &[(&str, &str)], into: &mut Object| {
        for (from, to) in names {
            if let Some(value) = input.get(*from) {
                into.insert((*to).to_owned(), value.clone());
            }
        }
    };
    copy(&WHOLE, &mut out);
    copy(&[("sourceVersion", "sourceVersion")], &mut out);
    if let Some(source) = out.get_mut("source").and_then(Value::as_object_mut) {
        copy(&SOURCE, source);
    }
    if let Some(environment) = out.get_mut("environment").and_then(Value::as_object_mut) {
        copy(&ENVIRONMENT, environment);
        let overrides = input
            .get("environmentVariablesOverride")
            .and_then(Value::as_array);
        let variables = environment.entry("environmentVariables").or_insert(json!([]));
        if let (Some(variables), Some(overrides)) = (variables.as_array_mut(), overrides) {
            variables.retain(|old| overrides.iter().all(|new| new.get("name") != old.get("name")));
            variables.extend(overrides.iter().cloned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_variable_is_replaced_by_name_and_the_rest_stays() {
        let project = object(json!({
            "source": {"type": "CODEPIPELINE"},
            "environment": {"image": "i", "environmentVariables": [
                {"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        }));
        let input = object(json!({
            "sourceTypeOverride": "S3", "sourceLocationOverride": "b/k", "imageOverride": "other",
            "environmentVariablesOverride": [{"name": "A", "value": "9"}],
        }));
        let out = apply(&project, &input);
        assert_eq!(out["source"], json!({"type": "S3", "location": "b/k"}));
        assert_eq!(out["environment"]["image"], "other");
        assert_eq!(
            out["environment"]["environmentVariables"],
            json!([{"name": "B", "value": "2"}, {"name": "A", "value": "9"}])
        );
    }
}
