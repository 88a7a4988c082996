//! The operations: input in, output out, rules elsewhere.

mod attachments;
mod invoke;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use crate::code;
use crate::errors::{self, invalid};
use crate::functions::Version;
use crate::invoke::Service;
use crate::reference::{LATEST, Reference};
use crate::settings::Settings;

pub(crate) use invoke::SYNC_LIMIT;

/// Lists are cut there, whatever was asked for.
const PAGE: usize = 50;

/// Every operation, and the pseudo-operation of the gateway.
pub(crate) const OPERATIONS: &[&str] = &[
    "CreateFunction",
    "GetFunction",
    "GetFunctionConfiguration",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
    "DeleteFunction",
    "ListFunctions",
    "PublishVersion",
    "ListVersionsByFunction",
    "CreateAlias",
    "UpdateAlias",
    "GetAlias",
    "ListAliases",
    "DeleteAlias",
    "Invoke",
    "AddPermission",
    "RemovePermission",
    "GetPolicy",
    "PutFunctionConcurrency",
    "GetFunctionConcurrency",
    "DeleteFunctionConcurrency",
    "PutFunctionEventInvokeConfig",
    "GetFunctionEventInvokeConfig",
    "UpdateFunctionEventInvokeConfig",
    "DeleteFunctionEventInvokeConfig",
    "ListFunctionEventInvokeConfigs",
    "CreateFunctionUrlConfig",
    "GetFunctionUrlConfig",
    "UpdateFunctionUrlConfig",
    "DeleteFunctionUrlConfig",
    "ListTags",
    "TagResource",
    "UntagResource",
    "GetAccountSettings",
    "GetFunctionCodeSigningConfig",
    "InvokeFunctionUrl",
];

/// Members that many inputs share; those of one operation only are read from the same input by its own type.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Common {
    function_name: Option<String>,
    qualifier: Option<String>,
    revision_id: Option<String>,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(rename = "CodeSha256")]
    code_sha256: Option<String>,
    description: Option<String>,
    function_version: Option<String>,
    name: Option<String>,
    statement_id: Option<String>,
    reserved_concurrent_executions: Option<u32>,
    marker: Option<String>,
    max_items: Option<usize>,
    resource: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateInput {
    code: code::Source,
}

fn read<T: DeserializeOwned>(input: &Value) -> Result<T, AwsError> {
    T::deserialize(input).map_err(AwsError::from)
}

impl Common {
    fn reference(&self) -> Result<Reference, AwsError> {
        let name = self
            .function_name
            .as_deref()
            .ok_or_else(|| invalid("FunctionName is required."))?;
        Reference::parse(name, self.qualifier.as_deref())
    }

    /// For operations on a function as a whole.
    fn function(&self) -> Result<Reference, AwsError> {
        let mut reference = self.reference()?;
        reference.qualifier = None;
        Ok(reference)
    }

    fn tagged(&self) -> Result<Reference, AwsError> {
        let arn = self
            .resource
            .as_deref()
            .ok_or_else(|| invalid("Resource is required."))?;
        let reference = Reference::parse(arn, None)?;
        if reference.qualifier.is_some() {
            return Err(invalid(
                "Tags on function aliases and versions are not supported.",
            ));
        }
        Ok(reference)
    }

    fn required<'a>(member: &'a Option<String>, name: &str) -> Result<&'a str, AwsError> {
        member
            .as_deref()
            .ok_or_else(|| invalid(format!("{name} is required.")))
    }

    /// One page of a list, under the list's name.
    fn page(&self, name: &str, items: Vec<Value>) -> Value {
        let from: usize = self
            .marker
            .as_deref()
            .and_then(|marker| marker.parse().ok())
            .unwrap_or(0);
        let size = self.max_items.unwrap_or(PAGE).clamp(1, PAGE);
        let more = items.len() > from.saturating_add(size);
        let page: Vec<Value> = items.into_iter().skip(from).take(size).collect();
        let mut answer = json!({ name: page });
        if more {
            answer["NextMarker"] = json!((from + size).to_string());
        }
        answer
    }
}

