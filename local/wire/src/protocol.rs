//! Which protocol a request speaks.

use http::request::Parts;
use http::{HeaderMap, Method};

/// A wire protocol of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `X-Amz-Target` and a JSON body; the minor version is echoed in the answer's content type.
    Json {
        /// 0 or 1.
        minor: u8,
    },
    /// Paths, query, headers, and a JSON or raw body.
    RestJson,
    /// A form with `Action`, answered in XML.
    Query,
    /// `/service/{name}/operation/{operation}` with CBOR both ways.
    Cbor,
}

impl Protocol {
    /// Tells the protocol from what the request looks like.
    #[must_use]
    pub fn detect(parts: &Parts) -> Self {
        let header = |name: &str| text(&parts.headers, name);
        let content_type = header("content-type");
        if header("smithy-protocol") == "rpc-v2-cbor" {
            Self::Cbor
        } else if parts.headers.contains_key("x-amz-target") {
            Self::Json {
                minor: u8::from(!content_type.contains("json-1.0")),
            }
        } else if content_type.starts_with("application/x-www-form-urlencoded")
            || (parts.method == Method::GET && has_action(parts))
        {
            Self::Query
        } else {
            Self::RestJson
        }
    }
}

fn has_action(parts: &Parts) -> bool {
    parts
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")))
}

/// A header's text; empty where it is missing or not text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
