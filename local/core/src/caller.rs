//! Who makes a call.

/// The identity behind one API call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The person at this machine: anything is allowed, as for an account's administrator.
    Admin,
    /// A role's session; every call is checked against the role's policies.
    Role {
        /// The role's ARN.
        arn: String,
        /// The session's name; for a function, the function's name.
        session: String,
    },
    /// An AWS service acting for itself. It may do what services do; where it invokes a function,
    /// the function's resource policy is checked, as in AWS.
    Service {
        /// For example `events.amazonaws.com`.
        principal: String,
        /// The resource on whose behalf it acts (`aws:SourceArn`), such as a rule's ARN.
        source_arn: Option<String>,
    },
}

impl Caller {
    /// A service acting for itself.
    #[must_use]
    pub fn service(principal: &str) -> Self {
        Self::Service {
            principal: principal.to_owned(),
            source_arn: None,
        }
    }

    /// A service acting on behalf of a resource.
    #[must_use]
    pub fn service_for(principal: &str, source_arn: &str) -> Self {
        Self::Service {
            principal: principal.to_owned(),
            source_arn: Some(source_arn.to_owned()),
        }
    }

    /// The ARN as error messages and event fields show it.
    #[must_use]
    pub fn display_arn(&self, account_id: &str) -> String {
        match self {
            Self::Admin => format!("arn:aws:iam::{account_id}:user/local"),
            Self::Role { arn, session } => {
                let role = arn.rsplit('/').next().unwrap_or(arn);
                format!("arn:aws:sts::{account_id}:assumed-role/{role}/{session}")
            }
            Self::Service { principal, .. } => principal.clone(),
        }
    }
}
