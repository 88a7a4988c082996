//! Roles and their policies, as the calls that made them said, and what was asked of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use signalbox_local_core::{Account, AwsError, Caller};

use super::document::{Context, Decision, Document, action_matches, decide};
use super::managed;
use super::needs::Needed;
use super::pattern::arn_matches;

#[derive(Debug, Default)]
struct Role {
    arn: String,
    inline: BTreeMap<String, Document>,
    attached: BTreeSet<String>,
    boundary: Option<String>,
    /// Since it has lost a policy and got none. If the role goes as well, that was its removal, and who was under way
    /// then was refused for that alone.
    refused_since: Option<Vec<Asked>>,
}

#[derive(Debug, Default)]
struct Managed {
    versions: BTreeMap<String, Document>,
    default: String,
}

/// One permission that a role's session asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The role's ARN.
    pub role: String,
    /// The session; for a function, its name.
    pub session: String,
    /// For example `sns:Publish`.
    pub action: String,
    /// The resource's ARN, or `*`.
    pub resource: String,
    /// Whether the role's policies allow it.
    pub allowed: bool,
    /// How often it was asked for.
    pub calls: u64,
}

/// Something that a role's policies allow, as it is written in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The policy's name or ARN.
    pub policy: String,
    /// The action, maybe with wildcards.
    pub action: String,
    /// The resource, maybe with wildcards.
    pub resource: String,
}

/// Role, session, action, resource, allowed.
type Asked = (String, String, String, String, bool);

#[derive(Debug, Default)]
struct State {
    roles: HashMap<String, Role>,
    /// The names of roles that are no more.
    gone: HashSet<String>,
    managed: HashMap<String, Managed>,
    asked: BTreeMap<Asked, u64>,
}

/// What roles may do.
#[derive(Debug)]
pub struct Policies {
    account_id: String,
    state: Mutex<State>,
}

/// The last part of a role's ARN: names are unique in an account, whatever their path.
fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

