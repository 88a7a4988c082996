//! What the engines of the local cloud share.
//!
//! An *engine* stands in for one AWS service. It receives an operation's name and its input as a
//! JSON [`Value`](serde_json::Value) in the member names of AWS's own service model, and answers with
//! the output in the same form: how either travels over the wire is the gateway's business, which
//! checks both against the model. Engines reach each other, and the services that the emulator
//! serves, through [`Cloud`]; they never hold one another.

mod account;
mod caller;
mod clock;
mod cloud;
mod error;
pub mod testing;

pub use account::Account;
pub use caller::Caller;
pub use clock::Clock;
pub use cloud::{AwsEvent, Cloud, Engine, StoredObject};
pub use error::AwsError;
