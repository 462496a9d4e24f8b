//! The `orgtrail` program: the command line, and its exit code.

use std::process::ExitCode;

use orgtrail::command::{self, Cli};
use orgtrail::terminal;
use orgtrail::wording::causes;

fn main() -> ExitCode {
    match Cli::read().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if terminal::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::from(command::exit_code(&error))
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last word to the person who started the program"
)]
fn tell(error: &anyhow::Error) {
    // A server that was asked may have said anything.
    eprintln!(
        "orgtrail: {}",
        terminal::harmless_lines(&causes(error.as_ref()))
    );
}
