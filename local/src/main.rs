//! The local cloud's command: the demo, or the cloud alone.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use signalbox_local::console::Console;
use signalbox_local::demo::{self, DemoError, Scenario, Summary};
use signalbox_local::running::{self, Running};
use tokio::signal::unix::SignalKind;

/// Signalbox's local cloud: the whole pipeline on this machine, without an AWS account.
///
/// It listens on 127.0.0.1 only, is for trying and testing, and is no way to production.
#[derive(Debug, Parser)]
#[command(name = "signalbox-local", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the main job: an upload runs the whole pipeline, and a bad version is rolled back.
    ///
    /// Exit code: 0 all went as it must; 1 a step did not (the message names the step, the cause and
    /// the log to read); 130 ended by Ctrl-C.
    Demo(DemoArguments),
    /// Starts the local cloud alone; it stays until Ctrl-C.
    Up(Cloud),
    /// Makes this machine ready (a private virtual environment, below the target directory) and ends.
    Setup,
}

#[derive(Debug, Clone, Args)]
struct Cloud {
    /// Configured durations (a canary's interval, an alarm's period) pass this many times faster.
    #[arg(long, default_value_t = 30.0, value_name = "N", value_parser = scale)]
    scale: f64,
    /// The gateway's port on 127.0.0.1; 0 is any free one. [default: any for the demo, 4750 otherwise]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Another emulator than moto for what has no engine here.
    #[arg(long, value_name = "URL")]
    emulator: Option<String>,
    /// Takes the functions' binaries from here instead of building them: after `cargo package-functions`,
    /// target/x86_64-unknown-linux-gnu/release.
    #[arg(long, value_name = "DIR")]
    functions: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
struct DemoArguments {
    /// You answer the requests for approval, on the page that the demo shows.
    #[arg(long)]
    manual: bool,
    /// The cloud stays after the end, a failed one too, until Ctrl-C; its addresses are printed.
    #[arg(long)]
    keep: bool,
    /// Writes the summary as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What is shown.
    #[arg(long, value_enum, default_value_t = Show::All)]
    scenario: Show,
    #[command(flatten)]
    cloud: Cloud,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Show {
    /// A good version goes out by canary.
    Release,
    /// A bad version is stopped and rolled back.
    Rollback,
    /// One after the other.
    All,
}

const UP_PORT: u16 = 4750;

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && (0.01..=10_000.0).contains(&scale) => Ok(scale),
        _ => Err("a number from 0.01 to 10000".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    let console = Console::default();
    let ended = command(&arguments.command, &console).await;
    console.finish();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Interrupted) => ExitCode::from(130),
        Err(Ended::Failed(error)) => {
            let _ = writeln!(anstream::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The engines' own warnings, only where somebody asks for them.
fn start_log() {
    let level = std::env::var("SIGNALBOX_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level.unwrap_or(tracing::Level::ERROR))
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}

enum Ended {
    Interrupted,
    Failed(DemoError),
}

impl From<DemoError> for Ended {
    fn from(error: DemoError) -> Self {
        Self::Failed(error)
    }
}

async fn command(command: &Command, console: &Console) -> Result<(), Ended> {
    match command {
        Command::Demo(arguments) => run_demo(arguments, console).await,
        Command::Up(cloud) => {
            let running = interruptible(demo::start(console, &options(cloud, UP_PORT))).await?;
            demo::tell_urls(console, &running, None);
            stay(running).await
        }
        Command::Setup => interruptible(demo::set_up(console)).await,
    }
}

/// Ctrl-C, what a service manager sends instead, or a terminal that is closed.
async fn interrupted() {
    let received = async |kind| match tokio::signal::unix::signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        () = received(SignalKind::terminate()) => (),
        () = received(SignalKind::hangup()) => (),
    }
}

/// Runs to the end or to Ctrl-C, whichever comes first. What is under way is dropped, and ends with that.
async fn interruptible<T>(work: impl Future<Output = Result<T, DemoError>>) -> Result<T, Ended> {
    tokio::select! {
        outcome = work => outcome.map_err(Ended::from),
        () = interrupted() => Err(Ended::Interrupted),
    }
}

fn options(cloud: &Cloud, port: u16) -> running::Options {
    running::Options {
        scale: cloud.scale,
        port: cloud.port.unwrap_or(port),
        emulator: cloud.emulator.clone(),
        functions: cloud
            .functions
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())),
    }
}

async fn run_demo(arguments: &DemoArguments, console: &Console) -> Result<(), Ended> {
    if let Some(file) = &arguments.json {
        // Said before anything starts, not after minutes.
        std::fs::File::create(file).map_err(|error| unwritable(file, &error))?;
    }
    let mut running = interruptible(demo::start(console, &options(&arguments.cloud, 0))).await?;
    let scenario = match arguments.scenario {
        Show::Release => Scenario::Release,
        Show::Rollback => Scenario::Rollback,
        Show::All => Scenario::All,
    };
    let mut outcome = match interruptible(demo::run(&running, console, scenario, arguments.manual)).await {
        Ok(summary) => tell(&summary, arguments, console),
        Err(ended) => Err(ended),
    };
    if let Err(Ended::Failed(error)) = &mut outcome {
        // The message names a log: it must still be there.
        running.keep_files();
        error.log.get_or_insert(running.logs.display().to_string());
    }
    if arguments.keep && !matches!(outcome, Err(Ended::Interrupted)) {
        if let Err(Ended::Failed(error)) = &outcome {
            console.bad(&error.to_string());
        }
        demo::tell_urls(console, &running, Some("the link in each mail of the inbox"));
        stay(running).await?;
        return outcome;
    }
    console.waiting("ending the local cloud");
    running.stop().await;
    outcome
}

fn tell(summary: &Summary, arguments: &DemoArguments, console: &Console) -> Result<(), Ended> {
    if let Some(file) = &arguments.json {
        let write = serde_json::to_vec_pretty(summary)
            .map_err(std::io::Error::from)
            .and_then(|json| std::fs::write(file, json));
        write.map_err(|error| unwritable(file, &error))?;
    }
    console.heading("Summary");
    console.finish();
    let _ = write!(anstream::stdout(), "{}", summary.text());
    Ok(())
}

fn unwritable(file: &std::path::Path, error: &std::io::Error) -> DemoError {
    DemoError {
        step: "writing the summary".to_owned(),
        cause: format!(
            "{}: {error}; --json needs a file that can be written",
            file.display()
        ),
        log: None,
    }
}

/// Stays until Ctrl-C, which is then the good end.
async fn stay(running: Running) -> Result<(), Ended> {
    interrupted().await;
    running.stop().await;
    Ok(())
}
