//! What was posted about a request, as the ledger keeps it.

use serde::{Deserialize, Serialize};
use signalbox_decision::approval::{ApprovalAction, TokenHash};

use crate::Posted;

/// The message of the last asking of an approval action. It stands in the ledger as a value of the kind
/// [`Asked::KIND`] under [`Asked::name`], so that whoever changes what it says finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The message.
    pub posted: Posted,
    /// Which asking it is about.
    pub token_hash: TokenHash,
}

impl Asked {
    /// The kind of the ledger's value.
    pub const KIND: &str = "slack-request";

    /// Its name: `<pipeline>#<execution>#<stage>#<action>`.
    #[must_use]
    pub fn name(approval: &ApprovalAction) -> String {
        let ApprovalAction {
            pipeline,
            execution,
            stage,
            action,
        } = approval;
        format!("{pipeline}#{execution}#{stage}#{action}")
    }
}
