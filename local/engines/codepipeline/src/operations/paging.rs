//! Pages of a list whose head grows while it is read: a token names the last item that was given.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

/// Puts a page under `member`, and `nextToken` where there is more. Items come with their ids.
///
/// # Errors
/// `InvalidNextTokenException` for a token that names nothing in the list.
pub(super) fn page(
    member: &str,
    items: Vec<(String, Value)>,
    limit: usize,
    token: Option<&str>,
) -> Result<Value, AwsError> {
    let from = match token {
        None => 0,
        Some(token) => {
            let last = STANDARD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let at = last.and_then(|last| items.iter().position(|(id, _)| *id == last));
            let at = at.ok_or_else(|| {
                AwsError::new(
                    "InvalidNextTokenException",
                    "The next token was specified in an invalid format",
                )
            })?;
            at + 1
        }
    };
    let more = items.len() > from + limit;
    let taken: Vec<(String, Value)> = items.into_iter().skip(from).take(limit).collect();
    let next = taken.last().filter(|_| more).map(|(id, _)| STANDARD.encode(id));
    let mut answer = json!({ member: taken.into_iter().map(|(_, item)| item).collect::<Vec<_>>() });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_gapless_though_the_head_grows() {
        let items = |from: u32| {
            (0..from)
                .rev()
                .map(|n| (n.to_string(), json!(n)))
                .collect::<Vec<_>>()
        };
        let first = page("all", items(5), 2, None).unwrap();
        assert_eq!(first["all"], json!([4, 3]));
        let second = page("all", items(7), 2, first["nextToken"].as_str()).unwrap();
        assert_eq!(second["all"], json!([2, 1]));
        let third = page("all", items(7), 2, second["nextToken"].as_str()).unwrap();
        assert_eq!(third, json!({ "all": [0] }));
        assert_eq!(
            page("all", items(7), 2, Some("nonsense")).unwrap_err().code,
            "InvalidNextTokenException"
        );
    }
}
