//! Rollbacks: what was done about a deployment, which code is remembered as bad, what people commanded.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signalbox_decision::names::{DeploymentId, FunctionName, VersionNumber};

use crate::table::{RowKey, Step};
use crate::{Ledger, LedgerError};

/// As long as a run's timeline.
const COMMANDS_KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The kind of [`Ledger::get_value`] under which bad code is remembered, by
/// `<function>/<code_sha256>`: what people see of a version is its number, but the same code can be
/// published again under another.
pub const BAD_VERSION: &str = "bad-version";

/// Code that was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadVersion {
    /// The function.
    pub function: FunctionName,
    /// Lambda's `CodeSha256` (Base64).
    pub code_sha256: String,
    /// The version that was rolled back.
    pub version: VersionNumber,
    /// The deployment that had brought it.
    pub deployment: DeploymentId,
    /// What it was rolled back for: an alarm's name, or a person's words.
    pub alarm: String,
    /// When.
    pub at: Timestamp,
    /// Who has allowed it again since, if anybody has.
    pub allowed: Option<Allowed>,
}

/// A person's word that bad code may be released again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

fn key(deployment: &str) -> RowKey {
    RowKey::new(format!("DEPLOYMENT#{deployment}"), "ROLLBACK")
}

fn bad_key(function: &FunctionName, code_sha256: &str) -> RowKey {
    RowKey::new(
        format!("VALUE#{BAD_VERSION}"),
        format!("{function}/{code_sha256}"),
    )
}

impl Ledger {
    /// Writes what was done about a deployment, in the place of what was written before. Kept for good:
    /// rollbacks are rare, and asked about long after.
    ///
    /// # Errors
    /// If the ledger cannot write it.
    pub async fn record_rollback(&self, deployment: &str, record: Value) -> Result<(), LedgerError> {
        let decide = |_: Option<Value>| {
            Ok(Step::Write {
                body: record.clone(),
                expires: None,
                then: (),
            })
        };
        // Nothing here expires, so that no moment matters.
        self.table
            .change(&key(deployment), Timestamp::UNIX_EPOCH, true, decide)
            .await
            .map(drop)
    }

