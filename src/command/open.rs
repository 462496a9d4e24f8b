//! `orgtrail open`: the search page at a question, in the browser.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use clap::Args as ClapArgs;
use url::Url;

use super::moment::MomentArg;
use super::reach::{Answerer, TargetArgs};
use super::start::load;
use crate::terminal::{note, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail open
  orgtrail open 'action.type:delete' --since 7d
  orgtrail open --print -- '-resource.product:dns'";

/// What addresses need not escape in their query. Readable addresses are easier to compare and to change.
const READABLE: [(&str, &str); 5] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%40", "@"),
    ("%2C", ","),
    ("%24", "$"),
];

/// Which question, and where.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// What to look for; nothing for everything.
    #[arg(default_value = "")]
    query: String,
    /// Only what happened at this time or later: `7d`, `now/d`, `2026-08-03`.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    since: Option<MomentArg>,
    /// Only what happened before this time.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    before: Option<MomentArg>,
    /// Print the address, and open nothing.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    reach: TargetArgs,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let address = args.address(&args.page(config)?);
    say(&address)?;
    if args.print {
        return Ok(());
    }
    let opened = browser().is_some_and(|program| open(program, &address));
    if !opened {
        note("No browser was found: open the address in one.")?;
    }
    Ok(())
}

impl Args {
    /// Where the page is: at the server that was named, or at the address that people use for the service of the data directory.
    fn page(&self, config: &Path) -> Result<Url> {
        let server = match self.reach.answerer(config)? {
            Answerer::Server(server) => server,
            Answerer::Dir(dir) => bail!(
                "no service answers for `{}`: start it with `orgtrail serve`",
                dir.display()
            ),
        };
        let is_configured = self.reach.server.is_none() && self.reach.data_dir.is_none();
        let public = is_configured.then(|| load(config)).transpose()?;
        let public = public.and_then(|config| config.http.public_url);
        Ok(public.map_or_else(|| server.to_string().parse(), Ok)?)
    }

    /// The page's address at this question.
    fn address(&self, page: &Url) -> String {
        let mut address = page.clone();
        let (since, before) = (text(self.since.as_ref()), text(self.before.as_ref()));
        let parameters = [("q", &self.query), ("since", &since), ("before", &before)];
        let given = parameters.iter().filter(|(_, value)| !value.is_empty());
        if given.clone().next().is_some() {
            address.query_pairs_mut().extend_pairs(given);
        }
        let readable = READABLE.iter();
        readable.fold(address.to_string(), |address, (escaped, plain)| {
            address.replace(escaped, plain)
        })
    }
}

/// A time as it was written.
fn text(moment: Option<&MomentArg>) -> String {
    moment.map(ToString::to_string).unwrap_or_default()
}

/// The program that opens an address: what `BROWSER` names, or else the system's own. `None` on a machine without a screen.
fn browser() -> Option<OsString> {
    let is_set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(program) = is_set("BROWSER") {
        return Some(program);
    }
    if cfg!(target_os = "macos") {
        return Some("open".into());
    }
    if cfg!(windows) {
        return Some("explorer".into());
    }
    let has_screen = is_set("DISPLAY")
        .or_else(|| is_set("WAYLAND_DISPLAY"))
        .is_some();
    has_screen.then(|| "xdg-open".into())
}

/// Whether a program was started with an address. It goes on by itself.
fn open(program: OsString, address: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(address).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_address_has_the_question_and_stays_readable() {
        for (page, line, address) in [
            ("http://127.0.0.1:7070", vec![], "http://127.0.0.1:7070/"),
            (
                "http://127.0.0.1:7070",
                vec!["action.type:delete", "--since", "now-7d"],
                "http://127.0.0.1:7070/?q=action.type:delete&since=now-7d",
            ),
            (
                "https://audit.example.com/",
                vec!["--before", "2026-08-03", "--", "-a:\"b&c=d#e+f\" ü"],
                "https://audit.example.com/?q=-a:%22b%26c%3Dd%23e%2Bf%22+%C3%BC&before=2026-08-03",
            ),
        ] {
            let line = Line::parse_from([&["open"], &line[..]].concat());
            assert_eq!(line.args.address(&page.parse().unwrap()), address);
        }
    }
}
