//! `orgtrail simulate`

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use clap::Args as ClapArgs;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::position::Source;
use crate::span;
use crate::terminal::say;
use orgtrail_simulator::{CursorForm, Faults, Lag, SimConfig, Simulator};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail simulate
  orgtrail simulate --events 1000000 --accounts 40 --fault server_error=0.1 --fault late=0.2";

/// What is simulated.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Where the simulated API answers.
    #[arg(long, default_value = "127.0.0.1:7071")]
    listen: SocketAddr,
    /// The same seed makes the same history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Entries of history, in all logs together.
    #[arg(long, default_value_t = 50_000)]
    events: u64,
    /// Organizations that there are in the beginning.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    organizations: u32,
    /// Accounts in each of them.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=500))]
    accounts: u32,
    /// How many days the history reaches back.
    #[arg(long, default_value_t = 540)]
    days: u32,
    /// New entries a minute, over all logs.
    #[arg(long, default_value_t = 30.0, value_parser = rate)]
    live_per_minute: f64,
    /// How long after they happened entries become visible: a span, or the shortest and the longest. Without it, what was
    /// measured of the real log. `0s`: at once.
    #[arg(long, value_name = "SPAN[-SPAN]", default_value = "167s-450s", value_parser = lag)]
    lag: Lag,
    /// Requests that one credential has in five minutes.
    #[arg(long, default_value_t = 1_200)]
    quota: u32,
    /// Where pages carry their cursor.
    ///
    /// As upstream's documentation says, as its official clients read it, or both.
    #[arg(long, value_enum, default_value = "both")]
    cursor: CursorArg,
    /// A log that no token may read, such as `accounts/ID`; repeatable.
    ///
    /// Calls for its owner are answered with 403.
    #[arg(long, value_name = "SOURCE")]
    forbid: Vec<Source>,
    /// Something that goes wrong: `server_error=0.1`; repeatable.
    ///
    /// The number is the share of the requests for which it does, from 0 to 1.
    #[arg(long, value_name = "NAME=SHARE", value_parser = fault)]
    fault: Vec<(FaultName, f64)>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CursorArg {
    Documented,
    After,
    Both,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum FaultName {
    RateLimited,
    ServerError,
    CutBody,
    ExpiredCursor,
    Stall,
    ShortPage,
    RepeatAcrossPages,
    SuccessFalse,
    CursorLoop,
    EmptyWithCursor,
    ListForbidden,
    ListNotFound,
    ListNull,
    ListCut,
    ListShrunk,
    ListWithoutTotal,
    Late,
}

/// The most new entries a minute: more than anybody's log has.
const MAX_RATE: f64 = 100_000.0;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=MAX_RATE).contains(&rate) => Ok(rate),
        _ => Err(format!("the rate is a number from 0 to {MAX_RATE}")),
    }
}

/// The longest lag: longer than any sweep waits.
const LONGEST_LAG: TimeDelta = TimeDelta::days(30);

fn lag(text: &str) -> Result<Lag, String> {
    let (shortest, longest) = text.split_once('-').unwrap_or((text, text));
    let read = |text| span::parse(text).map_err(|error| error.to_string());
    let lag = Lag {
        shortest: read(shortest)?,
        longest: read(longest)?,
    };
    if lag.shortest > lag.longest {
        return Err("the shortest comes first: `167s-450s`".to_owned());
    }
    if lag.longest > LONGEST_LAG {
        return Err(format!("a lag is at most {}", span::format(LONGEST_LAG)));
    }
    Ok(lag)
}

fn fault(text: &str) -> Result<(FaultName, f64), String> {
    let (name, share) = text.split_once('=').unwrap_or((text, ""));
    let name = <FaultName as clap::ValueEnum>::from_str(name, true).map_err(|_| {
        let names = <FaultName as clap::ValueEnum>::value_variants().iter();
        let names: Vec<String> = names
            .filter_map(clap::ValueEnum::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        format!("the faults are {}", names.join(", "))
    })?;
    match share.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok((name, share)),
        _ => Err("write NAME=SHARE; the share is a number from 0 to 1".to_owned()),
    }
}