impl Policies {
    pub(crate) fn new(account_id: &str) -> Self {
        Self {
            account_id: account_id.to_owned(),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an IAM call that has succeeded.
    pub(crate) fn observe(&self, operation: &str, input: &Value, output: &Value) {
        let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
        let (role, policy_arn) = (text("RoleName"), text("PolicyArn"));
        let document = || {
            Document::parse(&text("PolicyDocument")).unwrap_or_else(|why| {
                tracing::warn!(operation, role, why, "a policy cannot be read; it allows nothing");
                Document::default()
            })
        };
        let mut state = self.lock();
        match operation {
            "CreateRole" => {
                let path = input["Path"].as_str().unwrap_or("/");
                let made = format!("arn:aws:iam::{}:role{path}{role}", self.account_id);
                let arn = output["Role"]["Arn"].as_str().map_or(made, str::to_owned);
                let boundary = input["PermissionsBoundary"].as_str().map(str::to_owned);
                state.gone.remove(&role);
                state.roles.insert(
                    role,
                    Role {
                        arn,
                        boundary,
                        ..Role::default()
                    },
                );
            }
            "DeleteRole" => {
                state.remove(&role);
            }
            "PutRolePolicy" => {
                let role = state.roles.entry(role.clone()).or_default();
                role.inline.insert(text("PolicyName"), document());
                role.refused_since = None;
            }
            "DeleteRolePolicy" => {
                if let Some(role) = state.roles.get_mut(&role) {
                    role.inline.remove(&text("PolicyName"));
                    role.refused_since.get_or_insert_default();
                }
            }
            "AttachRolePolicy" => {
                let role = state.roles.entry(role).or_default();
                role.attached.insert(policy_arn);
                role.refused_since = None;
            }
            "DetachRolePolicy" => {
                if let Some(role) = state.roles.get_mut(&role) {
                    role.attached.remove(&policy_arn);
                    role.refused_since.get_or_insert_default();
                }
            }
            "PutRolePermissionsBoundary" => {
                state.roles.entry(role).or_default().boundary = Some(text("PermissionsBoundary"));
            }
            "DeleteRolePermissionsBoundary" => {
                if let Some(role) = state.roles.get_mut(&role) {
                    role.boundary = None;
                }
            }
            "CreatePolicy" => {
                if let Some(arn) = output["Policy"]["Arn"].as_str() {
                    let version = output["Policy"]["DefaultVersionId"]
                        .as_str()
                        .unwrap_or("v1")
                        .to_owned();
                    let versions = BTreeMap::from([(version.clone(), document())]);
                    state.managed.insert(
                        arn.to_owned(),
                        Managed {
                            versions,
                            default: version,
                        },
                    );
                }
            }
            "CreatePolicyVersion" => {
                if let Some(version) = output["PolicyVersion"]["VersionId"].as_str() {
                    let managed = state.managed.entry(policy_arn).or_default();
                    managed.versions.insert(version.to_owned(), document());
                    if input["SetAsDefault"].as_bool() == Some(true) {
                        version.clone_into(&mut managed.default);
                    }
                }
            }
            "SetDefaultPolicyVersion" => {
                state.managed.entry(policy_arn).or_default().default = text("VersionId");
            }
            "DeletePolicyVersion" => {
                if let Some(managed) = state.managed.get_mut(&policy_arn) {
                    managed.versions.remove(&text("VersionId"));
                }
            }
            "DeletePolicy" => {
                state.managed.remove(&policy_arn);
            }
            _ => {}
        }
    }

    /// Refuses what the caller's role does not allow; remembers every permission that was asked for, but of a role that is
    /// being deleted: what it has lost by that says nothing of what it should have had.
    pub(crate) fn check(
        &self,
        caller: &Caller,
        needed: &[Needed],
        account: &Account,
    ) -> Result<(), AwsError> {
        let Caller::Role { arn, session } = caller else {
            return Ok(());
        };
        let mut state = self.lock();
        let mut refused = None;
        for need in needed {
            for resource in &need.resources {
                let context = full_context(need, arn, session, account);
                let decision = state.decide(arn, &need.action, resource, &context);
                let asked = (
                    arn.clone(),
                    session.clone(),
                    need.action.clone(),
                    resource.clone(),
                    decision == Decision::Allowed,
                );
                state.remember(asked);
                if decision != Decision::Allowed && refused.is_none() {
                    refused = Some((need.action.clone(), resource.clone(), decision));
                }
            }
        }
        drop(state);
        let Some((action, resource, decision)) = refused else {
            return Ok(());
        };
        let who = caller.display_arn(&account.id);
        tracing::warn!(role = arn, session, action, resource, "access denied");
        Err(match decision {
            Decision::Denied => AwsError::new(
                "AccessDeniedException",
                format!(
                    "User: {who} is not authorized to perform: {action} on resource: {resource} with an explicit deny in \
                     an identity-based policy"
                ),
            ),
            Decision::Allowed | Decision::NotAllowed => AwsError::access_denied(&who, &action, &resource),
        })
    }

    /// Every permission that was asked for, sorted by role, session, action and resource.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        let usage = |((role, session, action, resource, allowed), calls): (&Asked, &u64)| Usage {
            role: role.clone(),
            session: session.clone(),
            action: action.clone(),
            resource: resource.clone(),
            allowed: *allowed,
            calls: *calls,
        };
        self.lock().asked.iter().map(usage).collect()
    }

    /// The ARNs of all roles, sorted.
    #[must_use]
    pub fn roles(&self) -> Vec<String> {
        let mut arns: Vec<String> = self.lock().roles.values().map(|role| role.arn.clone()).collect();
        arns.sort_unstable();
        arns
    }

    /// What a role's policies allow. AWS's own policies are left out: nobody can narrow them.
    #[must_use]
    pub fn grants(&self, role_arn: &str) -> Vec<Grant> {
        self.lock().grants(role_arn)
    }

    /// What a role's policies allow and no session of it has asked for so far.
    #[must_use]
    pub fn unused(&self, role_arn: &str) -> Vec<Grant> {
        let state = self.lock();
        let used = |action: &str, resource: &str| {
            state.asked.keys().any(|(asked_by, _, asked, on, allowed)| {
                *allowed
                    && role_name(asked_by) == role_name(role_arn)
                    && action_matches(action, asked)
                    && (resource.contains("${") || arn_matches(resource, on))
            })
        };
        let mut grants = state.grants(role_arn);
        grants.retain(|grant| !used(&grant.action, &grant.resource));
        grants
    }

    /// Whether any policy asks for a condition key, whose value is costly to find out.
    pub(crate) fn ask_for(&self, key: &str) -> bool {
        let state = self.lock();
        let inline = state.roles.values().flat_map(|role| role.inline.values());
        let managed = state
            .managed
            .values()
            .flat_map(|managed| managed.versions.values());
        inline.chain(managed).any(|document| document.asks_for(key))
    }
}

