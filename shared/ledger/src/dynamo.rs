//! The DynamoDB table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use jiff::Timestamp;

use crate::LedgerError;
use crate::table::{Put, Row, RowKey};

type Item = HashMap<String, AttributeValue>;

#[derive(Debug, Clone)]
pub(crate) struct Dynamo {
    client: Client,
    table: String,
}

impl Dynamo {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    pub(crate) async fn get(&self, key: &RowKey) -> Result<Option<Row>, LedgerError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.pk.clone()))
            .key("sk", AttributeValue::S(key.sk.clone()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failure("GetItem", &error))?;
        answer.item().map(|item| read(key, item)).transpose()
    }

    pub(crate) async fn query(&self, pk: &str, prefix: &str) -> Result<Vec<(String, Row)>, LedgerError> {
        let items = self.items(pk, prefix, None).await?;
        let read = items.iter().map(|item| {
            let sk = sort_key(pk, item)?;
            let row = read(&RowKey::new(pk, sk.clone()), item)?;
            Ok((sk, row))
        });
        read.collect()
    }

    pub(crate) async fn sort_keys(&self, pk: &str, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let items = self.items(pk, prefix, Some("sk")).await?;
        items.iter().map(|item| sort_key(pk, item)).collect()
    }

    /// All pages of them: DynamoDB answers at most 1 MB at once.
    async fn items(&self, pk: &str, prefix: &str, only: Option<&str>) -> Result<Vec<Item>, LedgerError> {
        let (mut all, mut start) = (Vec::new(), None);
        loop {
            let mut request = self
                .client
                .query()
                .table_name(&self.table)
                .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
                .consistent_read(true)
                .set_projection_expression(only.map(str::to_owned))
                .set_exclusive_start_key(start);
            // DynamoDB takes no empty prefix.
            request = if prefix.is_empty() {
                request.key_condition_expression("pk = :pk")
            } else {
                request
                    .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                    .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            };
            let page = request.send().await.map_err(|error| failure("Query", &error))?;
            all.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn put(
        &self,
        key: &RowKey,
        row: Row,
        expected: Option<u64>,
    ) -> Result<Put, LedgerError> {
        let mut request = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(key.pk.clone()))
            .item("sk", AttributeValue::S(key.sk.clone()))
            .item("version", AttributeValue::N(row.version.to_string()))
            .item("write", AttributeValue::S(row.write))
            .item("body", AttributeValue::S(row.body))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(expires) = row.expires {
            request = request.item("expires_at", AttributeValue::N(expires.as_second().to_string()));
        }
        request = match expected {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(version) => request
                .condition_expression("#version = :expected")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":expected", AttributeValue::N(version.to_string())),
        };
        match request.send().await {
            Ok(_) => Ok(Put::Written),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => Ok(Put::Changed(
                    refused.item().map(|item| read(key, item)).transpose()?,
                )),
                _ => Err(failure("PutItem", &error)),
            },
        }
    }
}

fn sort_key(pk: &str, item: &Item) -> Result<String, LedgerError> {
    match item.get("sk") {
        Some(AttributeValue::S(sk)) => Ok(sk.clone()),
        _ => Err(LedgerError::Unreadable {
            row: RowKey::new(pk, "").shown(),
            problem: "attribute sk is missing or of another type".to_owned(),
        }),
    }
}

fn read(key: &RowKey, item: &Item) -> Result<Row, LedgerError> {
    let unreadable = |name: &str| LedgerError::Unreadable {
        row: key.shown(),
        problem: format!("attribute {name} is missing or of another type"),
    };
    let text = |name: &str| match item.get(name) {
        Some(AttributeValue::S(text)) => Ok(text.clone()),
        _ => Err(unreadable(name)),
    };
    let number = |name: &str| match item.get(name) {
        Some(AttributeValue::N(number)) => number.parse::<i64>().map(Some).map_err(|_| unreadable(name)),
        None => Ok(None),
        Some(_) => Err(unreadable(name)),
    };
    let version = number("version")?.and_then(|version| u64::try_from(version).ok());
    let expires = number("expires_at")?
        .map(Timestamp::from_second)
        .transpose()
        .map_err(|_| unreadable("expires_at"))?;
    Ok(Row {
        version: version.ok_or_else(|| unreadable("version"))?,
        write: text("write")?,
        expires,
        body: text("body")?,
    })
}

/// Codes that no retry mends.
const PERMANENT: [&str; 7] = [
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
];

/// What an SDK error means. Its inputs are not repeated.
fn failure<E: ProvideErrorMetadata>(doing: &'static str, error: &SdkError<E, HttpResponse>) -> LedgerError {
    let is_error = |answer: &HttpResponse| !answer.status().is_success();
    let answer = match error {
        SdkError::ServiceError(answer) if is_error(answer.raw()) => answer,
        _ => {
            let problem = match error {
                SdkError::TimeoutError(_) => "no answer in time",
                SdkError::DispatchFailure(_) => "DynamoDB could not be reached",
                SdkError::ConstructionFailure(_) => "the request could not be built",
                _ => "an answer that cannot be read",
            };
            return LedgerError::Unavailable {
                doing,
                problem: problem.to_owned(),
            };
        }
    };
    let code = answer.err().code().unwrap_or("no error code");
    let problem = format!("{code}: {}", answer.err().message().unwrap_or("no message"));
    if PERMANENT.contains(&code) {
        LedgerError::Refused { doing, problem }
    } else {
        LedgerError::Unavailable { doing, problem }
    }
}
