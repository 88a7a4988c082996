//! Operations on what is attached to functions, and on the account.

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::{Common, read};
use crate::code;
use crate::errors::invalid;
use crate::invoke::Service;
use crate::pool::{ACCOUNT_LIMIT, UNRESERVED_MINIMUM};

/// What `GetAccountSettings` answers: AWS's default storage.
const CODE_STORAGE: u64 = 80_530_636_800;
impl Service {
    /// Concurrency, asynchronous settings, URLs, the account.
    pub(super) fn of_settings(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let common: Common = read(input)?;
        let account = self.account();
        let now = self.host.cloud.clock().now();
        let mut registry = self.registry();
        let reserved_total = registry.reserved_total();
        if operation == "GetAccountSettings" {
            let versions = registry.functions.values();
            let size: u64 = versions
                .flat_map(|f| std::iter::once(&f.latest).chain(f.published.values()))
                .map(|version| version.code.size)
                .sum();
            return Ok(json!({
                "AccountLimit": {
                    "TotalCodeSize": CODE_STORAGE,
                    "CodeSizeUnzipped": code::UNPACKED_LIMIT,
                    "CodeSizeZipped": code::ZIP_LIMIT,
                    "ConcurrentExecutions": ACCOUNT_LIMIT,
                    "UnreservedConcurrentExecutions": ACCOUNT_LIMIT - reserved_total,
                },
                "AccountUsage": { "TotalCodeSize": size, "FunctionCount": registry.functions.len() },
            }));
        }
        let reference = common.reference()?;
        let function = registry.get_mut(&reference)?;
        let endpoint = self.host.cloud.endpoint();
        match operation {
            "PutFunctionConcurrency" => {
                let wanted = common
                    .reserved_concurrent_executions
                    .ok_or_else(|| invalid("ReservedConcurrentExecutions is required."))?;
                let others = reserved_total - function.reserved.unwrap_or(0);
                if others.saturating_add(wanted) > ACCOUNT_LIMIT - UNRESERVED_MINIMUM {
                    return Err(invalid(format!(
                        "Specified ReservedConcurrentExecutions for function decreases account's \
                         UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_MINIMUM}]."
                    )));
                }
                function.reserved = Some(wanted);
                Ok(json!({ "ReservedConcurrentExecutions": wanted }))
            }
            "GetFunctionConcurrency" => Ok(function.reserved.map_or_else(
                || json!({}),
                |reserved| json!({ "ReservedConcurrentExecutions": reserved }),
            )),
            "DeleteFunctionConcurrency" => {
                function.reserved = None;
                Ok(json!({}))
            }
            "PutFunctionEventInvokeConfig" => {
                function.set_event_config(account, &reference, read(input)?, false, now)
            }
            "UpdateFunctionEventInvokeConfig" => {
                function.set_event_config(account, &reference, read(input)?, true, now)
            }
            "GetFunctionEventInvokeConfig" => function.show_event_config(account, &reference),
            "DeleteFunctionEventInvokeConfig" => function
                .delete_event_config(account, &reference)
                .map(|()| json!({})),
            "ListFunctionEventInvokeConfigs" => {
                Ok(common.page("FunctionEventInvokeConfigs", function.list_event_configs(account)))
            }
            "CreateFunctionUrlConfig" => {
                function.create_url(&endpoint, account, &reference, read(input)?, now)
            }
            "UpdateFunctionUrlConfig" => {
                function.update_url(&endpoint, account, &reference, read(input)?, now)
            }
            "GetFunctionUrlConfig" => function.show_url(&endpoint, account, &reference),
            "DeleteFunctionUrlConfig" => function.delete_url(&reference).map(|()| json!({})),
            "GetFunctionCodeSigningConfig" => {
                Ok(json!({ "FunctionName": function.name, "CodeSigningConfigArn": "" }))
            }
            _ => Err(AwsError::unknown_operation("lambda", operation)),
        }
    }
}
