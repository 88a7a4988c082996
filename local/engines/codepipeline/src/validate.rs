//! The rules of a pipeline's structure that AWS's service model does not carry, checked when a
//! pipeline is created or updated. Pure.

use std::collections::{BTreeMap, BTreeSet};

use signalbox_local_core::AwsError;

use crate::action_types::{self, Provider};
use crate::declaration::{ActionDeclaration, ExecutionMode, PipelineDeclaration, StageDeclaration};
use crate::variables;

fn structure(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidStructureException", message)
}

fn stage_error(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidStageDeclarationException", message)
}

fn action_error(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidActionDeclarationException", message)
}

/// Checks a pipeline's structure.
///
/// # Errors
/// `InvalidStructureException`, `InvalidStageDeclarationException`, `InvalidActionDeclarationException`
/// or `InvalidBlockerDeclarationException`, for the first rule that is broken.
pub(crate) fn validate(pipeline: &PipelineDeclaration, region: &str) -> Result<(), AwsError> {
    if pipeline.stages.len() < 2 {
        return Err(structure(format!(
            "Pipeline has only {} stage(s). There should be a minimum of 2 stages in a pipeline",
            pipeline.stages.len()
        )));
    }
    if pipeline.artifact_bucket(region).is_none() {
        return Err(structure(format!(
            "Pipeline does not contain an artifactStore for region {region}"
        )));
    }
    if pipeline.execution_mode != ExecutionMode::Superseded && pipeline.pipeline_type != "V2" {
        return Err(structure(format!(
            "Execution mode {} is only supported for pipelines of type V2",
            pipeline.execution_mode.as_str()
        )));
    }
    if pipeline.pipeline_type != "V2" && !pipeline.variables.is_empty() {
        return Err(structure(
            "Variables at the pipeline level are only supported for pipelines of type V2",
        ));
    }
    unique(
        "Variable name",
        pipeline.variables.iter().map(|variable| variable.name.as_str()),
    )
    .map_err(structure)?;
    unique(
        "Stage name",
        pipeline.stages.iter().map(|stage| stage.name.as_str()),
    )
    .map_err(stage_error)?;
    if !pipeline.triggers.is_empty() {
        return Err(structure(
            "Triggers need a CodeStarSourceConnection source, which the local cloud does not have: remove triggers",
        ));
    }
    for (index, stage) in pipeline.stages.iter().enumerate() {
        check_stage(pipeline, index, stage)?;
    }
    check_flow(pipeline)
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!(
                "{what} must be unique within the pipeline. {name} has been used more than once"
            ));
        }
    }
    Ok(())
}

fn check_stage(
    pipeline: &PipelineDeclaration,
    index: usize,
    stage: &StageDeclaration,
) -> Result<(), AwsError> {
    if stage.actions.is_empty() {
        return Err(stage_error(format!(
            "Stage {} must contain at least one action",
            stage.name
        )));
    }
    let mut names = BTreeSet::new();
    for action in &stage.actions {
        if !names.insert(action.name.as_str()) {
            return Err(action_error(format!(
                "Action name must be unique within the stage. {} has been used more than once in stage {}",
                action.name, stage.name
            )));
        }
    }
    let sources = stage
        .actions
        .iter()
        .filter(|action| action.action_type_id.category == "Source")
        .count();
    if index == 0 && sources != stage.actions.len() {
        return Err(structure(
            "Pipeline should start with a stage that only contains source actions",
        ));
    }
    if index > 0 && sources > 0 {
        return Err(structure(format!(
            "Source actions are only allowed in the first stage of the pipeline. Stage {} contains a source action",
            stage.name
        )));
    }
    if !stage.blockers.is_empty() {
        return Err(AwsError::new(
            "InvalidBlockerDeclarationException",
            format!(
                "Blockers are reserved for future use: remove them from stage {}",
                stage.name
            ),
        ));
    }
    check_conditions(pipeline, index, stage)?;
    stage.actions.iter().try_for_each(check_action)
}

fn check_conditions(
    pipeline: &PipelineDeclaration,
    index: usize,
    stage: &StageDeclaration,
) -> Result<(), AwsError> {
    let on_failure = stage.on_failure.as_ref();
    if stage.before_entry.is_some()
        || stage.on_success.is_some()
        || on_failure.is_some_and(|failure| !failure.conditions.is_empty())
    {
        return Err(stage_error(format!(
            "Stage {} has conditions with rules, which the local cloud does not evaluate: leave out beforeEntry, \
             onSuccess and onFailure.conditions here",
            stage.name
        )));
    }
    match on_failure.and_then(|failure| failure.result.as_deref()) {
        None | Some("FAIL") => Ok(()),
        Some("RETRY") => Ok(()),
        Some("ROLLBACK") if pipeline.execution_mode == ExecutionMode::Parallel => Err(stage_error(
            "Failure conditions with a ROLLBACK result cannot be added to a pipeline in PARALLEL mode",
        )),
        Some("ROLLBACK") if index == 0 => Err(stage_error(
            "Failure conditions with a ROLLBACK result cannot be added to a stage with source actions",
        )),
        Some("ROLLBACK") => Ok(()),
        Some(other) => Err(stage_error(format!(
            "{other} is not a valid result of onFailure in stage {}",
            stage.name
        ))),
    }
}

