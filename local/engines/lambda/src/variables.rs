//! The environment variables of a function's process.

use std::ffi::OsString;
use std::path::Path;

use crate::environment::Host;
use crate::functions::Version;
use crate::logs::Journal;
use crate::settings::Runtime;

/// The whole environment of the process: nothing of ours leaks into it.
pub(crate) fn variables(
    host: &Host,
    version: &Version,
    journal: &Journal,
    group: &str,
    api: &str,
    temporary: &Path,
) -> Vec<(OsString, OsString)> {
    let settings = &version.settings;
    let cloud = host.cloud.as_ref();
    let region = &cloud.account().region;
    let (key, secret, token) = cloud.credentials_for(&settings.role, &version.function);
    let root = version.code.task_root();
    let node = host.node.parent().map(Path::to_string_lossy).unwrap_or_default();
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    let mut set = |name: &str, value: &str| variables.push((name.into(), value.into()));
    set("AWS_ENDPOINT_URL", &cloud.endpoint());
    for (name, value) in &settings.environment {
        set(name, value);
    }
    set("AWS_LAMBDA_FUNCTION_NAME", &version.function);
    set("AWS_LAMBDA_FUNCTION_VERSION", &version.number);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &settings.memory_mb.to_string());
    set("AWS_LAMBDA_LOG_GROUP_NAME", group);
    set("AWS_LAMBDA_LOG_STREAM_NAME", &journal.stream);
    set("AWS_LAMBDA_LOG_FORMAT", settings.log_format());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    set("AWS_LAMBDA_RUNTIME_API", api);
    set("AWS_REGION", region);
    set("AWS_DEFAULT_REGION", region);
    set("AWS_ACCESS_KEY_ID", &key);
    set("AWS_SECRET_ACCESS_KEY", &secret);
    set("AWS_SESSION_TOKEN", &token);
    set("_HANDLER", settings.handler.as_deref().unwrap_or("bootstrap"));
    set("LAMBDA_TASK_ROOT", &root.to_string_lossy());
    set(
        "LAMBDA_RUNTIME_DIR",
        &cloud.work_dir().join("lambda").to_string_lossy(),
    );
    set("TZ", ":UTC");
    set("LANG", "en_US.UTF-8");
    set("TMPDIR", &temporary.to_string_lossy());
    set("PATH", &format!("{node}:/usr/local/bin:/usr/bin:/bin"));
    if settings.runtime == Runtime::Node
        && let Some(runtime) = &settings.runtime_name
    {
        set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{runtime}"));
    }
    variables
}
