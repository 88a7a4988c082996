//! Error codes that AWS could not give: an SDK would know no type for them, and a caller that matches on
//! one would wait for ever in the real cloud.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::model::Model;

/// What any operation may answer without its model saying so.
///
/// Source: the page "Common Errors" of each API reference, such as
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html>. Of that list, only
/// what a local engine, or the gateway in front of it, can come to: signatures are not checked here. What the
/// page does not have says so.
const COMMON: [&str; 11] = [
    // As CloudFormation, IAM and STS write the next one in their XML.
    "AccessDenied",
    "AccessDeniedException",
    "InternalFailure",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    // Not on the page: the protocols' own, for a body that is no value of the operation's input
    // (<https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>).
    "SerializationException",
    // As `query` services write the next one.
    "Throttling",
    "ThrottlingException",
    "UnknownOperationException",
    // By the page the code of an input that breaks the model's rules; `query` services write it so, and the others
    // as the next one, which only some models list.
    "ValidationError",
    "ValidationException",
];

/// An operation of a service, and a code that AWS's model does not list for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unlisted {
    /// Botocore's name of the service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// The error's code.
    pub code: String,
}

/// Tells whether AWS could answer the operation with this code: it is one of the operation's errors, by its
/// shape's name or by the code that `query` answers carry, or one that any operation may answer.
#[must_use]
pub fn lists_error(model: &Model, operation: &str, code: &str) -> bool {
    let is_listed = |name: &str| {
        let error = model.find_shape(name).and_then(|shape| shape.error.as_ref());
        name == code || error.and_then(|error| error.code.as_deref()) == Some(code)
    };
    let found = model.operations.get(operation);
    COMMON.contains(&code)
        || found.is_some_and(|found| found.errors.iter().any(|error| is_listed(&error.shape)))
}

/// The codes that were answered and should not have been, each once.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<BTreeSet<Unlisted>>);

impl Seen {
    pub(crate) fn note(&self, one: Unlisted) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(one);
    }

    pub(crate) fn all(&self) -> Vec<Unlisted> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().cloned().collect()
    }
}
