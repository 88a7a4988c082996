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
    /// Builds every function for release and zips it for Lambda, as `target/lambda/<function>/bootstrap.zip`,
    /// with its bill of materials (CycloneDX) beside it, as `bootstrap.cdx.json`.
    ///
    /// The same source and toolchain give the same bytes, wherever the checkout is. Exit code 1 where a build
    /// fails, or where what it needs is missing.
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
