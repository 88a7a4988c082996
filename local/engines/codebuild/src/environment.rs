//! The environment variables of a build's commands.

use std::env;
use std::path::Path;

use serde_json::{Value, json};
use signalbox_local_core::Caller;

use crate::build::Build;
use crate::buildspec::Buildspec;
use crate::engine::Shared;
use crate::phase::Context;
use crate::source::Workspace;

/// What a build takes over from the machine: languages, and the way to package registries.
const INHERITED: [&str; 24] = [
    "LANG",
    "LC_ALL",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "PIP_DEFAULT_TIMEOUT",
    "NPM_CONFIG_REGISTRY",
    "NPM_CONFIG_USERCONFIG",
];

/// Read once, when the engine starts.
pub(crate) fn inherited() -> Vec<(String, String)> {
    let mut vars: Vec<(String, String)> = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?)))
        .collect();
    // Builds have a home of their own, so the person's settings of npm and pip are named explicitly.
    if let Some(home) = env::home_dir() {
        for (name, path) in [
            ("NPM_CONFIG_USERCONFIG", ".npmrc"),
            ("PIP_CONFIG_FILE", ".config/pip/pip.conf"),
        ] {
            let path = home.join(path);
            if vars.iter().all(|(known, _)| known != name) && path.is_file() {
                vars.push((name.to_owned(), path.display().to_string()));
            }
        }
    }
    // Whatever proxy is set, the local cloud itself is on this machine.
    let direct = ["NO_PROXY", "no_proxy"]
        .into_iter()
        .find_map(|name| env::var(name).ok())
        .unwrap_or_default();
    for name in ["NO_PROXY", "no_proxy"] {
        vars.push((name.to_owned(), format!("127.0.0.1,localhost,{direct}")));
    }
    vars.push((
        "PATH".to_owned(),
        env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into()),
    ));
    vars
}

/// A build's variables, and which of their values are secrets.
pub(crate) struct Resolved {
    pub(crate) vars: Vec<(String, String)>,
    pub(crate) secrets: Vec<String>,
}

/// The ARN of the project's service role, which may be given by name.
pub(crate) fn role_arn(shared: &Shared, build: &Build) -> String {
    let role = &build.fixed.plan.service_role;
    if role.starts_with("arn:") {
        return role.clone();
    }
    format!("arn:aws:iam::{}:role/{role}", shared.cloud.account().id)
}

/// The session of the service role that does the build's calls.
pub(crate) fn session(build: &Build) -> String {
    format!("AWSCodeBuild-{}", build.fixed.uuid)
}

/// Collects the variables, the weakest first: the machine's, AWS's, the options', the buildspec's, the
/// project's with the build's overrides. The names that AWS reserves and the credentials come last.
pub(crate) async fn resolve(
    shared: &Shared,
    build: &Build,
    spec: &Buildspec,
    workspace: &Workspace,
) -> Result<Resolved, Context> {
    let fixed = &build.fixed;
    let role = role_arn(shared, build);
    let caller = Caller::Role {
        arn: role.clone(),
        session: session(build),
    };
    let mut vars = shared.inherited.clone();
    let mut secrets = Vec::new();
    let mut set = |name: &str, value: &str| vars.push((name.to_owned(), value.to_owned()));

    set("AWS_DEFAULT_REGION", &shared.cloud.account().region);
    set("AWS_REGION", &shared.cloud.account().region);
    set("HOME", &workspace.home().display().to_string());
    set("TMPDIR", &workspace.tmp().display().to_string());
    set(
        "SIGNALBOX_TOOL_CACHE",
        &shared.options.cache_dir.join("tools").display().to_string(),
    );
    for (name, value) in &shared.options.env {
        set(name, value);
    }
    for (name, value) in &spec.env.variables {
        set(name, &value.0);
    }
    for (name, parameter) in &spec.env.parameter_store {
        let value = parameter_store(shared, &caller, &parameter.0).await?;
        set(name, &value);
        secrets.push(value);
    }
    for (name, secret) in &spec.env.secrets_manager {
        let value = secrets_manager(shared, &caller, &secret.0).await?;
        set(name, &value);
        secrets.push(value);
    }
    for variable in &fixed.plan.environment.environment_variables {
        let value = match variable.kind.as_deref() {
            Some("PARAMETER_STORE") => Some(parameter_store(shared, &caller, &variable.value).await?),
            Some("SECRETS_MANAGER") => Some(secrets_manager(shared, &caller, &variable.value).await?),
            _ => None,
        };
        set(&variable.name, value.as_deref().unwrap_or(&variable.value));
        secrets.extend(value);
    }

    let (key, secret, token) = shared.cloud.credentials_for(&role, &session(build));
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", &key),
        ("AWS_SECRET_ACCESS_KEY", &secret),
        ("AWS_SESSION_TOKEN", &token),
    ] {
        set(name, value);
        secrets.push(value.clone());
    }
    set("AWS_ENDPOINT_URL", &shared.cloud.endpoint());
    // Never the person's own account: no profile, no instance metadata.
    set("AWS_CONFIG_FILE", "/dev/null");
    set("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    set("AWS_EC2_METADATA_DISABLED", "true");
    let resolved = crate::state::lock(&build.progress)
        .resolved_version
        .clone()
        .unwrap_or_default();
    let milliseconds = (fixed.start * 1000.0).round();
    for (name, value) in [
        ("CI", "true"),
        ("CODEBUILD_CI", "true"),
        ("CODEBUILD_BUILD_ARN", fixed.arn.as_str()),
        ("CODEBUILD_BUILD_ID", &fixed.id),
        ("CODEBUILD_BUILD_IMAGE", &fixed.plan.environment.image),
        ("CODEBUILD_BUILD_NUMBER", &fixed.number.to_string()),
        ("CODEBUILD_BUILD_SUCCEEDING", "1"),
        ("CODEBUILD_INITIATOR", &fixed.initiator),
        (
            "CODEBUILD_KMS_KEY_ID",
            fixed.plan.encryption_key.as_deref().unwrap_or_default(),
        ),
        ("CODEBUILD_LOG_PATH", &fixed.uuid),
        (
            "CODEBUILD_PROJECT_ARN",
            &shared
                .cloud
                .account()
                .arn("codebuild", &format!("project/{}", fixed.project)),
        ),
        ("CODEBUILD_RESOLVED_SOURCE_VERSION", &resolved),
        (
            "CODEBUILD_SOURCE_REPO_URL",
            fixed.plan.source.location.as_deref().unwrap_or_default(),
        ),
        (
            "CODEBUILD_SOURCE_VERSION",
            fixed.plan.source_version.as_deref().unwrap_or_default(),
        ),
        ("CODEBUILD_SRC_DIR", &workspace.source().display().to_string()),
        ("CODEBUILD_START_TIME", &milliseconds.to_string()),
    ] {
        set(name, value);
    }
    for source in &fixed.plan.secondary_sources {
        if let Some(id) = &source.source_identifier {
            let dir = workspace.secondary(id).display().to_string();
            set(&format!("CODEBUILD_SRC_DIR_{id}"), &dir);
        }
    }
    let tools = shared
        .options
        .tools
        .iter()
        .map(|dir| Path::new(dir).display().to_string());
    if let Some((_, path)) = vars.iter_mut().rev().find(|(name, _)| name == "PATH") {
        *path = tools.chain([path.clone()]).collect::<Vec<_>>().join(":");
    }
    Ok(Resolved { vars, secrets })
}

