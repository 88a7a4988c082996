//! Functions and their versions: what exists, and Lambda's rules for changing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use signalbox_local_core::{Account, AwsError};
use uuid::Uuid;

use crate::aliases::Alias;
use crate::code::Code;
use crate::configs::{EventInvokeConfig, UrlConfig};
use crate::errors;
use crate::policy::Policy;
use crate::reference::{self, LATEST, Reference};
use crate::settings::{Change, Settings};

/// A version: code and configuration that belong together. Published ones never change.
pub(crate) struct Version {
    pub(crate) function: String,
    /// `$LATEST`, or a number.
    pub(crate) number: String,
    pub(crate) settings: Settings,
    pub(crate) code: Arc<Code>,
    /// New with every change: idle processes of another revision are of no use.
    pub(crate) revision: String,
    modified: Timestamp,
}

/// A function with all that is attached to it.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) latest: Arc<Version>,
    pub(crate) published: BTreeMap<u64, Arc<Version>>,
    /// Numbers are never given twice, even after the version was deleted.
    highest: u64,
    /// `$LATEST` as it was when the newest version was made of it.
    published_from: Option<(Settings, String)>,
    pub(crate) aliases: BTreeMap<String, Alias>,
    /// By qualifier; the empty one is the function's own.
    pub(crate) policies: BTreeMap<String, Policy>,
    pub(crate) reserved: Option<u32>,
    pub(crate) event_configs: BTreeMap<String, EventInvokeConfig>,
    /// By alias; the empty one is the function's own.
    pub(crate) urls: BTreeMap<String, UrlConfig>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Which version one invocation goes to.
pub(crate) struct Target {
    pub(crate) version: Arc<Version>,
    /// As the metrics name it: `fn`, or `fn:qualifier`.
    pub(crate) resource: String,
    pub(crate) through_alias: bool,
    pub(crate) invoked_arn: String,
}

/// Every function of the account.
pub(crate) struct Registry {
    account: Account,
    pub(crate) functions: BTreeMap<String, Function>,
}

fn modified(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

impl Version {
    fn latest(function: &str, settings: Settings, code: Arc<Code>, now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            function: function.to_owned(),
            number: LATEST.to_owned(),
            settings,
            code,
            revision: Uuid::new_v4().to_string(),
            modified: now,
        })
    }

    /// `FunctionConfiguration`; the ARN carries the qualifier by which the version was asked for.
    pub(crate) fn configuration(&self, account: &Account, qualifier: Option<&str>) -> Value {
        let mut shown: Map<String, Value> = self.settings.describe(&self.function);
        let arn = match qualifier {
            None => reference::arn(account, &self.function),
            Some(qualifier) => reference::qualified_arn(account, &self.function, qualifier),
        };
        for (name, value) in [
            ("FunctionName", json!(self.function)),
            ("FunctionArn", json!(arn)),
            ("Version", json!(self.number)),
            ("CodeSha256", json!(self.code.sha256)),
            ("CodeSize", json!(self.code.size)),
            ("LastModified", json!(modified(self.modified))),
            ("RevisionId", json!(self.revision)),
            ("State", json!("Active")),
            ("LastUpdateStatus", json!("Successful")),
        ] {
            shown.insert(name.to_owned(), value);
        }
        Value::Object(shown)
    }
}

fn check_revision(given: Option<&str>, current: &str) -> Result<(), AwsError> {
    match given {
        Some(given) if given != current => Err(errors::stale_revision("GetFunction/GetAlias")),
        _ => Ok(()),
    }
}

impl Function {
    /// The version that a number or `$LATEST` names.
    pub(crate) fn version(&self, number: &str) -> Option<&Arc<Version>> {
        if number == LATEST {
            return Some(&self.latest);
        }
        self.published.get(&number.parse().ok()?)
    }

    /// True where a process of this version can still be of use.
    pub(crate) fn uses(&self, version: &Version) -> bool {
        self.version(&version.number)
            .is_some_and(|current| current.revision == version.revision)
    }

    pub(crate) fn update_code(
        &mut self,
        code: Arc<Code>,
        revision: Option<&str>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        check_revision(revision, &self.latest.revision)?;
        self.latest = Version::latest(&self.name, self.latest.settings.clone(), code, now);
        Ok(())
    }

    pub(crate) fn update_configuration(
        &mut self,
        change: Change,
        revision: Option<&str>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        check_revision(revision, &self.latest.revision)?;
        let mut settings = self.latest.settings.clone();
        settings.apply(change)?;
        self.latest = Version::latest(&self.name, settings, self.latest.code.clone(), now);
        Ok(())
    }

