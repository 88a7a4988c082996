//! Uploads whose start was put off, because the pipeline was full: handed to the function that starts runs
//! again. It puts them off anew where there is still no room.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use signalbox_bootstrap::{Invocation, aws_failure};
use signalbox_ledger::Deferred;
use tracing::info;

use crate::app::App;
use crate::error::Error;

/// The ledger's kind of these events; start-run writes it by the same name.
const UPLOADS: &str = "uploads";

/// Hands every upload over that waits; answers how many, and what failed.
pub(crate) async fn resume(app: &App, invocation: &Invocation) -> (usize, Vec<Error>) {
    let waiting = match app.ledger.deferred(UPLOADS, invocation.now).await {
        Ok(waiting) => waiting,
        Err(error) => return (0, vec![error.into()]),
    };
    let (mut resumed, mut failed) = (0, Vec::new());
    for deferred in waiting {
        match resume_one(app, deferred, invocation).await {
            Ok(()) => resumed += 1,
            Err(error) => failed.push(error),
        }
    }
    (resumed, failed)
}

/// Hands over first and notes it after: a crash in between hands over twice, which starts nothing twice.
async fn resume_one(app: &App, deferred: Deferred, invocation: &Invocation) -> Result<(), Error> {
    app.functions
        .invoke()
        .function_name(app.config.start_run.as_str())
        .invocation_type(InvocationType::Event)
        .payload(Blob::new(deferred.event.to_string()))
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "Invoke",
            failure: aws_failure(&error),
        })?;
    let is_done = app.ledger.resumed(deferred, invocation.now).await?;
    info!(is_done, "an upload that was put off is tried again");
    Ok(())
}