async fn parameter_store(shared: &Shared, caller: &Caller, name: &str) -> Result<String, Context> {
    let code = "Decrypted Variables Error";
    let input = json!({"Name": name, "WithDecryption": true});
    let answer = shared
        .cloud
        .call(caller, "ssm", "GetParameter", input)
        .await
        .map_err(|error| {
            if error.code == "ParameterNotFound" {
                return Context::new(code, format!("parameter does not exist: {name}"));
            }
            Context::new(code, format!("{}: {}", error.code, error.message))
        })?;
    let value = answer.pointer("/Parameter/Value").and_then(Value::as_str);
    value
        .map(str::to_owned)
        .ok_or_else(|| Context::new(code, format!("parameter {name} has no value")))
}

/// A reference `secret-id:json-key:version-stage:version-id`; an ARN has colons of its own.
fn reference(text: &str) -> (String, [Option<&str>; 3]) {
    let parts: Vec<&str> = text.split(':').collect();
    let own = if text.starts_with("arn:") { 7 } else { 1 };
    let id = parts.iter().take(own).copied().collect::<Vec<_>>().join(":");
    let rest = |index: usize| parts.get(own + index).copied().filter(|part| !part.is_empty());
    (id, [rest(0), rest(1), rest(2)])
}

async fn secrets_manager(shared: &Shared, caller: &Caller, text: &str) -> Result<String, Context> {
    let code = "Secrets Manager Error";
    let (id, [key, stage, version]) = reference(text);
    let mut input = json!({"SecretId": id});
    if let Some(stage) = stage {
        input["VersionStage"] = json!(stage);
    }
    if let Some(version) = version {
        input["VersionId"] = json!(version);
    }
    let answer = shared
        .cloud
        .call(caller, "secretsmanager", "GetSecretValue", input)
        .await
        .map_err(|error| Context::new(code, format!("{}: {}", error.code, error.message)))?;
    let secret = answer.get("SecretString").and_then(Value::as_str);
    let secret = secret.ok_or_else(|| Context::new(code, format!("secret {id} has no text")))?;
    let Some(key) = key else {
        return Ok(secret.to_owned());
    };
    let object: Value = serde_json::from_str(secret)
        .map_err(|_| Context::new(code, format!("secret {id} is not JSON, so it has no key {key}")))?;
    match object.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(value) => Ok(value.to_string()),
        None => Err(Context::new(code, format!("secret {id} has no key {key}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_secrets_may_be_arns() {
        assert_eq!(reference("name"), ("name".into(), [None, None, None]));
        assert_eq!(
            reference("name:key::v1"),
            ("name".into(), [Some("key"), None, Some("v1")])
        );
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-AbCdEf";
        assert_eq!(
            reference(&format!("{arn}:key:STAGE")),
            (arn.into(), [Some("key"), Some("STAGE"), None])
        );
    }
}
