//! What AWS's own APIs do not make safe, written down: the newest upload of each source key, the claim of
//! every effect without an idempotency token, each approval with who decided what and when, each
//! rollback, and the timeline of each run.
//!
//! One DynamoDB table, and a twin in memory. Both do two things only (read a row, write a row on condition
//! that it is unchanged since); every rule is written once, on top, and so holds for both. [`contract`]
//! is what either must pass.
//!
//! # The table
//! `pk` and `sk` (S), `version` (N, counts the writes of a row), `write` (S, names the last write),
//! `expires_at` (N, epoch seconds, the table's TTL), `body` (S, JSON).
//!
//! | `pk` | `sk` | body |
//! |---|---|---|
//! | `CLAIM#<kind>#<name>` | `CLAIM` | digest, owner, in progress until, or result |
//! | `SEQUENCER#<digest of bucket and key>` | `SEQUENCER` | bucket, key, highest sequencer and its version |
//! | `PIPELINE#<pipeline>` | `RUN#<execution>` | timeline |
//! | `BUILD#<id>`, `DEPLOYMENT#<id>` | `TIMELINE` | timeline of what belongs to no run |
//! | `APPROVAL#<pipeline>#<execution>` | `<stage>#<action>#<token hash>` | record, votes, attempts, decision |
//! | `STRANGERS#<pipeline>` | `<day>` | attempts by links that nobody vouches for |
//! | `DEPLOYMENT#<id>` | `ROLLBACK` | what was done about it |
//! | `DEFERRED#<kind>` | `<id>` | an event that is put off |
//! | `COMMANDS#<pipeline>` | `<time>#<request id>` | what a person commanded |
//! | `VALUE#<kind>` | `<id>` | small things; kind `bad-version`: code that was rolled back |
//!
//! No token, key or signature is ever written: an approval is named by its token's hash.
//!
//! # When the ledger cannot be reached
//! Every method answers [`LedgerError::Unavailable`], and the caller withholds the effect: an event is
//! retried, an effect performed twice is not undone.

mod approvals;
mod audit;
mod claims;
pub mod contract;
mod deferred;
mod dynamo;
mod error;
mod memory;
mod rollbacks;
mod sequencers;
mod table;
mod timelines;
mod values;

pub use approvals::{ApprovalKey, DecisionOutcome, StoredApproval, Strangers, VoteOutcome};
pub use audit::AuditedApproval;
pub use claims::{Claim, ClaimKey, ClaimOutcome, ClaimStanding};
pub use deferred::Deferred;
pub use error::LedgerError;
pub use rollbacks::{Allowed, BAD_VERSION, BadVersion};
pub use sequencers::Advance;
pub use timelines::{Saved, StoredTimeline};

use table::Table;

/// The ledger of one environment. Cheap to clone: clones share one table.
#[derive(Debug, Clone)]
pub struct Ledger {
    table: Table,
}

impl Ledger {
    /// The ledger in the DynamoDB table of that name (`LEDGER_TABLE`).
    #[must_use]
    pub fn dynamodb(client: aws_sdk_dynamodb::Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::Dynamo(dynamo::Dynamo::new(client, table.into())),
        }
    }

    /// A ledger in memory, for tests and simulation; clones share it, and it ends with the last of them.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            table: Table::Memory(memory::Memory::default()),
        }
    }
}