impl State {
    fn remember(&mut self, asked: Asked) {
        let (name, allowed) = (role_name(&asked.0), asked.4);
        if self.gone.contains(name) {
            return;
        }
        let role = self.roles.get_mut(name).filter(|_| !allowed);
        if let Some(refused) = role.and_then(|role| role.refused_since.as_mut()) {
            refused.push(asked.clone());
        }
        *self.asked.entry(asked).or_default() += 1;
    }

    fn remove(&mut self, name: &str) {
        let role = self.roles.remove(name).unwrap_or_default();
        for asked in role.refused_since.into_iter().flatten() {
            if let Some(calls) = self.asked.get_mut(&asked) {
                *calls -= 1;
            }
        }
        self.asked.retain(|_, calls| *calls > 0);
        self.gone.insert(name.to_owned());
    }

    fn grants(&self, role_arn: &str) -> Vec<Grant> {
        let Some(role) = self.roles.get(role_name(role_arn)) else {
            return Vec::new();
        };
        let own = role
            .inline
            .iter()
            .map(|(name, document)| (name.as_str(), document));
        let attached = role.attached.iter().filter_map(|arn| {
            let managed = self.managed.get(arn)?;
            Some((arn.as_str(), managed.versions.get(&managed.default)?))
        });
        own.chain(attached)
            .flat_map(|(policy, document)| {
                document.grants().into_iter().map(|(action, resource)| Grant {
                    policy: policy.to_owned(),
                    action,
                    resource,
                })
            })
            .collect()
    }

    fn decide(&self, role_arn: &str, action: &str, resource: &str, context: &Context) -> Decision {
        let Some(role) = self.roles.get(role_name(role_arn)) else {
            return Decision::NotAllowed;
        };
        let aws: Vec<Document> = role.attached.iter().filter_map(|arn| published(arn)).collect();
        let attached = role.attached.iter().filter_map(|arn| self.default_version(arn));
        let identity = role.inline.values().chain(attached).chain(&aws);
        let decision = decide(identity, action, resource, context);
        let Some(boundary) = &role.boundary else {
            return decision;
        };
        let published = published(boundary);
        let limit = self.default_version(boundary).or(published.as_ref());
        match (decision, decide(limit, action, resource, context)) {
            (Decision::Denied, _) | (_, Decision::Denied) => Decision::Denied,
            (Decision::Allowed, Decision::Allowed) => Decision::Allowed,
            _ => Decision::NotAllowed,
        }
    }

    fn default_version(&self, arn: &str) -> Option<&Document> {
        let managed = self.managed.get(arn)?;
        managed.versions.get(&managed.default)
    }
}

/// A policy of AWS's own.
fn published(arn: &str) -> Option<Document> {
    let name = arn.strip_prefix("arn:aws:iam::aws:policy/")?.rsplit('/').next()?;
    let document = managed::document(name).and_then(|text| Document::parse(text).ok());
    if document.is_none() {
        tracing::warn!(
            arn,
            "the local cloud does not know this policy of AWS's; it allows nothing"
        );
    }
    document
}

/// The keys that every request has, with the request's own.
fn full_context(need: &Needed, role_arn: &str, session: &str, account: &Account) -> Context {
    let now = jiff::Timestamp::now();
    let common = [
        ("aws:principalarn", role_arn.to_owned()),
        ("aws:principalaccount", account.id.clone()),
        ("aws:principaltype", "AssumedRole".to_owned()),
        ("aws:userid", format!("AROALOCAL:{session}")),
        ("aws:resourceaccount", account.id.clone()),
        ("s3:resourceaccount", account.id.clone()),
        ("aws:requestedregion", account.region.clone()),
        // AWS's own endpoints are reached by TLS; what a policy says about that is not to fail here.
        ("aws:securetransport", "true".to_owned()),
        ("aws:sourceip", "127.0.0.1".to_owned()),
        ("aws:currenttime", now.to_string()),
        ("aws:epochtime", now.as_second().to_string()),
    ];
    let mut context: Context = common
        .into_iter()
        .map(|(key, value)| (key.to_owned(), vec![value]))
        .collect();
    context.extend(need.context.clone());
    context
}

#[cfg(test)]
mod tests;
