//! How a command ends: its exit code, and why it did not do what was asked.

use std::io::{self, Write};
use std::process::ExitCode;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use signalbox_bootstrap::{AwsFailure, aws_failure};
use signalbox_ledger::LedgerError;

use crate::output::BAD;

macro_rules! exit_codes {
    () => {
        "Exit codes:
  0  done; where a run was followed: it succeeded
  1  AWS, the ledger or this machine refused, or did not answer
  2  the command or the environment is wrong (said before anything is asked)
  3  the run failed
  4  the run was stopped, cancelled or superseded by a newer one
  5  the package was rejected: before the upload, or by start-run
  6  it took longer than --timeout
  7  doctor: something is wrong"
    };
}

/// The exit codes.
pub(crate) const EXIT_CODES: &str = exit_codes!();

/// A command's long help: what it says of itself, and the exit codes.
pub(crate) fn help(text: &str) -> String {
    format!("{text}\n\n{EXIT_CODES}")
}

/// The exit codes, and where access comes from.
pub(crate) const HELP: &str = concat!(
    exit_codes!(),
    "\n\nAccess: credentials, profiles and region as the AWS CLI finds them (AWS_PROFILE, AWS_REGION, \
     ~/.aws/config, IAM Identity Center, container and instance roles); it is asked, unless AWS_ACCESS_KEY_ID, \
     AWS_SECRET_ACCESS_KEY and AWS_REGION are set. HTTPS_PROXY, NO_PROXY and AWS_CA_BUNDLE (a PEM file; this \
     machine's own roots are trusted as well) are honoured. --local, or SIGNALBOX_LOCAL_URL, means a local \
     cloud, which is asked without a proxy.\n\nColours are used on a terminal only, and never where NO_COLOR is \
     set."
);

/// What a command that ran to its end says by its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; a followed run succeeded.
    Done,
    /// AWS, the ledger or this machine refused.
    Refused,
    /// The command or the environment is wrong.
    Usage,
    /// The run failed.
    RunFailed,
    /// The run was stopped, cancelled or superseded.
    RunStopped,
    /// The package was rejected.
    Rejected,
    /// The time was up.
    TimedOut,
    /// Something is wrong with the environment.
    Unwell,
}

impl Exit {
    /// The code, as the help documents it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::RunFailed => 3,
            Self::RunStopped => 4,
            Self::Rejected => 5,
            Self::TimedOut => 6,
            Self::Unwell => 7,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The environment lacks something; all of it at once.
    #[error("{}", .0.join("\n"))]
    Environment(Vec<String>),
    /// AWS refused, or did not answer.
    #[error("{what}: {failure}")]
    Aws {
        /// What was asked.
        what: String,
        /// What AWS said.
        failure: AwsFailure,
    },
    /// The ledger could not be read.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    /// A file of this machine cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The package would be rejected, or was.
    #[error("{0}")]
    Rejected(String),
    /// There is nothing that could be done.
    #[error("{0}")]
    Nothing(String),
    /// The output could not be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// AWS's error to a call that does `what`.
    pub(crate) fn aws<E>(what: impl Into<String>) -> impl FnOnce(SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let what = what.into();
        move |error| Self::Aws {
            what,
            failure: aws_failure(&error),
        }
    }

    /// Whether the same may be answered later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Aws { failure, .. } => failure.retryable,
            Self::Ledger(error) => error.is_retryable(),
            Self::Environment(_)
            | Self::File { .. }
            | Self::Rejected(_)
            | Self::Nothing(_)
            | Self::Output(_) => false,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Environment(_) => Exit::Usage,
            Self::Rejected(_) => Exit::Rejected,
            // Who reads no further (`| head`) has what they wanted.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Aws { .. } | Self::Ledger(_) | Self::File { .. } | Self::Nothing(_) | Self::Output(_) => {
                Exit::Refused
            }
        }
    }

    /// Says it on standard error; answers the exit code.
    pub(crate) fn report(&self) -> Exit {
        let exit = self.exit();
        if exit != Exit::Done {
            let _ = writeln!(anstream::stderr(), "{BAD}signalbox:{BAD:#} {self}");
        }
        exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_both_helps() {
        for exit in [
            Exit::Done,
            Exit::Refused,
            Exit::Usage,
            Exit::RunFailed,
            Exit::RunStopped,
            Exit::Rejected,
            Exit::TimedOut,
            Exit::Unwell,
        ] {
            let line = format!("\n  {}  ", exit.code());
            assert!(EXIT_CODES.contains(&line) && HELP.contains(&line), "{exit:?}");
        }
        assert!(HELP.starts_with(EXIT_CODES));
    }
}
