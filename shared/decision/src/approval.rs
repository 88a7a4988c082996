//! Approvals: who is asked, by which link, and what an answer means.
//!
//! - [`keys`], [`link`], [`nonce`]: a link that only we can make, for one approver and one waiting
//!   approval action, and the proof that a form was rendered by us for the browser that sends it;
//! - [`policy`]: who may decide about an environment, and by which rules; [`quorum`]: whose approvals count;
//! - [`limit`]: how often one address may ask;
//! - [`standing`]: what AWS says about the approval action *now*, derived from freshly read state;
//! - [`request`], [`evidence`] and [`message`]: an approval action started → who is asked, with what text;
//! - [`slack`]: the same request as a message with buttons, and what a click on one says;
//! - [`answer`]: somebody opens a link or sends the form → what may happen.
//!
//! AWS knows only that our function answered. Who decided is ours to keep: in the summary that
//! CodePipeline shows, and in the ledger.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::names::{ActionName, Approver, ExecutionId, PipelineName, Revision, StageName};

pub mod answer;
pub mod evidence;
pub mod keys;
pub mod limit;
pub mod link;
pub mod message;
pub mod nonce;
pub mod policy;
pub mod quorum;
pub mod request;
pub mod slack;
pub mod standing;

/// The one approval action of one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalAction {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The run.
    pub execution: ExecutionId,
    /// The stage that waits.
    pub stage: StageName,
    /// The action that waits.
    pub action: ActionName,
}

/// CodePipeline's token for one open approval: whoever has it (and the permission) can answer.
///
/// Its `Debug` form does not show it. It is read when needed and stored nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token as AWS gave it.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What a link and the ledger carry instead of the token.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut hash = [0; TokenHash::BYTES];
        hash.iter_mut()
            .zip(digest.iter())
            .for_each(|(to, from)| *to = *from);
        TokenHash(hash)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// The first 16 bytes of a token's SHA-256. A token is a random UUID (122 bits), so that neither the
/// token nor a second one of the same hash can be found from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; Self::BYTES]);

impl TokenHash {
    pub(crate) const BYTES: usize = 16;

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for TokenHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; Self::BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| "a token hash is 32 hexadecimal digits")?;
        Ok(Self(bytes))
    }
}

/// What was decided, or is about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The run goes on.
    Approved,
    /// The stage fails; nothing goes out.
    Rejected,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approved => "Approved",
            Self::Rejected => "Rejected",
        })
    }
}

/// What is known about the run when somebody is asked about it. Everything in it may come from anybody:
/// it is shown through [`crate::text::shown`] and nothing acts on it, except on [`Evidence::author`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// The environment that would change.
    pub environment: String,
    /// The source version.
    pub revision: Option<Revision>,
    /// What the source says of it: a commit message, or the S3 object's revision summary.
    pub revision_summary: Option<String>,
    /// Who made the change, where the source says so.
    pub author: Option<String>,
    /// Who or what started the run: CodePipeline's trigger and its detail (an ARN).
    pub started_by: Option<String>,
    /// The stages that this very run has passed.
    pub passed: Vec<String>,
    /// Newer runs that wait in front of the stage.
    pub newer_waiting: Vec<ExecutionId>,
    /// Text that the pipeline's author put into the approval action (`CustomData`).
    pub custom_data: Option<String>,
    /// The run in the AWS console.
    pub console: String,
    /// What going out would mean.
    pub preview: evidence::Preview,
}

impl Evidence {
    /// Whether `approver` made the change or started the run: the author of a change is not the one to
    /// let it out.
    ///
    /// Compared without regard to ASCII case with the named author, and with the session name that an
    /// identity provider puts at the end of the starter's ARN
    /// (`arn:aws:sts::1:assumed-role/Admin/ann@example.com`).
    #[must_use]
    pub fn is_by(&self, approver: &Approver) -> bool {
        let same = |text: &str| address(text).eq_ignore_ascii_case(approver.as_str());
        let session = self
            .started_by
            .as_deref()
            .and_then(|by| by.rsplit(['/', ' ']).next());
        self.author.as_deref().is_some_and(same) || session.is_some_and(same)
    }
}

/// Who made a change, as its source says: the pipeline's variable `author`, else the last line
/// `Author: …` of the revision's summary, which an S3 upload sets by the metadata
/// `codepipeline-artifact-revision-summary`. Metadata has one line only: there, ` | ` parts it.
///
/// Whoever uploads can write what they like there, so that this keeps honest people honest; that nobody
/// releases alone what they wrote is enforced by the list of approvers and the upload's own audit trail.
#[must_use]
pub fn stated_author(variable: Option<&str>, summary: Option<&str>) -> Option<String> {
    let trailer = |summary: &str| {
        summary.rsplit(['\n', '|']).find_map(|part| {
            let (label, value) = part.split_once(':')?;
            label
                .trim()
                .eq_ignore_ascii_case("author")
                .then(|| value.trim().to_owned())
        })
    };
    let stated = variable
        .map(|text| text.trim().to_owned())
        .or_else(|| summary.and_then(trailer));
    stated.filter(|author| !author.is_empty())
}

