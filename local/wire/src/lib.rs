//! AWS's wire protocols, driven by AWS's own service models.
//!
//! The models are those that botocore ships (`<service>/<date>/service-2.json.gz`), read at run time.
//! Inside the local cloud a call is an operation's name and a JSON [`Value`](serde_json::Value) in the
//! model's member names, with time stamps as epoch seconds and blobs as base64 text. This crate turns
//! that form into what travels, and back:
//!
//! * as a server ([`decode`], [`encode`]) for `awsJson1.0/1.1`, `rest-json`, `query` and
//!   `smithy-rpc-v2-cbor`. The protocol is told from the request ([`Protocol::detect`]), never from the
//!   model: models list several protocols, and SDKs differ in which one they speak;
//! * as a client ([`encode_request`], [`decode_response`]) of the emulator, for the JSON, query, rest-json
//!   and rest-xml (S3) services.
//!
//! [`validate`] checks an input against the model's rules in AWS's words, [`check_output`] finds where an
//! engine's answer leaves the model, and [`lists_error`] whether an engine's error is one of the model's.

mod cbor;
mod check;
mod client;
mod faults;
mod json;
mod model;
mod protocol;
mod query;
mod rest;
mod server;
mod timestamp;
mod unlisted;
mod validate;
mod xml;

pub use check::check_output;
pub use client::{Outgoing, decode_response, encode_request};
pub use model::{Model, ModelError, Models};
pub use protocol::Protocol;
pub use server::{Decoded, decode, encode, operation_name};
pub use unlisted::{Unlisted, lists_error};
pub use validate::validate;
pub use xml::Element;
