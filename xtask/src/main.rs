//! The project's own chores.

mod configuration;
mod package;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds every function for release and zips it for Lambda, as `target/lambda/<function>/`.
    ///
    /// The same source gives the same bytes: entries carry no time. Exit code 1 where a build fails.
    PackageFunctions(package::Options),
    /// Writes `docs/configuration.md` from `template.yaml` and the functions' sources.
    Configuration,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::PackageFunctions(options) => package::run(&options),
        Command::Configuration => configuration::run().map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(anstream::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
