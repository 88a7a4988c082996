//! A function URL's request and response, payload format 2.0.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::page::Page;
use crate::style::CONTENT_SECURITY_POLICY;

/// A form with its comment needs far less; whatever is larger is not ours.
pub(crate) const MAX_BODY_BYTES: usize = 16 * 1024;

/// A request. No `Debug`: path, cookies and body are credentials.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    raw_path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookies: Vec<String>,
    request_context: RequestContext,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    #[serde(default)]
    domain_name: Option<String>,
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    #[serde(default)]
    source_ip: String,
}

impl Request {
    pub(crate) fn parse(event: Value) -> Result<Self, Error> {
        // The cause may repeat a value of the event: only its kind and place are told.
        let mut request: Self = serde_json::from_value(event).map_err(|error| {
            Error::Event(format!(
                "a field is missing or of another type ({:?})",
                error.classify()
            ))
        })?;
        request.headers = request
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        Ok(request)
    }

    pub(crate) fn method(&self) -> &str {
        &self.request_context.http.method
    }

    /// The link's segment, where the path is `/a/<segment>`.
    pub(crate) fn link(&self) -> Option<&str> {
        self.raw_path
            .strip_prefix("/a/")
            .filter(|segment| !segment.is_empty() && !segment.contains('/'))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The names by which a browser may have reached this function: what it sent as `Host`, and the
    /// function URL's own name.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        [self.header("host"), self.request_context.domain_name.as_deref()]
            .into_iter()
            .flatten()
    }

    /// Whether the browser's connection was plain HTTP, as only a local cloud's is.
    pub(crate) fn is_plain_http(&self) -> bool {
        self.header("x-forwarded-proto")
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"))
    }

    /// The caller's address, as AWS saw it.
    pub(crate) fn address(&self) -> &str {
        &self.request_context.http.source_ip
    }

    /// A cookie's value. Two cookies of one name are none: one of them is not ours.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let header = self.header("cookie").unwrap_or_default();
        let pairs = self
            .cookies
            .iter()
            .flat_map(|line| line.split(';'))
            .chain(header.split(';'));
        let mut values = pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v);
        let first = values.next()?;
        // Lambda gives cookies apart; another gateway may leave them in the header as well.
        values.all(|value| value == first).then_some(first)
    }

    /// The path, without its query.
    pub(crate) fn path(&self) -> &str {
        &self.raw_path
    }

    /// The body's bytes, where they are no more than a form's.
    pub(crate) fn body(&self) -> Result<Vec<u8>, BodyError> {
        self.body_within(MAX_BODY_BYTES)
    }

    /// The body's bytes, where they are no more than `max`.
    pub(crate) fn body_within(&self, max: usize) -> Result<Vec<u8>, BodyError> {
        let text = self.body.as_deref().unwrap_or_default();
        // Base64 is longer than what it encodes: this bound holds for both.
        if text.len() > max * 4 / 3 + 4 {
            return Err(BodyError::TooLarge);
        }
        let bytes = if self.is_base64_encoded {
            STANDARD.decode(text).map_err(|_| BodyError::Malformed)?
        } else {
            text.as_bytes().to_vec()
        };
        if bytes.len() > max {
            Err(BodyError::TooLarge)
        } else {
            Ok(bytes)
        }
    }
}

/// Why a body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    Malformed,
}

/// A response. `Debug`, which is logged, shows what was answered and neither page nor cookie.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    status_code: u16,
    headers: BTreeMap<&'static str, String>,
    cookies: Vec<String>,
    body: String,
    is_base64_encoded: bool,
    #[serde(skip)]
    what: &'static str,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status_code, self.what)
    }
}