/// Whether both addresses are one person's: ASCII case makes no difference.
#[must_use]
pub fn same_person(one: &Approver, other: &Approver) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

/// The address in `Ann <ann@example.com>`, or the text as it is.
fn address(text: &str) -> &str {
    let inner = text
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map(|(address, _)| address);
    inner.unwrap_or(text).trim()
}

/// What the ledger keeps of one open approval; written before anybody is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What waits.
    pub approval: ApprovalAction,
    /// Which asking it is: a retried stage asks again with a new token.
    pub token_hash: TokenHash,
    /// Who is asked.
    pub asked: Vec<Approver>,
    /// When AWS opened the approval.
    pub opened: Timestamp,
    /// When it ends unanswered; no later than AWS's own time-out.
    pub expires: Timestamp,
    /// What they were told.
    pub evidence: Evidence,
}

/// A decision that was made: what, by whom, when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// By whom: an approver's address, or several separated by `, `, or an AWS identity where it was
    /// decided in the console.
    pub by: String,
    /// By which way.
    pub via: Via,
    /// When, where it is known.
    pub at: Option<Timestamp>,
    /// The comment given with it.
    #[serde(default)]
    pub comment: String,
}

/// The way by which a decision came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Via {
    /// A signed link of ours.
    Link,
    /// The approval policy's own rule, and no person.
    Policy,
    /// A button of ours in Slack.
    Slack,
    /// Read from CodePipeline: the console, the CLI, or an answer of ours whose record was lost.
    CodePipeline,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "link",
            Self::Slack => "Slack",
            Self::Policy => "policy",
            Self::CodePipeline => "CodePipeline",
        })
    }
}

/// A moment in words that need no time zone table: `Friday 5 June 2026, 14:05 UTC`.
#[must_use]
pub fn in_words(at: Timestamp) -> String {
    at.strftime("%A %-d %B %Y, %H:%M UTC").to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn waiting_action() -> ApprovalAction {
        ApprovalAction {
            pipeline: PipelineName::new("lambda-function-production-pipeline").unwrap(),
            execution: ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
            stage: StageName::new("Approval").unwrap(),
            action: ActionName::new("ManualApproval").unwrap(),
        }
    }

    pub(crate) fn approver(address: &str) -> Approver {
        Approver::new(address).unwrap()
    }

    pub(crate) fn token() -> Token {
        Token::new("11111111-2222-3333-4444-555555555555")
    }

    pub(crate) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", token()), "Token(hidden)");
        assert!(!token().hash().to_string().contains("1111"));
    }

    #[test]
    fn a_token_hash_survives_the_ledger() {
        let text = serde_json::to_string(&token().hash()).unwrap();
        assert_eq!(serde_json::from_str::<TokenHash>(&text).unwrap(), token().hash());
        assert!(serde_json::from_str::<TokenHash>("\"00\"").is_err());
    }

    #[test]
    fn the_author_is_found_by_address_or_by_session() {
        let ann = approver("ann@example.com");
        let by = |author: Option<&str>, started: Option<&str>| {
            let evidence = Evidence {
                author: author.map(str::to_owned),
                started_by: started.map(str::to_owned),
                ..Evidence::default()
            };
            evidence.is_by(&ann)
        };
        assert!(by(Some("Ann@Example.com"), None));
        assert!(by(Some("Ann A. <ann@example.com>"), None));
        assert!(by(
            None,
            Some("StartPipelineExecution arn:aws:sts::1:assumed-role/Admin/ann@example.com")
        ));
        assert!(!by(
            Some("joann@example.com"),
            Some("arn:aws:sts::1:assumed-role/start/start-run")
        ));
        assert!(!by(None, None));
    }

    #[test]
    fn the_source_states_its_author() {
        let summary = Some("Round the totals\n\nAuthor: someone else\nauthor : Ann <ann@example.com>\n");
        assert_eq!(
            stated_author(None, summary).as_deref(),
            Some("Ann <ann@example.com>")
        );
        assert_eq!(
            stated_author(Some("bob@example.com"), summary).as_deref(),
            Some("bob@example.com")
        );
        let one_line = Some("Round the totals (0123abc) | Author: Ann <ann@example.com>");
        assert_eq!(
            stated_author(None, one_line).as_deref(),
            Some("Ann <ann@example.com>")
        );
        assert_eq!(stated_author(None, Some("Amazon S3 version id: abc")), None);
        assert_eq!(stated_author(Some(" "), None), None);
    }

    #[test]
    fn a_moment_reads_well() {
        assert_eq!(
            in_words(at("2026-06-05T14:05:09Z")),
            "Friday 5 June 2026, 14:05 UTC"
        );
    }
}
