//! Failures of AWS, on purpose: throttling, refusals, lost answers, calls that hang.
//!
//! A [`Rule`] says which calls fail, how, and how often; [`Faults`] holds the rules of a running cloud. They
//! apply to what comes over the wire: the calls of functions, of builds, of the AWS CLI. What engines call
//! among themselves is not touched.
//!
//! A test sets a rule with [`Faults::inject`] and awaits that it has struck; a person sets one by HTTP, below
//! `/_signalbox/faults` of the gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use signalbox_local_core::{AwsError, Caller};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Which calls fail, how, and how often. Of several rules that fit, the first by name strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The service by botocore's name, such as `codepipeline` or `sns`.
    pub service: String,
    /// The operation, such as `Publish`; any, where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Who calls: a function's name, or a role by its ARN or name; anybody, where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Texts that the call's input must hold, such as a run's id. The input is looked at as JSON in the words
    /// of AWS's API reference; for S3, it is bucket, key and query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containing: Vec<String>,
    /// What happens to the call.
    pub what: Fault,
    /// Whether the call has had its effect by then.
    #[serde(default)]
    pub when: When,
    /// How many calls it strikes; every one, where no number is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// AWS answers with an error.
    #[serde(rename_all = "camelCase")]
    Error {
        /// AWS's code, such as `ThrottlingException`.
        code: String,
        /// The HTTP status, 400 if not given.
        #[serde(default = "bad_request")]
        status: u16,
        /// The message.
        #[serde(default = "injected")]
        message: String,
    },
    /// No answer ever comes; the connection stays open until the caller gives up or the rule is removed.
    Hang,
    /// The connection is reset.
    Reset,
    /// Status 200 and half of the body, then the connection ends. Always after the effect.
    Truncated,
    /// Status 200 and half of the body as if that were all of it. Always after the effect.
    Malformed,
}

const fn bad_request() -> u16 {
    400
}

fn injected() -> String {
    "injected by a rule of the local cloud".to_owned()
}

/// Whether a call that is struck has its effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// It never reaches the service.
    #[default]
    Before,
    /// The service has performed it; only the answer is lost.
    After,
}

impl Fault {
    /// An error of AWS's, by its code and HTTP status.
    #[must_use]
    pub fn error(code: &str, status: u16) -> Self {
        Self::Error {
            code: code.to_owned(),
            status,
            message: injected(),
        }
    }

    /// The error that it answers with, where it does.
    pub(crate) fn aws_error(&self) -> Option<AwsError> {
        let Self::Error {
            code,
            status,
            message,
        } = self
        else {
            return None;
        };
        Some(AwsError::new(code, message).with_status(*status))
    }
}

impl Rule {
    /// Strikes every call of an operation before it has its effect.
    #[must_use]
    pub fn new(service: &str, operation: &str, what: Fault) -> Self {
        Self {
            service: service.to_owned(),
            operation: Some(operation.to_owned()),
            caller: None,
            containing: Vec::new(),
            what,
            when: When::Before,
            times: None,
        }
    }

    /// Strikes every call of a service before it has its effect.
    #[must_use]
    pub fn every(service: &str, what: Fault) -> Self {
        Self {
            operation: None,
            ..Self::new(service, "", what)
        }
    }

    /// Only calls of this function or role.
    #[must_use]
    pub fn by(mut self, caller: &str) -> Self {
        self.caller = Some(caller.to_owned());
        self
    }

    /// Only calls whose input holds this text too.
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        self.containing.push(text.to_owned());
        self
    }

    /// Only so many calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// After the call has had its effect.
    #[must_use]
    pub fn after(mut self) -> Self {
        self.when = When::After;
        self
    }

    fn fits(&self, call: &Call<'_>) -> bool {
        self.service == call.service
            && self
                .operation
                .as_deref()
                .is_none_or(|operation| operation == call.operation)
            && self.caller.as_deref().is_none_or(|name| is(call.caller, name))
            && self.containing.iter().all(|text| call.input.contains(text))
    }
}

/// Whether a caller goes by that name.
fn is(caller: &Caller, name: &str) -> bool {
    match caller {
        Caller::Role { arn, session } => {
            session == name
                || arn == name
                || arn.strip_suffix(name).is_some_and(|before| before.ends_with('/'))
        }
        Caller::Admin | Caller::Service { .. } => false,
    }
}

