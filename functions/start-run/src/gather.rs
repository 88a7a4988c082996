//! Reads the object version that the event names.

use std::io::Write;
use std::time::{Duration, Instant};

use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::{Invocation, aws_failure};
use signalbox_decision::package::{Contents, Limits, Package};
use signalbox_decision::start::{Candidate, Object};

use crate::app::App;
use crate::error::Error;
use crate::inspect;

/// Kept back from the invocation's time, to decide, act and record.
const RESERVE: SignedDuration = SignedDuration::from_secs(8);

/// An object version whose headers have been read.
pub(crate) enum Opened {
    Found(Box<Found>),
    Gone,
}

/// Its headers, and its bytes still to come.
pub(crate) struct Found {
    pub(crate) etag: Option<String>,
    pub(crate) size: u64,
    branch: Option<String>,
    body: ByteStream,
}

impl Found {
    /// The object, without what its package holds.
    pub(crate) fn unread(self) -> Object {
        Object::Found {
            etag: self.etag,
            branch: self.branch,
            package: Package {
                size: self.size,
                contents: Contents::Unread,
            },
        }
    }
}

/// Asks for exactly that version, of a bucket that belongs to the account.
pub(crate) async fn open(app: &App, candidate: &Candidate) -> Result<Opened, Error> {
    let answer = app
        .objects
        .get_object()
        .bucket(candidate.bucket.as_str())
        .key(candidate.key.as_str())
        .version_id(candidate.version.as_str())
        .expected_bucket_owner(&app.config.settings.account)
        .send()
        .await;
    let object = match answer {
        Ok(object) => object,
        Err(error) => {
            let failure = aws_failure(&error);
            let no_key = matches!(error.as_service_error(), Some(GetObjectError::NoSuchKey(_)));
            // A version that is a delete marker answers 405.
            let gone = ["NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "NotFound"]
                .iter()
                .any(|code| failure.is(code));
            return if no_key || gone {
                Ok(Opened::Gone)
            } else {
                Err(Error::Aws {
                    call: "GetObject",
                    failure,
                })
            };
        }
    };
    Ok(Opened::Found(Box::new(Found {
        etag: object.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
        size: object
            .content_length()
            .and_then(|length| u64::try_from(length).ok())
            .unwrap_or(0),
        branch: object
            .metadata()
            .and_then(|metadata| metadata.get("branch"))
            .cloned(),
        body: object.body,
    })))
}

/// Takes the package into a temporary file, as far as it may be large, and looks into it.
pub(crate) async fn inspect(found: Found, limits: &Limits, invocation: &Invocation) -> Result<Object, Error> {
    if found.size == 0 || found.size > limits.package_bytes {
        return Ok(found.unread());
    }
    let Found {
        etag,
        size,
        branch,
        mut body,
    } = found;
    let give_up = give_up(invocation);
    let storage = |error: std::io::Error| Error::Storage(error.kind().to_string());
    let mut file = tempfile::NamedTempFile::new().map_err(storage)?;
    let mut taken: u64 = 0;
    loop {
        let left = give_up.saturating_duration_since(Instant::now());
        let chunk = tokio::time::timeout(left, body.next())
            .await
            .map_err(|_| Error::OutOfTime)?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| Error::Transfer(error.to_string()))?;
        taken += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if taken > size {
            return Err(Error::Transfer(format!(
                "more than the {size} bytes that were announced"
            )));
        }
        file.write_all(&chunk).map_err(storage)?;
    }
    if taken != size {
        return Err(Error::Transfer(format!("{taken} of {size} bytes")));
    }
    let limits = *limits;
    let contents =
        tokio::task::spawn_blocking(move || inspect::contents(file.as_file_mut(), size, &limits, give_up))
            .await
            .map_err(|_| Error::Storage("the inspection was ended".to_owned()))?
            .map_err(|error| match error {
                inspect::Unfinished::OutOfTime => Error::OutOfTime,
                inspect::Unfinished::Storage(kind) => Error::Storage(kind.to_string()),
            })?;
    Ok(Object::Found {
        etag,
        branch,
        package: Package { size, contents },
    })
}

fn give_up(invocation: &Invocation) -> Instant {
    // Not since the invocation began: what came before, such as another upload of the same batch, has taken its time.
    let left = invocation.deadline.duration_since(Timestamp::now()) - RESERVE;
    Instant::now() + Duration::try_from(left).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_inspection_is_taken_off_its_time() {
        let now = Timestamp::now();
        let at = |seconds: i64| now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
        let invocation = Invocation {
            now: at(-30),
            deadline: at(30),
            request_id: "r".to_owned(),
        };
        let left = give_up(&invocation) - Instant::now();
        assert!(left <= Duration::from_secs(22), "{left:?}");
    }
}
