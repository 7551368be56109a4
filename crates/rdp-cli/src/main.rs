//! The `rdp` command: lands Kafka topics in files exactly once, audits them and queries them.
//!
//! It reads arguments, calls the library and prints what comes back. What is not in the library is not here either: no
//! Kafka, no files, no SQL of its own.

mod args;
mod child;
mod command;
mod exit;
mod number;
mod output;
mod progress;
mod screen;
mod signal;
mod table;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Args, Global};
use exit::Failure;
use screen::Screen;

/// Rows are built and freed slice by slice on several threads, which is what this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args = Args::parse();
    let screen = Screen::new(args.global.output, args.global.quiet);
    let outcome = start_log(&args.global, &screen).and_then(|()| run(&args, &screen));
    exit::leave(match outcome {
        Ok(()) => 0,
        Err(failure) => {
            screen.show_failure(&failure);
            failure.exit_code()
        }
    })
}

/// The async runtime is the command's; the library brings none. A command's blocking part runs off its threads.
fn run(args: &Args, screen: &Screen) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| rdp_elt::Error::unavailable("start the async runtime").with_source(error))?;
    let outcome = runtime.block_on(command::run(&args.command, screen));
    // What the command waited for is done. A look-up that it gave up on may still wait for a broker, and nobody for it.
    runtime.shutdown_background();
    outcome
}

/// Logs go to stderr, above the progress bar where there is one.
fn start_log(global: &Global, screen: &Screen) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(global.log_filter()).map_err(|error| {
        rdp_elt::Error::config(format!("read --log {:?}", global.log_filter()))
            .with_source(error)
            .with_help("a level such as info, or levels by module such as rdp_elt=debug,warn")
    })?;
    let for_lines = screen.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(screen.has_colour())
        .with_target(false)
        .with_writer(move || for_lines.clone())
        .init();
    Ok(())
}
