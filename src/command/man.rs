//! `orgtrail man`: manual pages, made from the command line's own help.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args as ClapArgs, Command};
use clap_mangen::Man;

use crate::terminal::say;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail man | man -l -
  orgtrail man --out /usr/local/share/man/man1";

/// Which pages.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory for the pages of all commands: `orgtrail.1`, `orgtrail-serve.1` and so on.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, mut whole: Command) -> Result<()> {
    // Gives each command its full name.
    whole.build();
    let Some(dir) = &args.out else {
        let mut page = Vec::new();
        Man::new(whole).render(&mut page)?;
        return Ok(io::stdout().lock().write_all(&page)?);
    };
    fs::create_dir_all(dir).with_context(|| format!("could not make `{}`", dir.display()))?;
    let written = write_pages(&whole, dir)?;
    Ok(say(format!(
        "{written} pages written to {}.",
        dir.display()
    ))?)
}

/// Writes the pages of a command and of those below it; returns how many.
fn write_pages(command: &Command, dir: &Path) -> Result<u64> {
    let man = Man::new(command.clone());
    let path = dir.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(&path, page).with_context(|| format!("could not write `{}`", path.display()))?;
    let mut written = 1;
    for below in command.get_subcommands().filter(|below| !is_help(below)) {
        written += write_pages(below, dir)?;
    }
    Ok(written)
}

/// The help of a command is in its page.
fn is_help(command: &Command) -> bool {
    command.get_name() == "help" || command.is_hide_set()
}