impl Service {
    /// Performs one operation.
    pub(crate) async fn perform_operation(
        self: &Arc<Self>,
        caller: &Caller,
        operation: &str,
        input: Value,
    ) -> Result<Value, AwsError> {
        match operation {
            "CreateFunction" => self.create_function(input).await,
            "UpdateFunctionCode" => self.update_function_code(input).await,
            "Invoke" => self.invoke(caller, input).await,
            "InvokeFunctionUrl" => self.invoke_url(caller, input).await,
            "GetFunction"
            | "GetFunctionConfiguration"
            | "UpdateFunctionConfiguration"
            | "DeleteFunction"
            | "ListFunctions"
            | "PublishVersion"
            | "ListVersionsByFunction" => self.of_function(operation, &input),
            "CreateAlias" | "UpdateAlias" | "GetAlias" | "ListAliases" | "DeleteAlias" => {
                self.of_alias(operation, &input)
            }
            "AddPermission" | "RemovePermission" | "GetPolicy" => self.of_policy(operation, &input),
            "ListTags" | "TagResource" | "UntagResource" => self.of_tags(operation, &input),
            _ => self.of_settings(operation, &input),
        }
    }

    async fn create_function(&self, input: Value) -> Result<Value, AwsError> {
        let common: Common = read(&input)?;
        let reference = common.function()?;
        if self.registry().functions.contains_key(&reference.name) {
            return Err(errors::conflict(format!(
                "Function already exist: {}",
                reference.name
            )));
        }
        let CreateInput { code } = read(&input)?;
        let code = code::load(self.host.cloud.as_ref(), &self.options.binaries, code).await?;
        let settings = Settings::new(read(&input)?, code.is_binary())?;
        let now = self.host.cloud.clock().now();
        let account = self.account();
        let mut registry = self.registry();
        let function = registry.create(
            &reference.name,
            settings,
            code,
            common.tags.unwrap_or_default(),
            now,
        )?;
        if common.publish {
            let version = function.publish(None, None, None, now)?;
            return Ok(version.configuration(account, Some(&version.number)));
        }
        Ok(function.latest.configuration(account, None))
    }

    async fn update_function_code(&self, input: Value) -> Result<Value, AwsError> {
        let common: Common = read(&input)?;
        let reference = common.function()?;
        self.registry().get(&reference)?;
        let code = code::load(self.host.cloud.as_ref(), &self.options.binaries, read(&input)?).await?;
        let now = self.host.cloud.clock().now();
        let account = self.account();
        let answer = {
            let mut registry = self.registry();
            let function = registry.get_mut(&reference)?;
            if common.dry_run {
                return Ok(function.latest.configuration(account, None));
            }
            function.update_code(code, common.revision_id.as_deref(), now)?;
            if common.publish {
                let version = function.publish(None, None, None, now)?;
                version.configuration(account, Some(&version.number))
            } else {
                function.latest.configuration(account, None)
            }
        };
        self.discard_stale();
        Ok(answer)
    }

