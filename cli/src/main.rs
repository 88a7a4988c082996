//! `signalbox`: the way in for the people who use it every day.
//!
//! What is asked for goes to standard output, everything else to standard error. No command changes anything
//! unless its name says so. Each command is a file of `commands/`, and reads *gather → decide → render*: what
//! it found out is one type, and both the text and the JSON are made of it.

mod access;
mod approvals;
mod commands;
mod console;
mod error;
mod follow;
mod names;
mod output;
mod patience;
mod pipeline;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{audit, doctor, status, trigger, watch};
use crate::error::{Error, Exit};

/// The event-driven control plane for AWS CodePipeline, from the command line.
#[derive(Debug, Parser)]
#[command(
    name = "signalbox",
    version,
    arg_required_else_help = true,
    after_help = error::EXIT_CODES,
    after_long_help = error::HELP
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Packs a directory, uploads it, and tells of the run that this starts.
    Trigger(Box<trigger::Arguments>),
    /// How a pipeline stands: stages, freezes, open approvals, newest runs.
    Status(status::Arguments),
    /// Follows a run to its end.
    Watch(watch::Arguments),
    /// Looks for what is wrong with an environment, and says how to mend it.
    Doctor(doctor::Arguments),
    /// Who was asked, who tried, who decided: every approval of a pipeline, oldest first.
    Audit(audit::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Trigger(arguments) => trigger::run(&arguments).await,
        Command::Status(arguments) => status::run(&arguments).await,
        Command::Watch(arguments) => watch::run(&arguments).await,
        Command::Doctor(arguments) => Box::pin(doctor::run(&arguments)).await,
        Command::Audit(arguments) => audit::run(&arguments).await.map(|()| Exit::Done),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => error.report().into(),
    }
}
