//! `signalbox`: what happened, from the ledger.
//!
//! Exit codes: 0, done; 1, AWS or the ledger refused or did not answer; 2, the command or the environment
//! is wrong (said before anything is asked). What is asked for goes to standard output, everything else to
//! standard error. No command changes anything unless its name says so.

mod access;
mod audit;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use signalbox_ledger::LedgerError;

/// The event-driven control plane for AWS CodePipeline, from the command line.
#[derive(Debug, Parser)]
#[command(
    name = "signalbox",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes:\n  0  done\n  1  AWS or the ledger refused, or did not answer\n  2  the command or \
                  the environment is wrong\n\nCredentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and \
                  AWS_SESSION_TOKEN, the region from AWS_REGION or AWS_DEFAULT_REGION."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Who was asked, who tried, who decided: every approval of a pipeline, oldest first.
    Audit(audit::Arguments),
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The environment lacks something; all of it at once.
    #[error("{}", .0.join("\n"))]
    Environment(Vec<String>),
    /// The ledger could not be read.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    /// The output could not be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Environment(_) => ExitCode::from(2),
            // Who reads no further (`| head`) has what they wanted.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Ledger(_) | Self::Output(_) => ExitCode::from(1),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Audit(arguments) => audit::run(&arguments).await,
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    let code = error.exit_code();
    if code != ExitCode::SUCCESS {
        let _ = writeln!(anstream::stderr(), "signalbox: {error}");
    }
    code
}
