//! A click on one of our buttons, and where the person who clicked can be told something.

use serde::Deserialize;
use thiserror::Error;

use super::mark;
use crate::approval::Verdict;
use crate::names::ExecutionId;

/// A click on one of our buttons. The value is a credential: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Click {
    /// The workspace.
    pub team: String,
    /// The person, by Slack's id.
    pub user: String,
    /// What the button says.
    pub verdict: Verdict,
    /// The button's value: a link for nobody.
    pub value: String,
    /// The mark of the newer runs in spite of which its button approves.
    pub(super) although: Option<String>,
    /// Where the person can be told something, if that is Slack's own host.
    pub response_url: Option<ResponseUrl>,
}

/// Why a payload is no click of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoClick {
    /// Not the JSON of an interaction.
    #[error("it is not an interaction of Slack's")]
    Malformed,
    /// Another interaction than a click on one button of ours.
    #[error("it is not a click on a button of ours")]
    Other,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    team: Option<Id>,
    user: Id,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

pub(super) const APPROVE: &str = "signalbox_approve";
pub(super) const REJECT: &str = "signalbox_reject";
pub(super) const APPROVE_OLDER: &str = "signalbox_approve_older";

impl Click {
    /// Reads an interaction's `payload`.
    ///
    /// # Errors
    /// If it is anything else than a click on exactly one button of ours.
    pub fn parse(payload: &str) -> Result<Self, NoClick> {
        let payload: Payload = serde_json::from_str(payload).map_err(|_| NoClick::Malformed)?;
        let [action] = payload.actions.as_slice() else {
            return Err(NoClick::Other);
        };
        if payload.kind != "block_actions" {
            return Err(NoClick::Other);
        }
        let (value, although) = match action.value.split_once('.') {
            Some((value, mark)) => (value, Some(mark)),
            None => (action.value.as_str(), None),
        };
        let (verdict, although) = match action.action_id.as_str() {
            APPROVE => (Verdict::Approved, None),
            APPROVE_OLDER => (Verdict::Approved, although),
            REJECT => (Verdict::Rejected, None),
            _ => return Err(NoClick::Other),
        };
        Ok(Self {
            team: payload.team.map(|team| team.id).unwrap_or_default(),
            user: payload.user.id,
            verdict,
            although: although.map(str::to_owned),
            value: value.to_owned(),
            response_url: payload.response_url.as_deref().and_then(ResponseUrl::parse),
        })
    }
}

impl Click {
    /// Whether its button says that the older revision is meant although exactly these runs wait behind it.
    #[must_use]
    pub fn is_although(&self, newer: &[ExecutionId]) -> bool {
        self.although.as_deref() == Some(mark(newer).as_str())
    }
}

/// A `response_url`, of Slack's own host alone: the field comes from outside, and we would send there
/// what was decided. It is a credential for half an hour: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseUrl(String);

impl ResponseUrl {
    const HOST: &str = "https://hooks.slack.com/";

    /// Takes an address on Slack's own host, over TLS, on its own port; nothing else.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        // With the slash in it, the prefix leaves no room for a user, a port or a longer name.
        (url.starts_with(Self::HOST) && url.len() <= 1000 && url.bytes().all(plain))
            .then(|| Self(url.to_owned()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