    /// Makes a version of `$LATEST`; where nothing changed since the newest one, answers that.
    pub(crate) fn publish(
        &mut self,
        description: Option<String>,
        sha256: Option<&str>,
        revision: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Version>, AwsError> {
        check_revision(revision, &self.latest.revision)?;
        if let Some(expected) = sha256
            && expected != self.latest.code.sha256
        {
            return Err(errors::invalid(format!(
                "CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST ({}). Please try again \
                 with the CodeSHA256 in $LATEST.",
                self.latest.code.sha256
            )));
        }
        let from = (self.latest.settings.clone(), self.latest.code.sha256.clone());
        if let Some(newest) = self.published.get(&self.highest)
            && self.published_from.as_ref() == Some(&from)
        {
            return Ok(newest.clone());
        }
        self.highest += 1;
        let mut settings = self.latest.settings.clone();
        if let Some(description) = description {
            settings.description = description;
        }
        let version = Arc::new(Version {
            function: self.name.clone(),
            number: self.highest.to_string(),
            settings,
            code: self.latest.code.clone(),
            revision: Uuid::new_v4().to_string(),
            modified: now,
        });
        self.published.insert(self.highest, version.clone());
        self.published_from = Some(from);
        Ok(version)
    }

    fn delete_version(&mut self, number: &str) -> Result<(), AwsError> {
        if number == LATEST {
            return Err(errors::invalid(
                "$LATEST version cannot be deleted without deleting the function.",
            ));
        }
        let Ok(parsed) = number.parse::<u64>() else {
            return Err(errors::invalid(
                "Deletion of aliases is not currently supported; use DeleteAlias for an alias.",
            ));
        };
        let aliases: Vec<&str> = self
            .aliases
            .values()
            .filter(|a| a.refers_to(number))
            .map(Alias::name)
            .collect();
        if !aliases.is_empty() {
            return Err(errors::conflict(format!(
                "Unable to delete version because the following aliases reference it: [{}]",
                aliases.join(", ")
            )));
        }
        // As AWS: what does not exist any more is as good as deleted.
        self.published.remove(&parsed);
        Ok(())
    }
}

impl Registry {
    pub(crate) fn new(account: Account) -> Self {
        Self {
            account,
            functions: BTreeMap::new(),
        }
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn get(&self, reference: &Reference) -> Result<&Function, AwsError> {
        self.functions
            .get(&reference.name)
            .ok_or_else(|| errors::function_not_found(&reference.arn(&self.account)))
    }

    pub(crate) fn get_mut(&mut self, reference: &Reference) -> Result<&mut Function, AwsError> {
        let arn = reference.arn(&self.account);
        self.functions
            .get_mut(&reference.name)
            .ok_or_else(|| errors::function_not_found(&arn))
    }

    pub(crate) fn create(
        &mut self,
        name: &str,
        settings: Settings,
        code: Arc<Code>,
        tags: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<&mut Function, AwsError> {
        if self.functions.contains_key(name) {
            return Err(errors::conflict(format!("Function already exist: {name}")));
        }
        let function = Function {
            name: name.to_owned(),
            latest: Version::latest(name, settings, code, now),
            published: BTreeMap::new(),
            highest: 0,
            published_from: None,
            aliases: BTreeMap::new(),
            policies: BTreeMap::new(),
            reserved: None,
            event_configs: BTreeMap::new(),
            urls: BTreeMap::new(),
            tags,
        };
        Ok(self.functions.entry(name.to_owned()).or_insert(function))
    }

    /// Deletes a function, or one version of it.
    pub(crate) fn delete(&mut self, reference: &Reference) -> Result<(), AwsError> {
        let function = self.get_mut(reference)?;
        match &reference.qualifier {
            Some(number) => function.delete_version(number),
            None => {
                self.functions.remove(&reference.name);
                Ok(())
            }
        }
    }

    /// The version that a qualifier names, through an alias's main version where it names an alias.
    pub(crate) fn version(&self, reference: &Reference) -> Result<&Arc<Version>, AwsError> {
        let function = self.get(reference)?;
        let Some(qualifier) = reference.qualifier.as_deref() else {
            return Ok(&function.latest);
        };
        let number = function
            .aliases
            .get(qualifier)
            .map_or(qualifier, Alias::function_version);
        function
            .version(number)
            .ok_or_else(|| errors::function_not_found(&reference.arn(&self.account)))
    }

    /// Where one invocation goes. `draw` decides between the versions of a weighted alias: uniform in [0, 1).
    pub(crate) fn target(&self, reference: &Reference, draw: f64) -> Result<Target, AwsError> {
        let function = self.get(reference)?;
        let missing = || errors::function_not_found(&reference.arn(&self.account));
        let (number, through_alias) = match reference.qualifier.as_deref() {
            None => (LATEST, false),
            Some(qualifier) => match function.aliases.get(qualifier) {
                Some(alias) => (alias.route(draw), true),
                None => (qualifier, false),
            },
        };
        Ok(Target {
            version: function.version(number).ok_or_else(missing)?.clone(),
            resource: match &reference.qualifier {
                None => reference.name.clone(),
                Some(qualifier) => format!("{}:{qualifier}", reference.name),
            },
            through_alias,
            invoked_arn: reference.arn(&self.account),
        })
    }

    /// Concurrency that functions have reserved for themselves.
    pub(crate) fn reserved_total(&self) -> u32 {
        self.functions
            .values()
            .filter_map(|function| function.reserved)
            .sum()
    }
}
