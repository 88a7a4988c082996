//! How many failures in a row are borne by what looks again and again.

use std::time::Duration;

use crate::error::Error;
use crate::output::line;

/// So many failures in a row, each after the SDK's own retries, are borne; the next one ends the looking.
const FAILURES: u32 = 5;

/// Bears failures that may pass, and looks less often meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    /// Bears a failure that may pass; answers what is told of it.
    ///
    /// # Errors
    /// The failure itself, where it will not pass, or too many came before it.
    pub(crate) fn bear(&mut self, failure: Error) -> Result<String, Error> {
        if failure.is_retryable() {
            self.bear_any(failure)
        } else {
            Err(failure)
        }
    }

    /// As [`Patience::bear`], of a failure that the caller knows to pass at times.
    ///
    /// # Errors
    /// The failure itself, where too many came before it.
    pub(crate) fn bear_any(&mut self, failure: Error) -> Result<String, Error> {
        if self.failures >= FAILURES {
            return Err(failure);
        }
        self.failures += 1;
        Ok(format!("{}; looking again", line(&failure.to_string(), 500)))
    }

    /// An answer came: what failed before it counts no longer.
    pub(crate) fn renew(&mut self) {
        self.failures = 0;
    }

    /// How long to wait before the next look.
    pub(crate) fn pause(&self, interval: Duration) -> Duration {
        interval * (self.failures + 1)
    }
}

#[cfg(test)]
mod tests {
    use signalbox_bootstrap::AwsFailure;

    use super::*;

    fn failure(retryable: bool) -> Error {
        Error::Aws {
            what: "run 1".to_owned(),
            failure: AwsFailure {
                code: None,
                message: "AWS did not answer in time".to_owned(),
                retryable,
                refused: !retryable,
            },
        }
    }

    #[test]
    fn failures_that_may_pass_are_borne_up_to_a_number_in_a_row() {
        let mut patience = Patience::default();
        for _ in 0..FAILURES {
            let told = patience.bear(failure(true)).unwrap();
            assert_eq!(told, "run 1: AWS did not answer in time; looking again");
        }
        let error = patience.bear(failure(true)).unwrap_err();
        assert_eq!(error.to_string(), "run 1: AWS did not answer in time");
        patience.renew();
        assert!(patience.bear(failure(true)).is_ok());
    }

    #[test]
    fn what_will_not_pass_is_not_borne_unless_the_caller_knows_better() {
        let mut patience = Patience::default();
        assert!(patience.bear(failure(false)).is_err());
        let nothing = || Error::Nothing("CodeBuild knows no build b".to_owned());
        assert!(patience.bear(nothing()).is_err());
        for _ in 0..FAILURES {
            assert!(patience.bear_any(nothing()).is_ok());
        }
        assert!(patience.bear_any(nothing()).is_err());
    }

    #[test]
    fn it_looks_less_often_while_it_fails() {
        let mut patience = Patience::default();
        let second = Duration::from_secs(1);
        assert_eq!(patience.pause(second), second);
        assert!(patience.bear(failure(true)).is_ok());
        assert_eq!(patience.pause(second), 2 * second);
        patience.renew();
        assert_eq!(patience.pause(second), second);
    }
}
