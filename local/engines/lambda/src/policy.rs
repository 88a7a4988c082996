//! Resource policies: which services may invoke a function, and on whose behalf.

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};
use uuid::Uuid;

use crate::errors;

/// Services that act with a role of their own when they invoke a function; that role is checked where it is
/// given, not in the function's policy.
const WITH_OWN_ROLE: [&str; 3] = [
    "codedeploy.amazonaws.com",
    "codepipeline.amazonaws.com",
    "cloudformation.amazonaws.com",
];

pub(crate) const INVOKE: &str = "lambda:InvokeFunction";
pub(crate) const INVOKE_URL: &str = "lambda:InvokeFunctionUrl";

/// Input of `AddPermission`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Permission {
    statement_id: String,
    action: String,
    principal: String,
    source_arn: Option<String>,
    source_account: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    revision_id: Option<String>,
}

/// The statements of one function or of one of its qualifiers.
#[derive(Default)]
pub(crate) struct Policy {
    statements: Vec<Permission>,
    revision: String,
}

/// Who asks, as the statements' conditions see it.
pub(crate) struct Question<'a> {
    pub(crate) action: &'a str,
    /// A service's principal; none for everyone, as at a public function URL.
    pub(crate) principal: Option<&'a str>,
    pub(crate) source_arn: Option<&'a str>,
    pub(crate) source_account: &'a str,
    pub(crate) url_auth_type: Option<&'a str>,
}

impl Permission {
    fn describe(&self, resource: &str) -> Value {
        let principal = match self.principal.as_str() {
            "*" => json!("*"),
            service if service.ends_with(".amazonaws.com") => json!({ "Service": service }),
            account if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) => {
                json!({ "AWS": format!("arn:aws:iam::{account}:root") })
            }
            other => json!({ "AWS": other }),
        };
        let mut statement = json!({
            "Sid": self.statement_id,
            "Effect": "Allow",
            "Principal": principal,
            "Action": self.action,
            "Resource": resource,
        });
        let mut equals = serde_json::Map::new();
        if let Some(account) = &self.source_account {
            equals.insert("AWS:SourceAccount".to_owned(), json!(account));
        }
        if let Some(kind) = &self.function_url_auth_type {
            equals.insert("lambda:FunctionUrlAuthType".to_owned(), json!(kind));
        }
        if let Some(organisation) = &self.principal_org_id {
            equals.insert("aws:PrincipalOrgID".to_owned(), json!(organisation));
        }
        if !equals.is_empty() {
            statement["Condition"]["StringEquals"] = Value::Object(equals);
        }
        if let Some(arn) = &self.source_arn {
            statement["Condition"]["ArnLike"] = json!({ "AWS:SourceArn": arn });
        }
        if let Some(via_url) = self.invoked_via_function_url {
            statement["Condition"]["Bool"] = json!({ "lambda:InvokedViaFunctionUrl": via_url.to_string() });
        }
        statement
    }

    fn allows(&self, question: &Question<'_>) -> bool {
        let action = self.action == question.action || self.action == "lambda:*" || self.action == "*";
        let principal = self.principal == "*" || question.principal.is_some_and(|who| who == self.principal);
        let arn = self
            .source_arn
            .as_deref()
            .is_none_or(|pattern| question.source_arn.is_some_and(|arn| arn_like(pattern, arn)));
        let account = self
            .source_account
            .as_deref()
            .is_none_or(|account| account == question.source_account);
        let url_type = self
            .function_url_auth_type
            .as_deref()
            .is_none_or(|kind| question.url_auth_type == Some(kind));
        let via_url = self
            .invoked_via_function_url
            .is_none_or(|via| via == question.url_auth_type.is_some());
        action && principal && arn && account && url_type && via_url && self.principal_org_id.is_none()
    }
}

impl Policy {
    /// Adds a statement; answers it as JSON text.
    pub(crate) fn add(&mut self, permission: Permission, resource: &str) -> Result<String, AwsError> {
        self.check_revision(permission.revision_id.as_deref())?;
        if self
            .statements
            .iter()
            .any(|statement| statement.statement_id == permission.statement_id)
        {
            return Err(errors::conflict(format!(
                "The statement id ({}) provided already exists. Please provide a new statement id, or remove the \
                 existing statement.",
                permission.statement_id
            )));
        }
        let shown = permission.describe(resource).to_string();
        self.statements.push(permission);
        self.revision = Uuid::new_v4().to_string();
        Ok(shown)
    }

    pub(crate) fn remove(&mut self, statement_id: &str, revision: Option<&str>) -> Result<(), AwsError> {
        self.check_revision(revision)?;
        let before = self.statements.len();
        self.statements
            .retain(|statement| statement.statement_id != statement_id);
        if self.statements.len() == before {
            return Err(errors::not_found(format!(
                "Statement {statement_id} is not found in resource policy."
            )));
        }
        self.revision = Uuid::new_v4().to_string();
        Ok(())
    }

    /// `GetPolicy`'s answer; none where nothing was ever added, or all of it removed.
    pub(crate) fn describe(&self, resource: &str) -> Option<Value> {
        if self.statements.is_empty() {
            return None;
        }
        let statements: Vec<Value> = self.statements.iter().map(|s| s.describe(resource)).collect();
        let document = json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements });
        Some(json!({ "Policy": document.to_string(), "RevisionId": self.revision }))
    }

    pub(crate) fn allows(&self, question: &Question<'_>) -> bool {
        self.statements.iter().any(|statement| statement.allows(question))
    }

    fn check_revision(&self, given: Option<&str>) -> Result<(), AwsError> {
        match given {
            Some(given) if given != self.revision => Err(errors::stale_revision("GetPolicy")),
            _ => Ok(()),
        }
    }
}

