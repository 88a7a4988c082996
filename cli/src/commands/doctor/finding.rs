//! What a check found.

use serde::Serialize;
use signalbox_bootstrap::AwsFailure;

use super::check::Check;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    /// As it should be.
    Sound,
    /// It works, and somebody should look at it.
    Doubtful,
    /// It could not be looked at.
    Unknown,
    /// It does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// Which check.
    pub(super) check: Check,
    /// What was looked at.
    pub(super) subject: String,
    /// How it is.
    pub(super) verdict: Verdict,
    /// What was seen, as a sentence without its full stop.
    pub(super) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn sound(check: Check, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            check,
            subject: subject.into(),
            verdict: Verdict::Sound,
            text: text.into(),
            fix: None,
        }
    }

    pub(super) fn unknown(check: Check, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Unknown,
            ..Self::sound(check, subject, text)
        }
    }

    pub(super) fn wrong(
        check: Check,
        subject: impl Into<String>,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Wrong,
            fix: Some(fix.into()),
            ..Self::sound(check, subject, text)
        }
    }

    pub(super) fn doubtful(
        check: Check,
        subject: impl Into<String>,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Doubtful,
            ..Self::wrong(check, subject, text, fix)
        }
    }

    /// What a failed call tells: that it is not there, or that it could not be looked at.
    pub(super) fn failed(
        check: Check,
        subject: impl Into<String>,
        failure: &AwsFailure,
        fix: impl Into<String>,
    ) -> Self {
        let code = failure.code.as_deref().unwrap_or_default();
        let is_missing = ["NotFound", "NoSuch", "DoesNotExist", "NonExist"]
            .iter()
            .any(|part| code.contains(part));
        if is_missing {
            Self::wrong(check, subject, format!("it is not there ({code})"), fix)
        } else {
            Self::unknown(check, subject, failure.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_thing_is_wrong_and_a_refused_look_is_unknown() {
        let failure = |code: &str| AwsFailure {
            code: Some(code.to_owned()),
            message: "m".to_owned(),
            retryable: false,
            refused: true,
        };
        for code in ["NoSuchBucket", "ResourceNotFoundException", "ParameterNotFound"] {
            let found = Finding::failed(Check::Ledger, "s", &failure(code), "make it");
            assert_eq!(
                (found.verdict, found.fix.as_deref()),
                (Verdict::Wrong, Some("make it"))
            );
        }
        let found = Finding::failed(Check::Ledger, "s", &failure("AccessDeniedException"), "make it");
        assert_eq!((found.verdict, found.fix), (Verdict::Unknown, None));
        assert_eq!(found.text, "AccessDeniedException: m");
    }
}
