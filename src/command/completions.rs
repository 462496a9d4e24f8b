//! `orgtrail completions`: what a shell needs to complete our commands and options.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail completions bash > /etc/bash_completion.d/orgtrail
  orgtrail completions zsh > ~/.zfunc/_orgtrail
  orgtrail completions fish > ~/.config/fish/completions/orgtrail.fish";

/// Which shell.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, mut whole: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut whole, "orgtrail", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}