    fn of_function(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let common: Common = read(input)?;
        let account = self.account();
        let now = self.host.cloud.clock().now();
        let mut registry = self.registry();
        match operation {
            "ListFunctions" => {
                let all = common.function_version.as_deref() == Some("ALL");
                let mut found = Vec::new();
                for function in registry.functions.values() {
                    found.push(function.latest.configuration(account, all.then_some(LATEST)));
                    if all {
                        found.extend(
                            function
                                .published
                                .values()
                                .map(|v| v.configuration(account, Some(&v.number))),
                        );
                    }
                }
                Ok(common.page("Functions", found))
            }
            "ListVersionsByFunction" => {
                let function = registry.get(&common.function()?)?;
                let versions = std::iter::once(&function.latest).chain(function.published.values());
                let shown = versions
                    .map(|version: &Arc<Version>| version.configuration(account, Some(&version.number)));
                Ok(common.page("Versions", shown.collect()))
            }
            "GetFunctionConfiguration" => {
                let reference = common.reference()?;
                Ok(registry
                    .version(&reference)?
                    .configuration(account, reference.qualifier.as_deref()))
            }
            "GetFunction" => {
                let reference = common.reference()?;
                let version = registry.version(&reference)?;
                let function = registry.get(&reference)?;
                let mut answer = json!({
                    "Configuration": version.configuration(account, reference.qualifier.as_deref()),
                    "Code": version.code.location(),
                });
                if !function.tags.is_empty() {
                    answer["Tags"] = json!(function.tags);
                }
                if let Some(reserved) = function.reserved {
                    answer["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
                }
                Ok(answer)
            }
            "PublishVersion" => {
                let function = registry.get_mut(&common.function()?)?;
                let sha256 = common.code_sha256.as_deref();
                let version =
                    function.publish(common.description, sha256, common.revision_id.as_deref(), now)?;
                Ok(version.configuration(account, Some(&version.number)))
            }
            "UpdateFunctionConfiguration" => {
                let function = registry.get_mut(&common.function()?)?;
                function.update_configuration(read(input)?, common.revision_id.as_deref(), now)?;
                let answer = function.latest.configuration(account, None);
                drop(registry);
                self.discard_stale();
                Ok(answer)
            }
            _ => {
                registry.delete(&common.reference()?)?;
                drop(registry);
                self.discard_stale();
                Ok(json!({}))
            }
        }
    }

    fn of_alias(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let common: Common = read(input)?;
        let account = self.account();
        let mut registry = self.registry();
        let function = registry.get_mut(&common.function()?)?;
        match operation {
            "CreateAlias" => function.create_alias(account, read(input)?),
            "UpdateAlias" => function.update_alias(account, read(input)?),
            "GetAlias" => {
                let alias = function.alias(account, Common::required(&common.name, "Name")?)?;
                Ok(alias.describe(account, &function.name))
            }
            "ListAliases" => Ok(common.page(
                "Aliases",
                function.list_aliases(account, common.function_version.as_deref()),
            )),
            _ => {
                function.delete_alias(Common::required(&common.name, "Name")?);
                Ok(json!({}))
            }
        }
    }

    fn of_policy(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let common: Common = read(input)?;
        let account = self.account();
        let reference = common.reference()?;
        let key = reference.qualifier.clone().unwrap_or_default();
        let resource = reference.arn(account);
        let mut registry = self.registry();
        let function = registry.get_mut(&reference)?;
        function.check_qualifier(account, &reference)?;
        match operation {
            "AddPermission" => {
                let statement = function
                    .policies
                    .entry(key)
                    .or_default()
                    .add(read(input)?, &resource)?;
                Ok(json!({ "Statement": statement }))
            }
            "RemovePermission" => {
                let statement = Common::required(&common.statement_id, "StatementId")?;
                let policy = function
                    .policies
                    .get_mut(&key)
                    .ok_or_else(|| errors::not_found("No policy is associated with the given resource."))?;
                policy.remove(statement, common.revision_id.as_deref())?;
                Ok(json!({}))
            }
            _ => function
                .policies
                .get(&key)
                .and_then(|policy| policy.describe(&resource))
                .ok_or_else(|| errors::not_found("The resource you requested does not exist.")),
        }
    }

    fn of_tags(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let common: Common = read(input)?;
        let mut registry = self.registry();
        let function = registry.get_mut(&common.tagged()?)?;
        match operation {
            "TagResource" => {
                function.tags.extend(common.tags.unwrap_or_default());
                Ok(json!({}))
            }
            "UntagResource" => {
                for key in common.tag_keys.unwrap_or_default() {
                    function.tags.remove(&key);
                }
                Ok(json!({}))
            }
            _ => Ok(json!({ "Tags": function.tags })),
        }
    }
}
