//! Function URLs: an HTTP request becomes an event of payload format 2.0, the answer a response.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use signalbox_local_core::{AwsError, Caller};
use uuid::Uuid;

use crate::errors;
use crate::invoke::{Invocation, Service};
use crate::operations::SYNC_LIMIT;
use crate::policy::{INVOKE, INVOKE_URL, Question};
use crate::reference::Reference;

/// Input of `InvokeFunctionUrl`, which only the gateway calls.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    function_name: String,
    request: HttpRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpRequest {
    method: String,
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Base64.
    #[serde(default)]
    body: String,
    #[serde(default)]
    source_ip: String,
}

/// A response as the gateway writes it.
struct Reply {
    status: u16,
    headers: Map<String, Value>,
    cookies: Vec<String>,
    body: Vec<u8>,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        let mut headers = Map::new();
        headers.insert("content-type".to_owned(), json!("application/json"));
        Self {
            status,
            headers,
            cookies: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    fn forbidden() -> Self {
        Self::json(403, &json!({ "Message": "Forbidden" }))
    }

    fn function_failed() -> Self {
        Self::json(502, &json!({ "message": "Internal Server Error" }))
    }

    fn into_value(self) -> Value {
        json!({
            "StatusCode": self.status,
            "Headers": self.headers,
            "Cookies": self.cookies,
            "Body": STANDARD.encode(self.body),
        })
    }
}

impl Service {
    /// The pseudo-operation behind `/lambda-url/{function}/`.
    pub(crate) async fn invoke_url(
        self: &Arc<Self>,
        caller: &Caller,
        input: Value,
    ) -> Result<Value, AwsError> {
        let Input {
            function_name,
            request,
        } = serde_json::from_value(input)?;
        let reference = Reference::parse(&function_name, None)?;
        if !self.url_allows(caller, &reference) {
            return Ok(Reply::forbidden().into_value());
        }
        let body = STANDARD
            .decode(&request.body)
            .map_err(|error| AwsError::internal(format!("the request's body is not base64: {error}")))?;
        if body.len() > SYNC_LIMIT {
            return Ok(Reply::json(413, &json!({ "message": "Request Entity Too Large" })).into_value());
        }
        let request_id = Uuid::new_v4().to_string();
        let event = event(self, &reference, &request, &body, &request_id);
        let invocation = Invocation {
            reference,
            request_id,
            client_context: None,
            payload: Bytes::from(event.to_string()),
        };
        let reply = match self.run(invocation).await {
            Ok(outcome) if outcome.failed => Reply::function_failed(),
            Ok(outcome) => interpret(&outcome.payload).unwrap_or_else(Reply::function_failed),
            Err(error) if error.code == errors::THROTTLED => Reply::json(
                429,
                &json!({ "Type": "User", "Reason": "ConcurrentInvocationLimitExceeded", "message": "Rate Exceeded." }),
            ),
            Err(error) => {
                tracing::warn!(%error, function = %function_name, "a function URL could not be served");
                Reply::function_failed()
            }
        };
        Ok(reply.into_value())
    }

