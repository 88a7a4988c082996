//! Whether a form was sent by our own page.

use crate::http::Request;

/// Judges by what the browser itself says, which no page can forge.
///
/// - `Sec-Fetch-Site`, where it is sent, must be `same-origin` (or `none`: the person's own doing).
/// - `Origin`, where it is sent, must name the host that the request went to. The page is served with
///   `Referrer-Policy: no-referrer`, under which browsers send `Origin: null` even with a form of one's
///   own (Fetch standard, "append a request `Origin` header"): `null` counts only beside
///   `Sec-Fetch-Site: same-origin`, since a sandboxed frame elsewhere also sends `null`.
/// - Where neither is sent it is no current browser; cookie and form still have to fit each other.
pub(crate) fn is_same(request: &Request) -> bool {
    let site = request.header("sec-fetch-site");
    if !matches!(site, None | Some("same-origin" | "none")) {
        return false;
    }
    match request.header("origin") {
        None => true,
        Some("null") => site == Some("same-origin"),
        Some(origin) => {
            let scheme = if request.is_plain_http() {
                "http://"
            } else {
                "https://"
            };
            let authority = origin.strip_prefix(scheme);
            authority
                .is_some_and(|authority| request.hosts().any(|host| host.eq_ignore_ascii_case(authority)))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_same;
    use crate::http::tests::request;

    const OWN: &str = "https://abc.lambda-url.us-east-1.on.aws";

    fn judged(origin: Option<&str>, site: Option<&str>) -> bool {
        is_same(&request(|event| {
            if let Some(origin) = origin {
                event["headers"]["origin"] = json!(origin);
            }
            if let Some(site) = site {
                event["headers"]["sec-fetch-site"] = json!(site);
            }
        }))
    }

    #[test]
    fn our_own_page_is_recognised_by_every_browser() {
        assert!(judged(Some(OWN), Some("same-origin")));
        assert!(
            judged(Some("null"), Some("same-origin")),
            "no-referrer makes a form's origin null"
        );
        assert!(judged(Some(OWN), None), "a browser without fetch metadata");
        assert!(judged(None, None), "no browser; the nonce decides");
    }

    #[test]
    fn any_other_site_is_refused() {
        for (origin, site) in [
            (Some("https://evil.example"), Some("cross-site")),
            (Some("https://evil.example"), None),
            (Some("https://evil.example"), Some("same-origin")),
            (Some(OWN), Some("cross-site")),
            (Some(OWN), Some("same-site")),
            (None, Some("cross-site")),
            (Some("null"), Some("cross-site")),
            (Some("null"), None),
            (Some("null"), Some("none")),
            (Some("http://abc.lambda-url.us-east-1.on.aws"), None),
            (Some("https://abc.lambda-url.us-east-1.on.aws.evil.example"), None),
            (
                Some("https://abc.lambda-url.us-east-1.on.aws, https://evil.example"),
                None,
            ),
            (Some(""), None),
        ] {
            assert!(!judged(origin, site), "{origin:?} {site:?}");
        }
    }

    #[test]
    fn a_local_cloud_is_plain_http_on_a_port() {
        let local = request(|event| {
            event["headers"] = json!({
                "host": "127.0.0.1:4600", "x-forwarded-proto": "http", "origin": "http://127.0.0.1:4600",
            });
        });
        assert!(is_same(&local));
    }
}