/// A call, as rules look at it.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) caller: &'a Caller,
    pub(crate) input: &'a str,
}

/// A rule that is set, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// The rule.
    pub rule: Rule,
    /// How many calls it has struck.
    pub hits: u32,
}

struct Entry {
    rule: Rule,
    /// Calls that it has been chosen for; those whose effect is awaited still are no hits yet.
    chosen: u32,
    hits: u32,
    gone: CancellationToken,
}

/// The rules of a cloud.
pub struct Faults {
    rules: Mutex<BTreeMap<String, Entry>>,
    /// Told of every hit.
    hit: watch::Sender<()>,
    /// Counts the rules of tests.
    next: Mutex<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            hit: watch::Sender::new(()),
            next: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// Sets a rule, in the place of the one of that name.
    pub fn set(&self, name: &str, rule: Rule) {
        let entry = Entry {
            rule,
            chosen: 0,
            hits: 0,
            gone: CancellationToken::new(),
        };
        if let Some(before) = lock(&self.rules).insert(name.to_owned(), entry) {
            before.gone.cancel();
        }
    }

    /// Removes a rule: what hangs by it is reset. False where there is none.
    pub fn remove(&self, name: &str) -> bool {
        let removed = lock(&self.rules).remove(name);
        if let Some(entry) = &removed {
            entry.gone.cancel();
        }
        removed.is_some()
    }

    /// Removes every rule.
    pub fn clear(&self) {
        for entry in std::mem::take(&mut *lock(&self.rules)).values() {
            entry.gone.cancel();
        }
    }

    /// Every rule that is set, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Standing> {
        let rules = lock(&self.rules);
        rules
            .iter()
            .map(|(name, entry)| Standing {
                name: name.clone(),
                rule: entry.rule.clone(),
                hits: entry.hits,
            })
            .collect()
    }

    /// How many calls a rule has struck; `None` where there is none of that name.
    #[must_use]
    pub fn hits(&self, name: &str) -> Option<u32> {
        lock(&self.rules).get(name).map(|entry| entry.hits)
    }

    /// Sets a rule for as long as what is answered lives.
    #[must_use = "dropped, it is removed"]
    pub fn inject(self: &Arc<Self>, rule: Rule) -> Injected {
        let number = {
            let mut next = lock(&self.next);
            *next += 1;
            *next
        };
        let name = format!("injected-{number:08}");
        self.set(&name, rule);
        Injected {
            faults: Arc::clone(self),
            name,
        }
    }

    /// Whether any rule is about this service: most often none is, and then nothing need be looked at.
    pub(crate) fn concern(&self, service: &str) -> bool {
        lock(&self.rules)
            .values()
            .any(|entry| entry.rule.service == service)
    }

    /// The strike that hits this call.
    pub(crate) fn strike(self: &Arc<Self>, call: &Call<'_>) -> Option<Strike> {
        let mut rules = lock(&self.rules);
        let (name, entry) = rules.iter_mut().find(|(_, entry)| {
            entry.rule.times.is_none_or(|times| entry.chosen < times) && entry.rule.fits(call)
        })?;
        entry.chosen += 1;
        Some(Strike {
            faults: Arc::clone(self),
            name: name.clone(),
            fault: entry.rule.what.clone(),
            when: entry.rule.when,
            gone: entry.gone.clone(),
        })
    }
}

/// A rule that is removed once this is dropped.
pub struct Injected {
    faults: Arc<Faults>,
    name: String,
}

impl Injected {
    /// How many calls it has struck.
    #[must_use]
    pub fn hits(&self) -> u32 {
        self.faults.hits(&self.name).unwrap_or_default()
    }

    /// Waits until it has struck so many calls.
    pub async fn has_hit(&self, times: u32) {
        let mut hit = self.faults.hit.subscribe();
        while self.hits() < times {
            // The sender lives as long as `self.faults` does.
            if hit.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        self.faults.remove(&self.name);
    }
}

/// A rule's effect on one call.
pub(crate) struct Strike {
    faults: Arc<Faults>,
    name: String,
    pub(crate) fault: Fault,
    when: When,
    gone: CancellationToken,
}

impl Strike {
    /// Whether the call is performed.
    pub(crate) fn performs(&self) -> bool {
        self.when == When::After || matches!(self.fault, Fault::Truncated | Fault::Malformed)
    }