    /// AWS answers "forbidden" to everything that is not allowed, unknown functions included.
    fn url_allows(&self, caller: &Caller, reference: &Reference) -> bool {
        let registry = self.registry();
        let Ok(function) = registry.get(reference) else {
            return false;
        };
        let key = reference.qualifier.as_deref().unwrap_or_default();
        let Some(url) = function.urls.get(key) else {
            return false;
        };
        if url.auth_type != "NONE" {
            return !matches!(caller, Caller::Service { .. });
        }
        let policy = function.policies.get(key);
        let allows = |action| {
            let question = Question {
                action,
                principal: None,
                source_arn: None,
                source_account: &registry.account().id,
                url_auth_type: Some("NONE"),
            };
            policy.is_some_and(|policy| policy.allows(&question))
        };
        let allowed = allows(INVOKE_URL);
        if allowed && !allows(INVOKE) {
            // URLs made before October 2025 work without it until AWS withdraws that; new ones do not.
            tracing::warn!(
                function = %reference.name,
                "AWS also demands a permission for lambda:InvokeFunction with InvokedViaFunctionUrl=true for new \
                 public function URLs; add it"
            );
        }
        allowed
    }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request
        .headers
        .iter()
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn event(
    service: &Service,
    reference: &Reference,
    request: &HttpRequest,
    body: &[u8],
    request_id: &str,
) -> Value {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    let mut cookies: Vec<&str> = Vec::new();
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        if name == "cookie" {
            cookies.extend(
                value
                    .split(';')
                    .map(str::trim)
                    .filter(|cookie| !cookie.is_empty()),
            );
            continue;
        }
        headers
            .entry(name)
            .and_modify(|present| {
                present.push(',');
                present.push_str(value);
            })
            .or_insert_with(|| value.clone());
    }
    headers
        .entry("x-forwarded-for".to_owned())
        .or_insert_with(|| request.source_ip.clone());
    headers
        .entry("x-forwarded-proto".to_owned())
        .or_insert_with(|| "http".to_owned());
    let endpoint = service.host.cloud.endpoint();
    let authority = endpoint
        .split_once("//")
        .map_or(endpoint.as_str(), |(_, rest)| rest);
    let domain = header(request, "host").unwrap_or(authority);
    let api_id = hex::encode(&Sha256::digest(reference.arn(service.account()))[..16]);
    let now = service.host.cloud.clock().now();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.raw_path,
        "rawQueryString": request.raw_query_string,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": api_id,
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": request.method,
                "path": request.raw_path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": header(request, "user-agent").unwrap_or_default(),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    let query = query(&request.raw_query_string);
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query);
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(header(request, "content-type").unwrap_or_default()) => {
                event["body"] = json!(text);
            }
            _ => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// Bodies that reach a function as text. Forms are not among them: Lambda encodes those.
fn is_text(content_type: &str) -> bool {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind.as_str(),
            "application/json" | "application/xml" | "application/javascript"
        )
}

fn query(raw: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        found
            .entry(decode(name))
            .and_modify(|present| {
                present.push(',');
                present.push_str(&value);
            })
            .or_insert_with(|| value.clone());
    }
    found
}

/// What a function answered, as a response; none where it is not one.
fn interpret(payload: &[u8]) -> Option<Reply> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let Some(status) = value.get("statusCode") else {
        let mut reply = Reply::json(200, &value);
        if let Value::String(text) = value {
            reply.body = text.into_bytes();
        }
        return Some(reply);
    };
    let status = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
    let status = u16::try_from(status)
        .ok()
        .filter(|status| (100..=599).contains(status))?;
    let mut headers = Map::new();
    for (name, value) in value
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        headers.insert(name.to_ascii_lowercase(), json!(text));
    }
    headers
        .entry("content-type")
        .or_insert_with(|| json!("application/json"));
    let cookies = value
        .get("cookies")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let cookies = cookies.filter_map(Value::as_str).map(str::to_owned).collect();
    let text = match value.get("body") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let body = if value.get("isBase64Encoded") == Some(&json!(true)) {
        STANDARD.decode(text).ok()?
    } else {
        text.into_bytes()
    };
    Some(Reply {
        status,
        headers,
        cookies,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_a_status_are_json_of_200() {
        let reply = interpret(br#"{"a":1}"#).unwrap();
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, br#"{"a":1}"#.as_slice())
        );
        assert_eq!(interpret(br#""hello""#).unwrap().body, b"hello");
        assert!(interpret(b"not json").is_none());
    }

    #[test]
    fn answers_with_a_status_are_taken_as_responses() {
        let reply = interpret(
            json!({
                "statusCode": 303, "headers": { "Location": "/next", "X-Count": 3 },
                "cookies": ["a=1; HttpOnly"], "body": STANDARD.encode([0, 255]), "isBase64Encoded": true,
            })
            .to_string()
            .as_bytes(),
        )
        .unwrap();
        assert_eq!(reply.status, 303);
        assert_eq!(reply.headers["location"], "/next");
        assert_eq!(reply.headers["x-count"], "3");
        assert_eq!(reply.cookies, ["a=1; HttpOnly"]);
        assert_eq!(reply.body, [0, 255]);
        assert!(interpret(br#"{"statusCode":"soon"}"#).is_none());
    }

    #[test]
    fn query_strings_are_decoded_and_repeated_names_joined() {
        let found = query("a=1&b=x%2Fy+z&a=2&flag");
        assert_eq!(found["a"], "1,2");
        assert_eq!(found["b"], "x/y z");
        assert_eq!(found["flag"], "");
    }

    #[test]
    fn forms_and_unknown_bodies_are_not_text() {
        assert!(
            is_text("application/json; charset=utf-8")
                && is_text("text/plain")
                && is_text("application/vnd.a+json")
        );
        assert!(!is_text("application/x-www-form-urlencoded") && !is_text("") && !is_text("image/png"));
    }
}