    /// What was done about a deployment, if anything was.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn load_rollback(&self, deployment: &str) -> Result<Option<Value>, LedgerError> {
        Ok(self
            .table
            .read(&key(deployment), None)
            .await?
            .map(|(record, _)| record))
    }

    /// Remembers code as bad, for good. Told again of the same deployment it changes nothing, so that a
    /// person's word that came in between stands; another deployment of the code is new evidence, and the
    /// word has to be given anew.
    ///
    /// # Errors
    /// If the ledger cannot write it.
    pub async fn remember_bad_version(&self, bad: &BadVersion) -> Result<(), LedgerError> {
        let decide = |found: Option<BadVersion>| {
            Ok(match found {
                Some(found) if found.deployment == bad.deployment => Step::Leave(()),
                _ => Step::Write {
                    body: bad.clone(),
                    expires: None,
                    then: (),
                },
            })
        };
        let key = bad_key(&bad.function, &bad.code_sha256);
        self.table.change(&key, bad.at, false, decide).await.map(drop)
    }

    /// Lets bad code be released again; answers what is remembered of it, `None` where nothing is.
    ///
    /// # Errors
    /// If the ledger cannot write it.
    pub async fn allow_bad_version(
        &self,
        function: &FunctionName,
        code_sha256: &str,
        allowed: &Allowed,
    ) -> Result<Option<BadVersion>, LedgerError> {
        let decide = |found: Option<BadVersion>| {
            Ok(match found {
                None => Step::Leave(None),
                Some(found) => {
                    let body = BadVersion {
                        allowed: Some(allowed.clone()),
                        ..found
                    };
                    Step::Write {
                        then: Some(body.clone()),
                        body,
                        expires: None,
                    }
                }
            })
        };
        let key = bad_key(function, code_sha256);
        Ok(self.table.change(&key, allowed.at, false, decide).await?.0)
    }

    /// What is remembered of code, if anything is.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn bad_version(
        &self,
        function: &FunctionName,
        code_sha256: &str,
    ) -> Result<Option<BadVersion>, LedgerError> {
        let found = self.table.read(&bad_key(function, code_sha256), None).await?;
        Ok(found.map(|(bad, _)| bad))
    }

    /// All code that is remembered as bad, whether allowed since or not.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn bad_versions(&self) -> Result<Vec<BadVersion>, LedgerError> {
        let pk = format!("VALUE#{BAD_VERSION}");
        let rows = self.table.query(&pk, "").await?;
        let read = rows
            .into_iter()
            .map(|(sk, row)| row.read(&RowKey::new(pk.clone(), sk)));
        read.collect()
    }

    /// Adds a line to the audit of what people commanded about `subject` (a pipeline): once for each `id`
    /// (the invocation's request id), in the place of what that one said before.
    ///
    /// # Errors
    /// If the ledger cannot write it; then the command is not carried out.
    pub async fn record_command(
        &self,
        subject: &str,
        id: &str,
        line: Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let key = RowKey::new(format!("COMMANDS#{subject}"), format!("{now:.3}#{id}"));
        let decide = |_: Option<Value>| {
            Ok(Step::Write {
                body: line.clone(),
                expires: now.saturating_add(COMMANDS_KEPT).ok(),
                then: (),
            })
        };
        self.table.change(&key, now, false, decide).await.map(drop)
    }

    /// What people commanded about `subject`, oldest first.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn commands(&self, subject: &str) -> Result<Vec<Value>, LedgerError> {
        let pk = format!("COMMANDS#{subject}");
        let rows = self.table.query(&pk, "").await?;
        let read = rows
            .into_iter()
            .map(|(sk, row)| row.read(&RowKey::new(pk.clone(), sk)));
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn bad(deployment: &str) -> BadVersion {
        BadVersion {
            function: FunctionName::new("app").unwrap(),
            code_sha256: "a/b+c=".to_owned(),
            version: VersionNumber::new("4").unwrap(),
            deployment: DeploymentId::new(deployment).unwrap(),
            alarm: "errors".to_owned(),
            at: at(100),
            allowed: None,
        }
    }

    #[tokio::test]
    async fn a_persons_word_stands_until_there_is_new_evidence() {
        let ledger = Ledger::memory();
        let first = bad("d-1");
        let (function, code) = (&first.function, first.code_sha256.as_str());
        let allowed = Allowed {
            by: "ann@example.com".to_owned(),
            reason: "the alarm was wrong".to_owned(),
            at: at(200),
        };
        let none = ledger.allow_bad_version(function, code, &allowed).await.unwrap();
        assert_eq!(none, None, "nothing is remembered yet");
        ledger.remember_bad_version(&first).await.unwrap();
        let shown = ledger
            .get_value(BAD_VERSION, "app/a/b+c=", at(100))
            .await
            .unwrap();
        assert_eq!(shown, Some(json!(first)));
        assert_eq!(shown.unwrap()["allowed"], Value::Null);
        let word = ledger.allow_bad_version(function, code, &allowed).await.unwrap();
        assert_eq!(word.and_then(|bad| bad.allowed), Some(allowed.clone()));
        // The same event again.
        ledger.remember_bad_version(&first).await.unwrap();
        let found = ledger.bad_version(function, code).await.unwrap().unwrap();
        assert_eq!(found.allowed, Some(allowed));
        ledger.remember_bad_version(&bad("d-2")).await.unwrap();
        let found = ledger.bad_versions().await.unwrap();
        assert_eq!(found, [bad("d-2")]);
    }

    #[tokio::test]
    async fn commands_are_listed_in_the_order_of_their_time() {
        let ledger = Ledger::memory();
        for (id, second) in [("b", 20), ("a", 10), ("b", 20)] {
            let line = json!({ "id": id });
            ledger.record_command("p", id, line, at(second)).await.unwrap();
        }
        let lines = ledger.commands("p").await.unwrap();
        assert_eq!(lines, [json!({ "id": "a" }), json!({ "id": "b" })]);
        assert_eq!(ledger.commands("q").await.unwrap(), Vec::<Value>::new());
    }
}