/// The headers of every answer: nothing is kept, framed, sniffed, or told to another site, and nothing
/// but our own style is loaded.
const HEADERS: [(&str, &str); 9] = [
    ("cache-control", "no-store"),
    ("content-type", "text/html; charset=utf-8"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=63072000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("x-robots-tag", "noindex, nofollow"),
];

impl Response {
    pub(crate) fn new(page: Page, head: bool) -> Self {
        let mut headers: BTreeMap<_, _> = HEADERS
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        headers.insert("content-security-policy", CONTENT_SECURITY_POLICY.clone());
        match page.status {
            405 => drop(headers.insert("allow", "GET, HEAD, POST".to_owned())),
            429 => drop(headers.insert("retry-after", page.retry_after.as_secs().max(1).to_string())),
            503 => drop(headers.insert("retry-after", "5".to_owned())),
            _ => {}
        }
        Self {
            status_code: page.status,
            headers,
            cookies: page.cookie.into_iter().filter(|_| !head).collect(),
            body: if head { String::new() } else { page.html },
            is_base64_encoded: false,
            what: page.what,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn request(change: impl FnOnce(&mut Value)) -> Request {
        let mut event = json!({
            "version": "2.0",
            "rawPath": "/a/SEGMENT",
            "headers": { "Host": "abc.lambda-url.us-east-1.on.aws", "x-forwarded-proto": "https" },
            "requestContext": {
                "domainName": "abc.lambda-url.us-east-1.on.aws",
                "http": { "method": "POST", "sourceIp": "203.0.113.7" },
            },
        });
        change(&mut event);
        Request::parse(event).unwrap()
    }

    macro_rules! event {
        ($name:literal) => {
            Request::parse(
                serde_json::from_str(include_str!(concat!(
                    "../../../events/answer-approval/",
                    $name,
                    ".json"
                )))
                .unwrap(),
            )
            .unwrap()
        };
    }

    #[test]
    fn real_requests_are_read() {
        let opened = event!("page-opened");
        assert_eq!(
            (opened.method(), opened.link().is_some(), opened.address()),
            ("GET", true, "203.0.113.7")
        );
        let scanned = event!("page-scanned-by-a-mail-gateway");
        assert_eq!(
            (scanned.method(), scanned.link()),
            ("HEAD", opened.link()),
            "a query changes nothing"
        );
        let sent = event!("form-sent");
        assert_eq!(sent.cookie("signalbox_nonce"), Some("REDACTED"));
        assert!(
            String::from_utf8(sent.body().unwrap())
                .unwrap()
                .starts_with("nonce=REDACTED&comment=Looks+good")
        );
        assert!(crate::origin::is_same(&sent));
        assert!(!crate::origin::is_same(&event!("form-sent-from-another-site")));
        assert_eq!(event!("unknown-path").link(), None);
    }

    #[test]
    fn only_one_segment_is_a_link() {
        for (path, link) in [
            ("/a/SEGMENT", Some("SEGMENT")),
            ("/a/", None),
            ("/a", None),
            ("/", None),
            ("/a/x/y", None),
            ("/a/x/", None),
            ("//a/x", None),
        ] {
            assert_eq!(
                request(|event| event["rawPath"] = json!(path)).link(),
                link,
                "{path}"
            );
        }
    }

    #[test]
    fn a_body_comes_plain_or_as_base64() {
        let plain = request(|event| event["body"] = json!("a=b"));
        let encoded = request(|event| {
            event["body"] = json!(STANDARD.encode("a=b"));
            event["isBase64Encoded"] = json!(true);
        });
        assert_eq!(
            (plain.body(), encoded.body()),
            (Ok(b"a=b".to_vec()), Ok(b"a=b".to_vec()))
        );
        let broken = request(|event| {
            event["body"] = json!("%%%");
            event["isBase64Encoded"] = json!(true);
        });
        assert_eq!(broken.body(), Err(BodyError::Malformed));
    }

    #[test]
    fn a_large_body_is_not_read() {
        let fits = request(|event| event["body"] = json!("a".repeat(MAX_BODY_BYTES)));
        assert_eq!(fits.body().unwrap().len(), MAX_BODY_BYTES);
        let large = request(|event| event["body"] = json!("a".repeat(MAX_BODY_BYTES + 1)));
        assert_eq!(large.body(), Err(BodyError::TooLarge));
    }

    #[test]
    fn two_different_cookies_of_one_name_are_none() {
        let cookies = |cookies: Value| request(|event| event["cookies"] = cookies);
        assert_eq!(cookies(json!(["x=1", "n=2"])).cookie("n"), Some("2"));
        assert_eq!(cookies(json!(["n=2; n=2"])).cookie("n"), Some("2"));
        assert_eq!(cookies(json!(["n=1", "n=2"])).cookie("n"), None);
        let header = request(|event| event["headers"]["cookie"] = json!("a=b; n=3"));
        assert_eq!(header.cookie("n"), Some("3"));
    }

    #[test]
    fn a_response_is_logged_without_its_content() {
        let page = Page {
            status: 200,
            html: "MARKER".to_owned(),
            cookie: Some("MARKER".to_owned()),
            what: "form",
            retry_after: std::time::Duration::ZERO,
        };
        let response = Response::new(page, false);
        assert_eq!(format!("{response:?}"), "200 form");
        assert!(response.headers["content-security-policy"].contains("frame-ancestors 'none'"));
        assert_eq!(
            (
                response.headers["cache-control"].as_str(),
                response.headers["referrer-policy"].as_str()
            ),
            ("no-store", "no-referrer")
        );
    }

    #[test]
    fn a_head_request_gets_neither_body_nor_cookie() {
        let page = Page {
            status: 200,
            html: "x".to_owned(),
            cookie: Some("y".to_owned()),
            what: "form",
            retry_after: std::time::Duration::ZERO,
        };
        let response = Response::new(page, true);
        assert!(response.body.is_empty() && response.cookies.is_empty() && response.status_code == 200);
    }

    #[test]
    fn what_is_no_request_is_refused_without_its_content() {
        let Err(error) = Request::parse(json!({ "rawPath": ["MARKER"] })) else {
            panic!("taken")
        };
        assert!(!error.to_string().contains("MARKER"));
    }
}