impl Args {
    fn faults(&self) -> Faults {
        let mut faults = Faults {
            seed: self.seed,
            forbidden: self.forbid.clone(),
            ..Faults::default()
        };
        for (name, share) in &self.fault {
            *match name {
                FaultName::RateLimited => &mut faults.rate_limited,
                FaultName::ServerError => &mut faults.server_error,
                FaultName::CutBody => &mut faults.cut_body,
                FaultName::ExpiredCursor => &mut faults.expired_cursor,
                FaultName::Stall => &mut faults.stall,
                FaultName::ShortPage => &mut faults.short_page,
                FaultName::RepeatAcrossPages => &mut faults.repeat_across_pages,
                FaultName::SuccessFalse => &mut faults.success_false,
                FaultName::CursorLoop => &mut faults.cursor_loop,
                FaultName::EmptyWithCursor => &mut faults.empty_with_cursor,
                FaultName::ListForbidden => &mut faults.list_forbidden,
                FaultName::ListNotFound => &mut faults.list_not_found,
                FaultName::ListNull => &mut faults.list_null,
                FaultName::ListCut => &mut faults.list_cut,
                FaultName::ListShrunk => &mut faults.list_shrunk,
                FaultName::ListWithoutTotal => &mut faults.list_without_total,
                FaultName::Late => &mut faults.late,
            } = *share;
        }
        faults
    }
}

pub(super) async fn run(args: Args, stop: CancellationToken) -> Result<()> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("could not listen on {}", args.listen))?;
    let config = SimConfig {
        seed: args.seed,
        events: args.events,
        organizations: args.organizations,
        accounts: args.accounts,
        days: args.days,
        live_per_minute: args.live_per_minute,
        lag: args.lag,
        quota: args.quota,
        cursor_form: match args.cursor {
            CursorArg::Documented => CursorForm::Documented,
            CursorArg::After => CursorForm::After,
            CursorArg::Both => CursorForm::Both,
        },
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, Clock::system().reader());
    let known = simulator.sources();
    if let Some(unknown) = args.forbid.iter().find(|source| !known.contains(source)) {
        bail!(
            "{unknown} is no log of this simulation: without `--forbid`, it says which organizations it has, and their lists name the accounts"
        );
    }
    simulator.set_faults(args.faults());
    let base_url = format!("http://{}/client/v4", listener.local_addr()?);
    say(what_to_try(&simulator, &base_url, args.lag))?;
    // Nothing outlives the process, so open requests are not waited for.
    tokio::select! {
        served = simulator.serve(listener, std::future::pending()) => Ok(served?),
        () = stop.cancelled() => Ok(()),
    }
}

fn what_to_try(simulator: &Simulator, base_url: &str, lag: Lag) -> String {
    let organizations = simulator.organization_ids();
    let several = if organizations.len() > 1 {
        format!("Its organizations are\n  {}", organizations.join("\n  "))
    } else {
        format!("Its organization is {}", simulator.organization_id())
    };
    let organization = simulator.organization_id();
    let lag = match lag.longest {
        longest if longest.is_zero() => String::new(),
        longest if longest == lag.shortest => format!(
            ", which becomes visible after {} (`--lag`)",
            span::format(longest)
        ),
        longest => format!(
            ", which becomes visible after {} to {}, as upstream's do (`--lag`)",
            span::format(lag.shortest),
            span::format(longest)
        ),
    };
    format!(
        r#"The simulated API answers at {base_url}
{several}
Any bearer token is accepted. Try:

  curl -H 'Authorization: Bearer any' '{base_url}/organizations/{organization}/accounts'
  curl -H 'Authorization: Bearer any' '{base_url}/organizations/{organization}/logs/audit?since=2020-01-01&before=2100-01-01&limit=3'

Add a member, and find the entry that tells of it{lag}:

  curl -X POST -H 'Authorization: Bearer any' '{base_url}/organizations/{organization}/members' \
    -d '{{"member":{{"user":{{"email":"new.colleague@example.com"}},"status":"active"}}}}'
  curl -H 'Authorization: Bearer any' '{base_url}/organizations/{organization}/logs/audit?since=2020-01-01&before=2100-01-01&limit=1'

Ctrl-C stops it.
"#
    )
}
