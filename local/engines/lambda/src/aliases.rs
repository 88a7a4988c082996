//! Aliases, and how one spreads invocations over two versions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{Account, AwsError};
use uuid::Uuid;

use crate::errors;
use crate::functions::Function;
use crate::reference::{LATEST, Reference, qualified_arn};

/// A name for a version, optionally with a share of the traffic for another.
pub(crate) struct Alias {
    name: String,
    function_version: String,
    description: String,
    /// At most one, as in Lambda.
    additional: Option<(String, f64)>,
    revision: String,
}

/// Input of `CreateAlias` and `UpdateAlias`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AliasInput {
    name: String,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<RoutingInput>,
    revision_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoutingInput {
    #[serde(default)]
    additional_version_weights: BTreeMap<String, f64>,
}

impl Alias {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn function_version(&self) -> &str {
        &self.function_version
    }

    /// True where the alias sends traffic to that version.
    pub(crate) fn refers_to(&self, number: &str) -> bool {
        self.function_version == number || self.additional.as_ref().is_some_and(|(other, _)| other == number)
    }

    /// The version for one invocation; `draw` is uniform in [0, 1).
    pub(crate) fn route(&self, draw: f64) -> &str {
        match &self.additional {
            Some((number, weight)) if draw < *weight => number,
            _ => &self.function_version,
        }
    }

    pub(crate) fn describe(&self, account: &Account, function: &str) -> Value {
        let mut shown = json!({
            "AliasArn": qualified_arn(account, function, &self.name),
            "Name": self.name,
            "FunctionVersion": self.function_version,
            "Description": self.description,
            "RevisionId": self.revision,
        });
        if let Some((number, weight)) = &self.additional {
            shown["RoutingConfig"] = json!({ "AdditionalVersionWeights": { number: weight } });
        }
        shown
    }
}

/// Checks where an alias shall lead to.
fn check(
    function: &Function,
    account: &Account,
    main: &str,
    additional: Option<&(String, f64)>,
) -> Result<(), AwsError> {
    let known = |number: &str| {
        function
            .version(number)
            .ok_or_else(|| errors::function_not_found(&qualified_arn(account, &function.name, number)))
    };
    let version = known(main)?;
    let Some((other, weight)) = additional else {
        return Ok(());
    };
    if main == LATEST || other == LATEST {
        return Err(errors::invalid(
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ));
    }
    if main == other {
        return Err(errors::invalid(format!(
            "Invalid function version {other}. Function version {other} is already included in routing configuration."
        )));
    }
    if !(0.0..=1.0).contains(weight) {
        return Err(errors::invalid(format!(
            "The weight {weight} of version {other} is not between 0.0 and 1.0"
        )));
    }
    if !version.settings.may_share_alias(&known(other)?.settings) {
        return Err(errors::invalid(format!(
            "Versions {main} and {other} must have the same execution role and the same dead-letter queue to share \
             an alias"
        )));
    }
    Ok(())
}

fn additional(routing: RoutingInput) -> Result<Option<(String, f64)>, AwsError> {
    let mut weights = routing.additional_version_weights.into_iter();
    let first = weights.next();
    if weights.next().is_some() {
        return Err(errors::invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ));
    }
    Ok(first)
}

impl Function {
    fn alias_not_found(&self, account: &Account, name: &str) -> AwsError {
        errors::not_found(format!(
            "Alias not found: {}",
            qualified_arn(account, &self.name, name)
        ))
    }

    pub(crate) fn create_alias(&mut self, account: &Account, input: AliasInput) -> Result<Value, AwsError> {
        if self.aliases.contains_key(&input.name) {
            return Err(errors::conflict(format!(
                "Alias already exists: {}",
                qualified_arn(account, &self.name, &input.name)
            )));
        }
        let main = input
            .function_version
            .ok_or_else(|| errors::invalid("FunctionVersion is required."))?;
        let additional = input.routing_config.map(additional).transpose()?.flatten();
        check(self, account, &main, additional.as_ref())?;
        let alias = Alias {
            name: input.name.clone(),
            function_version: main,
            description: input.description.unwrap_or_default(),
            additional,
            revision: Uuid::new_v4().to_string(),
        };
        let shown = alias.describe(account, &self.name);
        self.aliases.insert(input.name, alias);
        Ok(shown)
    }

    pub(crate) fn update_alias(&mut self, account: &Account, input: AliasInput) -> Result<Value, AwsError> {
        let current = self
            .aliases
            .get(&input.name)
            .ok_or_else(|| self.alias_not_found(account, &input.name))?;
        if input.revision_id.is_some_and(|given| given != current.revision) {
            return Err(errors::stale_revision("GetFunction/GetAlias"));
        }
        let main = input
            .function_version
            .unwrap_or_else(|| current.function_version.clone());
        let additional = match input.routing_config {
            Some(routing) => additional(routing)?,
            None => current.additional.clone(),
        };
        check(self, account, &main, additional.as_ref())?;
        let alias = Alias {
            name: input.name.clone(),
            function_version: main,
            description: input.description.unwrap_or_else(|| current.description.clone()),
            additional,
            revision: Uuid::new_v4().to_string(),
        };
        let shown = alias.describe(account, &self.name);
        self.aliases.insert(input.name, alias);
        Ok(shown)
    }

    pub(crate) fn alias(&self, account: &Account, name: &str) -> Result<&Alias, AwsError> {
        self.aliases
            .get(name)
            .ok_or_else(|| self.alias_not_found(account, name))
    }

    /// Deleting what does not exist succeeds, as in AWS.
    pub(crate) fn delete_alias(&mut self, name: &str) {
        self.aliases.remove(name);
        self.policies.remove(name);
        self.event_configs.remove(name);
        self.urls.remove(name);
    }

    /// Aliases, by name; only those of one version where it is named.
    pub(crate) fn list_aliases(&self, account: &Account, version: Option<&str>) -> Vec<Value> {
        self.aliases
            .values()
            .filter(|alias| version.is_none_or(|number| alias.refers_to(number)))
            .map(|alias| alias.describe(account, &self.name))
            .collect()
    }

    /// A qualifier that permissions, event configurations and URLs can be attached to.
    pub(crate) fn check_qualifier(&self, account: &Account, reference: &Reference) -> Result<(), AwsError> {
        match reference.qualifier.as_deref() {
            Some(qualifier) if !self.aliases.contains_key(qualifier) && self.version(qualifier).is_none() => {
                Err(errors::function_not_found(&reference.arn(account)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_the_share_of_the_draws() {
        let alias = Alias {
            name: "live".to_owned(),
            function_version: "1".to_owned(),
            description: String::new(),
            additional: Some(("2".to_owned(), 0.1)),
            revision: String::new(),
        };
        let to_new = (0..1000)
            .filter(|n| alias.route(f64::from(*n) / 1000.0) == "2")
            .count();
        assert_eq!(to_new, 100);
        assert!(alias.refers_to("1") && alias.refers_to("2") && !alias.refers_to("3"));
    }
}
