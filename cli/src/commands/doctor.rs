//! `signalbox doctor`: looks at everything that an environment needs, and says what is wrong and how to mend
//! it. It reads, and changes nothing.

mod alarms;
mod approval;
mod bucket;
mod check;
mod clock;
mod finding;
mod functions;
mod keys;
mod ledger;
mod pipeline;
mod render;
mod rules;
mod secrets;
mod stack;

use clap::Args;
use serde::Serialize;
use signalbox_decision::start::Branch;

use self::check::Check;
use self::finding::{Finding, Verdict};
use self::functions::Deployed;
use crate::access::{Access, Cloud};
use crate::error::{EXIT_CODES, Error, Exit, help};
use crate::names::Place;
use crate::output::{print, print_json};

/// `signalbox doctor`
#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    after_long_help = long_help()
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The bucket that packages are uploaded to [default: the one that start-run was given].
    #[arg(
        long,
        value_name = "NAME",
        env = "SIGNALBOX_SOURCE_BUCKET",
        help_heading = "Names"
    )]
    bucket: Option<String>,
    /// One JSON document, in the place of text.
    #[arg(long)]
    json: bool,
    /// Lists what is sound, too.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    access: Access,
}

fn long_help() -> String {
    let checks = Check::listed();
    help(&format!(
        "Examples:
  signalbox doctor production
  signalbox doctor production --control-plane orders
  signalbox doctor staging --json | jq '.findings[] | select(.verdict != \"sound\")'

What it looks at, by the names of its findings:
{checks}

It reads only: it needs the permissions of the managed policy ReadOnlyAccess, or what a finding names. Exit code 7: \
         something is wrong; 1: nothing is known to be wrong, but not everything could be looked at."
    ))
}

/// What the checks share.
#[derive(Debug)]
struct Patient<'a> {
    cloud: &'a Cloud,
    place: &'a Place,
    /// The functions as they are deployed, with their variables.
    deployed: &'a Deployed,
    /// The pipeline that the functions control.
    pipeline: String,
    bucket: String,
    prefix: String,
}

/// What the command answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    environment: &'a str,
    sound: bool,
    findings: Vec<Finding>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let place = &arguments.place;
    let environment = place.environment.as_str();
    let template = stack::Template::read(environment, place.control_plane.name()).map_err(Error::Nothing)?;
    let pipeline = place.pipeline()?;
    let cloud = arguments.access.connect().await?;
    let (deployed, mut findings) = functions::check(&cloud, &template).await;
    // As the stack's own functions name them, where they are there: a name that the stack was given is no finding.
    let named = |name| deployed.variable("start-run", name);
    let patient = Patient {
        cloud: &cloud,
        place,
        deployed: &deployed,
        pipeline: named("PIPELINE_NAME").unwrap_or_else(|| pipeline.to_string()),
        bucket: arguments
            .bucket
            .clone()
            .or_else(|| named("SOURCE_BUCKET"))
            .unwrap_or_else(|| format!("lambda-artifacts-{environment}")),
        prefix: named("SOURCE_PREFIX").unwrap_or_else(|| "source/".to_owned()),
    };
    let found = tokio::join!(
        bucket::check(&patient),
        rules::check(&patient, &template),
        alarms::check(&patient),
        keys::check(&patient),
        secrets::check(&patient),
        ledger::check(&patient),
        approval::check(&patient),
        pipeline::check(&patient),
        clock::check(&patient),
    );
    let (bucket, rules, alarms, keys, secrets, ledger, approval, pipeline, clock) = found;
    for more in [
        bucket, rules, alarms, keys, secrets, ledger, approval, pipeline, clock,
    ] {
        findings.extend(more);
    }
    let exit = exit(&findings);
    if arguments.json {
        let report = Report {
            environment,
            sound: exit == Exit::Done,
            findings,
        };
        print_json(&report)?;
    } else {
        print(&render::text(environment, &findings, arguments.verbose))?;
    }
    Ok(exit)
}

/// What is wrong weighs more than what could not be looked at.
fn exit(findings: &[Finding]) -> Exit {
    let any = |verdict: Verdict| findings.iter().any(|finding| finding.verdict == verdict);
    if any(Verdict::Wrong) {
        Exit::Unwell
    } else if any(Verdict::Unknown) {
        Exit::Refused
    } else {
        Exit::Done
    }
}

impl Patient<'_> {
    /// The application's function.
    fn application(&self) -> String {
        let named = self.deployed.variable("before-traffic", "FUNCTION_NAME");
        named.unwrap_or_else(|| format!("lambda-function-{}", self.place.environment))
    }

    /// The branch that is deployed.
    fn branch(&self) -> Option<Branch> {
        Branch::new(self.deployed.variable("start-run", "BRANCH")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_weighs_more_than_what_is_unknown() {
        let sound = Finding::sound(Check::Clock, "b", "c");
        let unknown = Finding::unknown(Check::Clock, "b", "c");
        let wrong = Finding::wrong(Check::Clock, "b", "c", "mend it");
        let doubtful = Finding::doubtful(Check::Clock, "b", "c", "look");
        assert_eq!(exit(&[sound.clone(), doubtful]), Exit::Done);
        assert_eq!(exit(&[sound, unknown.clone()]), Exit::Refused);
        assert_eq!(exit(&[unknown, wrong]), Exit::Unwell);
    }
}
