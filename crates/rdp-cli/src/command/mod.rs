//! The commands, one per file: convert, call the library, print.

mod audit;
mod bench;
mod check;
mod completions;
mod demo;
mod init;
mod land;
mod poll;
mod positions;
mod schema;
mod scratch;
mod sql;
mod torture;

use std::path::Path;

use rdp_elt::{Error, Until};

use crate::args::Command;
use crate::exit::Failure;
use crate::screen::Screen;

/// Runs a command to its end.
pub(crate) async fn run(command: &Command, screen: &Screen) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(args, screen).await,
        Command::Init(args) => init::run(args, screen).await,
        Command::Check(args) => check::run(args, screen).await,
        Command::Load(args) => land::run(&args.config, Until::LogEnd, screen).await,
        Command::Run(args) => land::run(&args.config, Until::Stopped, screen).await,
        Command::Poll(args) => poll::run(args, screen).await,
        Command::Schema(args) => schema::run(args, screen).await,
        Command::Sql(args) => sql::run(args, screen).await,
        Command::Audit(args) => audit::run(args, screen).await,
        Command::Positions(args) => positions::run(&args.config, screen).await,
        Command::Bench(args) => bench::run(args, screen).await,
        Command::Torture(args) => torture::run(args, screen).await,
        Command::Completions { shell } => completions::run(*shell),
    }
}

/// Runs what blocks (a broker's answer, a query) away from the async threads.
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(what)
        .await
        .map_err(|error| Error::internal("wait for a blocking call").with_source(error))?
}

/// A path as a person would type it again.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|letter| letter.is_alphanumeric() || "/._-=+:,@".contains(letter));
    if is_plain && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
