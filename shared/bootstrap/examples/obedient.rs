//! A function that does as its event says: it answers with its process's number, fails, or panics.
//!
//! The acceptance suite runs it in the local cloud, to see what Lambda is told of a function that misbehaves.

use serde_json::{Value, json};
use signalbox_bootstrap::{Aws, ConfigErrors, Failure, Invocation, Reader};

async fn start(_: Reader, _: Aws) -> Result<(), ConfigErrors> {
    Ok(())
}

#[expect(clippy::panic, reason = "that is what it is told to do")]
async fn handle(event: Value, (): &(), _: Invocation) -> Result<Value, Failure> {
    if let Some(why) = event.get("panic") {
        panic!("{why}");
    }
    match event.get("fail").and_then(Value::as_str) {
        Some(why) => Err(Failure::permanent(why)),
        None => Ok(json!({ "pid": std::process::id() })),
    }
}

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(start, handle)
}