/// Checks a caller of `Invoke` against the policy of what it names.
pub(crate) fn check_invoke(
    policy: Option<&Policy>,
    caller: &Caller,
    account: &str,
    resource: &str,
) -> Result<(), AwsError> {
    // The gateway has checked roles against their own policies, and the person here may do anything.
    let Caller::Service {
        principal,
        source_arn,
    } = caller
    else {
        return Ok(());
    };
    if WITH_OWN_ROLE.contains(&principal.as_str()) {
        return Ok(());
    }
    let question = Question {
        action: INVOKE,
        principal: Some(principal),
        source_arn: source_arn.as_deref(),
        source_account: source_arn.as_deref().and_then(account_of).unwrap_or(account),
        url_auth_type: None,
    };
    if policy.is_some_and(|policy| policy.allows(&question)) {
        return Ok(());
    }
    Err(errors::not_allowed(principal, INVOKE, resource))
}

/// The account in an ARN; S3's have none.
fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// `ArnLike`: each of the six parts by itself, `*` for any text and `?` for one character.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let patterns: Vec<&str> = pattern.splitn(6, ':').collect();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    if patterns.len() != 6 || parts.len() != 6 {
        return wildcard(pattern.as_bytes(), arn.as_bytes());
    }
    patterns
        .iter()
        .zip(&parts)
        .all(|(pattern, part)| wildcard(pattern.as_bytes(), part.as_bytes()))
}

fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                // The last star takes one character more.
                Some((after, from)) => {
                    p = after;
                    t = from + 1;
                    retry = Some((after, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "arn:aws:events:us-east-1:123456789012:rule/uploads";
    const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";

    fn policy(permission: Value) -> Policy {
        let mut policy = Policy::default();
        policy
            .add(serde_json::from_value(permission).unwrap(), FUNCTION)
            .unwrap();
        policy
    }

    fn asks(policy: &Policy, principal: &str, source_arn: &str) -> bool {
        check_invoke(
            Some(policy),
            &Caller::service_for(principal, source_arn),
            "123456789012",
            FUNCTION,
        )
        .is_ok()
    }

    #[test]
    fn a_service_needs_a_statement_that_names_it_and_its_source() {
        let policy = policy(json!({
            "StatementId": "s", "Action": INVOKE, "Principal": "events.amazonaws.com",
            "SourceArn": "arn:aws:events:us-east-1:123456789012:rule/up*",
        }));
        assert!(asks(&policy, "events.amazonaws.com", RULE));
        assert!(!asks(&policy, "sns.amazonaws.com", RULE));
        assert!(!asks(
            &policy,
            "events.amazonaws.com",
            "arn:aws:events:us-east-1:123456789012:rule/other"
        ));
        assert!(!asks(
            &policy,
            "events.amazonaws.com",
            "arn:aws:events:eu-west-1:123456789012:rule/uploads"
        ));
        let refused = check_invoke(
            None,
            &Caller::service("sns.amazonaws.com"),
            "123456789012",
            FUNCTION,
        );
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.status),
            ("AccessDeniedException", 403)
        );
    }

    #[test]
    fn the_source_account_is_the_bucket_owners() {
        let s3 = |account: &str| {
            policy(json!({
                "StatementId": "s", "Action": INVOKE, "Principal": "s3.amazonaws.com",
                "SourceArn": "arn:aws:s3:::uploads", "SourceAccount": account,
            }))
        };
        assert!(asks(
            &s3("123456789012"),
            "s3.amazonaws.com",
            "arn:aws:s3:::uploads"
        ));
        assert!(!asks(
            &s3("999999999999"),
            "s3.amazonaws.com",
            "arn:aws:s3:::uploads"
        ));
    }

    #[test]
    fn services_with_a_role_of_their_own_need_no_statement() {
        for principal in WITH_OWN_ROLE {
            assert!(check_invoke(None, &Caller::service(principal), "123456789012", FUNCTION).is_ok());
        }
        assert!(check_invoke(None, &Caller::Admin, "123456789012", FUNCTION).is_ok());
    }

    #[test]
    fn a_statement_for_urls_does_not_let_services_invoke() {
        let policy = policy(json!({
            "StatementId": "s", "Action": INVOKE, "Principal": "*", "InvokedViaFunctionUrl": true,
        }));
        assert!(!asks(&policy, "sns.amazonaws.com", RULE));
    }

    #[test]
    fn the_statement_is_shown_as_aws_writes_it() {
        let policy = policy(json!({
            "StatementId": "s", "Action": INVOKE_URL, "Principal": "*", "FunctionUrlAuthType": "NONE",
        }));
        let shown = policy.describe(FUNCTION).unwrap();
        let document: Value = serde_json::from_str(shown["Policy"].as_str().unwrap()).unwrap();
        assert_eq!(
            document["Statement"][0],
            json!({
                "Sid": "s", "Effect": "Allow", "Principal": "*", "Action": INVOKE_URL, "Resource": FUNCTION,
                "Condition": { "StringEquals": { "lambda:FunctionUrlAuthType": "NONE" } },
            })
        );
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*d", "abcbd", true),
            ("", "a", false),
        ] {
            assert_eq!(
                wildcard(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