    /// Counts it.
    pub(crate) fn hits(&self) {
        if let Some(entry) = lock(&self.faults.rules).get_mut(&self.name) {
            entry.hits += 1;
        }
        self.faults.hit.send_replace(());
    }

    /// Lasts until the rule is removed.
    pub(crate) async fn until_removed(&self) {
        self.gone.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn role(name: &str) -> Caller {
        Caller::Role {
            arn: format!("arn:aws:iam::123456789012:role/{name}-role"),
            session: name.to_owned(),
        }
    }

    fn strikes(faults: &Arc<Faults>, operation: &str, caller: &Caller, input: &str) -> bool {
        let call = Call {
            service: "sns",
            operation,
            caller,
            input,
        };
        let strike = faults.strike(&call);
        if let Some(strike) = &strike {
            strike.hits();
        }
        strike.is_some()
    }

    #[test]
    fn a_rule_strikes_what_it_names_and_nothing_else() {
        let faults = Arc::new(Faults::default());
        let rule = Rule::new("sns", "Publish", Fault::Reset)
            .by("track-run")
            .containing("run-1");
        let _rule = faults.inject(rule);
        let ours = role("track-run");
        assert!(!strikes(&faults, "Subscribe", &ours, "run-1"));
        assert!(!strikes(&faults, "Publish", &ours, "run-2"));
        assert!(!strikes(&faults, "Publish", &role("other-track-run"), "run-1"));
        assert!(!strikes(&faults, "Publish", &Caller::Admin, "run-1"));
        assert!(strikes(&faults, "Publish", &ours, "about run-1"));
        let by_role = Rule::new("sns", "Publish", Fault::Reset).by("track-run-role");
        let _by_role = faults.inject(by_role);
        assert!(strikes(&faults, "Publish", &ours, "run-2"));
    }

    #[tokio::test]
    async fn it_strikes_so_often_is_counted_and_ends_with_its_guard() {
        let faults = Arc::new(Faults::default());
        let injected = faults.inject(Rule::new("sns", "Publish", Fault::error("Throttled", 429)).times(2));
        assert!(faults.concern("sns") && !faults.concern("s3"));
        let mut waiting = Box::pin(injected.has_hit(2));
        assert!(strikes(&faults, "Publish", &Caller::Admin, ""));
        assert!(
            tokio::time::timeout(Duration::ZERO, &mut waiting).await.is_err(),
            "one hit is not two"
        );
        assert!(strikes(&faults, "Publish", &Caller::Admin, ""));
        waiting.await;
        assert!(
            !strikes(&faults, "Publish", &Caller::Admin, ""),
            "twice means twice"
        );
        assert_eq!(injected.hits(), 2);
        drop(injected);
        assert!(!faults.concern("sns") && faults.all().is_empty());
    }

    #[tokio::test]
    async fn what_hangs_ends_with_its_rule() {
        let faults = Arc::new(Faults::default());
        faults.set("by-hand", Rule::new("sns", "Publish", Fault::Hang));
        let call = Call {
            service: "sns",
            operation: "Publish",
            caller: &Caller::Admin,
            input: "",
        };
        let strike = faults.strike(&call).unwrap();
        assert!(
            tokio::time::timeout(Duration::ZERO, strike.until_removed())
                .await
                .is_err()
        );
        assert!(faults.remove("by-hand") && !faults.remove("by-hand"));
        strike.until_removed().await;
    }

    #[test]
    fn a_rule_is_read_from_json_and_a_misspelt_one_is_refused() {
        let rule: Rule = serde_json::from_value(json!({
            "service": "sns", "operation": "Publish", "what": {"error": {"code": "Throttled", "status": 429}}, "times": 2,
        }))
        .unwrap();
        let expected = Rule::new("sns", "Publish", Fault::error("Throttled", 429)).times(2);
        assert_eq!(rule, expected);
        let any: Rule =
            serde_json::from_value(json!({"service": "s3", "what": "hang", "when": "after"})).unwrap();
        assert_eq!(
            (any.operation, any.what, any.when),
            (None, Fault::Hang, When::After)
        );
        for wrong in [
            json!({"service": "sns", "what": "explode"}),
            json!({"service": "sns", "what": "hang", "time": 1}),
            json!({"what": "hang"}),
        ] {
            assert!(serde_json::from_value::<Rule>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