fn check_action(action: &ActionDeclaration) -> Result<(), AwsError> {
    let id = &action.action_type_id;
    let Some(kind) = action_types::find(id) else {
        return Err(action_error(format!(
            "ActionType (Category: '{}', Provider: '{}', Owner: '{}', Version: '{}') in action '{}' is not available \
             in the local cloud",
            id.category, id.provider, id.owner, id.version, action.name
        )));
    };
    for (name, required) in kind.properties {
        if *required && !action.configuration.contains_key(*name) {
            return Err(action_error(format!(
                "Action configuration for action '{}' is missing required configuration '{name}'",
                action.name
            )));
        }
    }
    if let Some(unknown) = action
        .configuration
        .keys()
        .find(|key| kind.properties.iter().all(|(name, _)| name != key))
    {
        return Err(action_error(format!(
            "Action configuration for action '{}' contains unknown configuration '{unknown}'",
            action.name
        )));
    }
    check_count(action, "input", action.input_artifacts.len(), kind.inputs)?;
    check_count(action, "output", action.output_artifacts.len(), kind.outputs)?;
    if action.timeout_in_minutes.is_some() && kind.provider != Provider::Manual {
        return Err(action_error(format!(
            "timeoutInMinutes is only supported for manual approval actions. Action '{}' is not one",
            action.name
        )));
    }
    match kind.provider {
        Provider::S3Source => check_s3_source(action),
        Provider::CloudFormation => check_cloudformation(action),
        Provider::CodeBuild | Provider::Manual | Provider::Lambda => Ok(()),
    }
}

fn check_count(
    action: &ActionDeclaration,
    side: &str,
    count: usize,
    (fewest, most): (usize, usize),
) -> Result<(), AwsError> {
    if (fewest..=most).contains(&count) {
        return Ok(());
    }
    Err(action_error(format!(
        "Action '{}' has {count} {side} artifacts, but its action type takes between {fewest} and {most}",
        action.name
    )))
}

fn check_s3_source(action: &ActionDeclaration) -> Result<(), AwsError> {
    let polls = action
        .configuration
        .get("PollForSourceChanges")
        .is_none_or(|value| value != "false");
    if polls {
        return Err(action_error(format!(
            "Action '{}' polls for source changes, which the local cloud does not: set PollForSourceChanges to \
             \"false\" and start executions from events",
            action.name
        )));
    }
    Ok(())
}

fn check_cloudformation(action: &ActionDeclaration) -> Result<(), AwsError> {
    let configured = |key: &str| action.configuration.contains_key(key);
    let mode = action.configuration.get("ActionMode").map_or("", String::as_str);
    let needed: &[&str] = match mode {
        "CHANGE_SET_REPLACE" => &["ChangeSetName", "TemplatePath"],
        "CHANGE_SET_EXECUTE" => &["ChangeSetName"],
        "CREATE_UPDATE" => &["TemplatePath"],
        "DELETE_ONLY" => &[],
        _ => {
            return Err(action_error(format!(
                "Action configuration for action '{}' has ActionMode '{mode}'; the local cloud has CHANGE_SET_REPLACE, \
                 CHANGE_SET_EXECUTE, CREATE_UPDATE and DELETE_ONLY",
                action.name
            )));
        }
    };
    match needed.iter().find(|key| !configured(key)) {
        None => Ok(()),
        Some(missing) => Err(action_error(format!(
            "Action configuration for action '{}' is missing required configuration '{missing}'",
            action.name
        ))),
    }
}

/// Artifacts and variables are produced before they are used: in an earlier stage, or in an earlier
/// run order of the same stage.
fn check_flow(pipeline: &PipelineDeclaration) -> Result<(), AwsError> {
    let mut artifacts: BTreeSet<&str> = BTreeSet::new();
    let mut namespaces: BTreeMap<&str, &str> = BTreeMap::new();
    for stage in &pipeline.stages {
        for order in stage.run_orders() {
            let group = || {
                stage
                    .actions
                    .iter()
                    .filter(move |action| action.run_order == order)
            };
            for action in group() {
                check_inputs(action, &artifacts, &namespaces)?;
            }
            for action in group() {
                for output in &action.output_artifacts {
                    if !artifacts.insert(&output.name) {
                        return Err(action_error(format!(
                            "Output Artifact Bundle name must be unique within the pipeline. {} has been used more \
                             than once",
                            output.name
                        )));
                    }
                }
                let Some(namespace) = action.namespace.as_deref() else {
                    continue;
                };
                if [variables::SERVICE, variables::PIPELINE].contains(&namespace) {
                    return Err(action_error(format!(
                        "Namespace '{namespace}' in action '{}' is reserved",
                        action.name
                    )));
                }
                if let Some(other) = namespaces.insert(namespace, &action.name) {
                    return Err(action_error(format!(
                        "Namespace must be unique within the pipeline. '{namespace}' is used by actions '{other}' and \
                         '{}'",
                        action.name
                    )));
                }
            }
        }
    }
    Ok(())
}

fn check_inputs(
    action: &ActionDeclaration,
    artifacts: &BTreeSet<&str>,
    namespaces: &BTreeMap<&str, &str>,
) -> Result<(), AwsError> {
    if let Some(input) = action
        .input_artifacts
        .iter()
        .find(|input| !artifacts.contains(input.name.as_str()))
    {
        return Err(action_error(format!(
            "Input Artifact Bundle {} in action {} is not declared as Output Artifact Bundle in any of the preceding \
             actions",
            input.name, action.name
        )));
    }
    for text in action.configuration.values() {
        for (namespace, key) in variables::references(text) {
            let known = [variables::SERVICE, variables::PIPELINE].contains(&namespace)
                || namespaces.contains_key(namespace);
            if !known {
                return Err(action_error(format!(
                    "Action '{}' refers to the variable #{{{namespace}.{key}}}, but no preceding action has the \
                     namespace '{namespace}'",
                    action.name
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
