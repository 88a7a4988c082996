//! The acceptance suite. One local cloud serves all of it: the real functions as processes, the real
//! SDK and the real AWS CLI over the wire. Each hazard is a test of its own, named after its number.
//!
//! `cargo test --test acceptance -- h17` runs one.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::world::World;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("the async runtime must start");
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(&runtime, &Lazy::default())).exit_code();
    }
    let world = match runtime.block_on(World::start()) {
        Ok(world) => Arc::new(world),
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "error: the local cloud does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let lazy = Lazy::default();
    let _ = lazy.set(world.clone());
    let conclusion = libtest_mimic::run(&arguments, trials(&runtime, &lazy));
    drop(lazy);
    runtime.block_on(world.stop());
    conclusion.exit_code()
}

/// The world, once it stands; listing the tests needs none.
type Lazy = Arc<std::sync::OnceLock<Arc<World>>>;

/// Makes trials of async functions that take the world.
macro_rules! trials {
    ($runtime:expr, $lazy:expr, $($module:ident :: { $($name:ident),* $(,)? }),* $(,)?) => {
        vec![$($({
            let (handle, lazy) = ($runtime.handle().clone(), Arc::clone($lazy));
            Trial::test(stringify!($name), move || -> Result<(), Failed> {
                let world = lazy.get().ok_or("the world does not stand")?.clone();
                handle.block_on($module::$name(&world));
                Ok(())
            })
        }),*),*]
    };
}

fn trials(runtime: &Runtime, lazy: &Lazy) -> Vec<Trial> {
    trials!(runtime, lazy,
    )
}
