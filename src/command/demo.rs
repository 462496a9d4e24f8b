//! `orgtrail demo`: the simulated upstream and the real service side by side, on this machine.

mod acts;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use clap::Args as ClapArgs;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::service;
use crate::terminal::say;
use orgtrail_simulator::{Lag, SimConfig, Simulator};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail demo
  orgtrail demo --events 1000000 --accounts 40 --data-dir demo-data";

/// How the demo is run.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Where search answers; another port if it is taken.
    #[arg(long, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Where the simulated API answers; another port if it is taken.
    #[arg(long, default_value = "127.0.0.1:7071")]
    upstream_listen: SocketAddr,
    /// Entries of history, in all logs together.
    #[arg(long, default_value_t = 20_000)]
    events: u64,
    /// Accounts in the organization.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=500))]
    accounts: u32,
    /// The same seed makes the same history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the data here, instead of nowhere.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// A little less than the 18 months that upstream keeps.
const DAYS: u32 = 540;

/// New entries a minute, so that there is something to see.
const LIVE_PER_MINUTE: f64 = 20.0;

/// How long after they happened entries become visible. Upstream's take minutes, which is too long to wait for in a demo.
const LAG: TimeDelta = TimeDelta::seconds(2);

/// The simulated credential's quota. The real one would make the demo's history take an hour.
const QUOTA: u32 = 120_000;

pub(super) async fn run(args: Args, stop: CancellationToken) -> Result<()> {
    let upstream_listener = bind(args.upstream_listen).await?;
    let listener = bind(args.listen).await?;
    let temporary = match &args.data_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("could not make a temporary directory")?),
    };
    let data_dir = args
        .data_dir
        .as_deref()
        .or(temporary.as_ref().map(tempfile::TempDir::path))
        .unwrap_or("data".as_ref());

    let clock = Clock::system();
    let config = SimConfig {
        seed: args.seed,
        events: args.events,
        accounts: args.accounts,
        days: DAYS,
        live_per_minute: LIVE_PER_MINUTE,
        lag: Lag::always(LAG),
        quota: QUOTA,
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, clock.reader());
    let base_url = format!("http://{}/client/v4", upstream_listener.local_addr()?);
    let organization = simulator.organization_id();
    // Any token will do, but it must come from somewhere: a file, as in a real installation.
    let token_dir = tempfile::tempdir().context("could not make a temporary directory")?;
    let token_file = token_dir.path().join("token");
    std::fs::write(&token_file, "demo-token").context("could not write the demo's token")?;
    let text = configuration(
        data_dir,
        listener.local_addr()?,
        &base_url,
        &token_file,
        &organization,
    )?;
    let config = Config::parse(&text, "the demo's configuration", std::iter::empty())?;

    let service = service::open(config, clock).await?;
    let program = std::env::args().next();
    say(what_to_try(
        program.as_deref().unwrap_or("orgtrail"),
        listener.local_addr()?,
        &base_url,
        &organization,
    ))?;
    let acts = acts::of(&simulator, &base_url);
    let upstream = simulator.serve(upstream_listener, std::future::pending());
    // Upstream is there until the service has ended, for whatever reason.
    tokio::select! {
        served = service.run(listener, stop) => served,
        simulated = upstream => simulated.context("the simulated upstream stopped"),
        ended = acts::make(acts) => match ended {},
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(_) => {
            let any_port = SocketAddr::new(address.ip(), 0);
            TcpListener::bind(any_port)
                .await
                .with_context(|| format!("could not listen on {address}"))
        }
    }
}

fn configuration(
    data_dir: &std::path::Path,
    listen: SocketAddr,
    base_url: &str,
    token_file: &std::path::Path,
    organization: &str,
) -> Result<String> {
    let quoted = |path: &std::path::Path| -> Result<String> {
        let text = path
            .to_str()
            .context("the path of the data directory is not UTF-8")?;
        Ok(toml::Value::String(text.to_owned()).to_string())
    };
    let (data_dir, token_file) = (quoted(data_dir)?, quoted(token_file)?);
    let max_requests = QUOTA / 2;
    Ok(format!(
        r#"data_dir = {data_dir}
[http]
listen = "{listen}"
auth = "none"
[upstream]
base_url = "{base_url}"
token_file = {token_file}
max_requests = {max_requests}
[poll]
interval = "2s"
max_interval = "2s"
backfill_since = "{DAYS}d"
[[organizations]]
id = "{organization}"
"#
    ))
}

/// What a person can do next. `program` is the name that the program was started by: it need not be installed.
fn what_to_try(program: &str, listen: SocketAddr, base_url: &str, organization: &str) -> String {
    format!(
        r#"The search page is at http://{listen}/

orgtrail is polling a simulated Cloudflare organization and its accounts: {DAYS} days of history, newest first,
and a few new entries a minute. They become visible after two seconds; Cloudflare's take three to eight minutes.

  search      http://{listen}/v1/events
  alerts      http://{listen}/v1/alerts
  upstream    {base_url}

Try:

  curl -s 'http://{listen}/v1/events?limit=3'
  curl -s 'http://{listen}/v1/events?q=dns&action=delete&limit=3'
  curl -s 'http://{listen}/v1/count?actor=terraform'
  curl -s 'http://{listen}/v1/facets?field=actor.email&field=resource.product'
  curl -s 'http://{listen}/v1/histogram?interval=7d'
  curl -sN 'http://{listen}/v1/events/stream'
  curl -s 'http://{listen}/v1/sources'
  {program} search --server http://{listen} 'resource.product:members'

In the first half minute a super administrator is made, a Logpush job is turned off and a zone is deleted. Three rules
raise alerts about it within seconds:

  curl -s 'http://{listen}/v1/alerts?level=high&since=now-10m'
  {program} rules list

Add a member to the organization, and find who did it a few seconds later:

  curl -s -X POST '{base_url}/organizations/{organization}/members' \
    -H 'Authorization: Bearer demo-token' -H 'Content-Type: application/json' \
    -d '{{"member":{{"user":{{"email":"new.colleague@example.com"}},"status":"active"}}}}'
  curl -s 'http://{listen}/v1/events?q=new.colleague@example.com'

Ctrl-C stops it.
"#
    )
}
