//! `orgtrail token`: API tokens are created, listed and revoked, also while the service runs.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use chrono::{DateTime, Utc};
use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use super::record::{Recorded, entry_of};
use super::setup::{ID_LEN, has_an_id_of_upstream};
use crate::access::{ApiToken, Grant, Permission, Permissions};
use crate::clock::Clock;
use crate::position::{Source, rfc3339};
use crate::span;
use crate::store::{AccessStore, NewToken, Store, TokenRow};
use crate::terminal::{harmless, note, say};

/// The longest name of a token, in characters.
const MAX_NAME_LEN: usize = 100;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail token create dashboard --scope search
  orgtrail token create auditor --scope search,export --expires 90d
  orgtrail token create zones --scope search --source accounts/ID --without-bodies
  orgtrail token list
  orgtrail token revoke 0123456789ab";

/// What to do with tokens.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    /// The data directory, instead of the configuration's.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// JSON instead of lines for people.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a token, and print it once.
    ///
    /// It is sent as `Authorization: Bearer TOKEN`. Only its hash is stored.
    Create(Create),
    /// List all tokens, with their last use.
    List,
    /// End a token, and the sessions that were begun with it, at once.
    Revoke {
        /// The token's id, as `token list` shows it, or its name if no other valid token has it.
        id: String,
    },
}

#[derive(Debug, ClapArgs)]
struct Create {
    /// What the token is for.
    name: String,
    /// What it may do: `search`, `export`, `alerts`, `metrics`, `admin`, with commas between them.
    #[arg(long, value_name = "SCOPES")]
    scope: Permissions,
    /// A source that it may see, as `accounts/ID` or `organizations/ID`; repeat it for more. All of them unless given.
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    source: Vec<Source>,
    /// Hide `resource.request`, `resource.response` and `resource.value` from it.
    #[arg(long)]
    without_bodies: bool,
    /// When it ends by itself, such as `90d`; never unless given.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    expires: Option<chrono::TimeDelta>,
}

/// A token as `token list --json` shows it.
#[derive(Serialize)]
struct Token {
    id: String,
    name: String,
    scopes: Permissions,
    sources: Vec<String>,
    bodies: bool,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

/// A token as `token create --json` shows it, the one time that the secret is known.
#[derive(Serialize)]
struct CreatedToken<'a> {
    #[serde(flatten)]
    token: Token,
    #[serde(rename = "token")]
    secret: &'a str,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let sources = row.grant.sources.iter().map(ToString::to_string);
        Self {
            id: row.id,
            name: row.name,
            scopes: row.grant.permissions,
            sources: sources.collect(),
            bodies: row.grant.bodies,
            created_at: rfc3339(row.created_at),
            expires_at: row.expires_at.map(rfc3339),
            last_used_at: row.last_used_at.map(rfc3339),
            revoked_at: row.revoked_at.map(rfc3339),
        }
    }
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), config)?;
    let store = match &args.action {
        Action::Revoke { .. } => AccessStore::open_with_reserve(&dir)?,
        _ => AccessStore::open(&dir)?,
    };
    let now = Clock::system().now();
    match &args.action {
        Action::Create(wanted) => {
            create(&store, wanted, args.json, now)?;
            warn_of_unknown(&dir, &wanted.source)
        }
        Action::List => {
            let recorded = Recorded::begin(&dir, "token.list", "token", "", now)?;
            let rows = store.tokens()?;
            let shown = rows.len() as u64;
            list(rows, args.json, now)?;
            recorded.end(shown)
        }
        Action::Revoke { id } => revoke(&store, id, args.json, now),
    }
}

fn create(store: &AccessStore, wanted: &Create, is_json: bool, now: DateTime<Utc>) -> Result<()> {
    let name = wanted.name.trim();
    ensure!(!name.is_empty(), "the name of the token is empty");
    ensure!(
        name.chars().count() <= MAX_NAME_LEN && !name.chars().any(char::is_control),
        "the name of a token has at most {MAX_NAME_LEN} characters, and no control characters"
    );
    let is_limited = wanted.without_bodies || !wanted.source.is_empty();
    ensure!(
        !(is_limited && wanted.scope.contains(Permission::Admin)),
        "`admin` reads what everyone asked: a token with it can be limited neither by `--source` nor by `--without-bodies`"
    );
    ensure!(
        wanted.source.is_empty() || !wanted.scope.contains(Permission::Metrics),
        "`metrics` reads figures of all sources: a token with it cannot be limited by `--source`"
    );
    let secret = ApiToken::generate()?;
    let new = NewToken {
        name: name.to_owned(),
        hash: secret.hash(),
        grant: Grant {
            permissions: wanted.scope,
            sources: wanted.source.clone(),
            bodies: !wanted.without_bodies,
        },
        expires_at: wanted.expires.map(|span| now + span),
    };
    let line = |row: &TokenRow| entry_of("token", "token.create", &describe(row), now);
    let row = store.create_token(&new, now, line)?;
    if is_json {
        let token = CreatedToken {
            token: row.into(),
            secret: secret.reveal(),
        };
        return Ok(say(serde_json::to_string(&token)?)?);
    }
    note(format!(
        "Created token {} ({}). It is shown this once:",
        row.id,
        harmless(&row.name)
    ))?;
    Ok(say(secret.reveal())?)
}

/// Says which of the sources the log does not know. Where there is no log yet, nothing is known.
fn warn_of_unknown(dir: &Path, sources: &[Source]) -> Result<()> {
    let known = Store::open_beside(dir).and_then(|store| store.sources());
    let Ok(known) = known else {
        return Ok(());
    };
    let is_known = |source: &&Source| known.iter().any(|row| row.source == **source);
    for unknown in sources.iter().filter(|source| !is_known(source)) {
        note(format!(
            "Warning: the log has no source {unknown}; the token sees nothing of it until it is followed."
        ))?;
    }
    Ok(())
}

/// A source, as a user writes it.
pub(super) fn source(text: &str) -> Result<Source, String> {
    let form = "write `organizations/ID` or `accounts/ID`";
    let source = text.parse::<Source>().map_err(|_| form.to_owned())?;
    if has_an_id_of_upstream(&source) {
        Ok(source)
    } else {
        Err(format!(
            "{form}: an id of Cloudflare has {ID_LEN} characters, `0` to `9` and `a` to `f`, without dashes"
        ))
    }
}

fn list(rows: Vec<TokenRow>, is_json: bool, now: DateTime<Utc>) -> Result<()> {
    if is_json {
        let tokens: Vec<Token> = rows.into_iter().map(Token::from).collect();
        return Ok(say(serde_json::json!({ "tokens": tokens }))?);
    }
    if rows.is_empty() {
        return Ok(say(
            "There are no tokens. `orgtrail token create NAME --scope search` creates one.",
        )?);
    }
    let mut table = super::print::plain_table();
    table.set_header(["ID", "NAME", "SCOPES", "SEES", "STATE", "LAST USED"]);
    for row in rows {
        let last_used = row.last_used_at.map_or("never".to_owned(), rfc3339);
        table.add_row([
            row.id.clone(),
            harmless(&row.name),
            row.grant.permissions.to_string(),
            visible(&row.grant),
            state(&row, now),
            last_used,
        ]);
    }
    Ok(say(table)?)
}

/// The id of the valid token that is named by its id or its name.
fn id_of<'r>(rows: &'r [TokenRow], named: &'r str) -> Result<&'r str> {
    let valid = rows.iter().filter(|row| row.revoked_at.is_none());
    let ids: Vec<&str> = valid
        .filter(|row| row.name == named)
        .map(|row| row.id.as_str())
        .collect();
    match ids.as_slice() {
        _ if rows.iter().any(|row| row.id == named) => Ok(named),
        [] => Ok(named),
        [one] => Ok(one),
        several => bail!(
            "{} valid tokens have the name `{}`: name one by its id, {}",
            several.len(),
            harmless(named),
            several.join(" or ")
        ),
    }
}

fn revoke(store: &AccessStore, named: &str, is_json: bool, now: DateTime<Utc>) -> Result<()> {
    let rows = store.tokens()?;
    let id = id_of(&rows, named)?;
    let line = entry_of("token", "token.revoke", &format!("id={id}"), now);
    if !store.revoke_with_reserve(id, now, &line)? {
        bail!(
            "there is no valid token with the id or the name `{}`: `orgtrail token list` shows them",
            harmless(id)
        );
    }
    if is_json {
        return Ok(say(
            serde_json::json!({ "id": id, "revoked_at": rfc3339(now) }),
        )?);
    }
    Ok(say(format!("Revoked token {id} and its sessions."))?)
}

fn describe(row: &TokenRow) -> String {
    let mut text = format!(
        "id={} name={} scopes={} bodies={}",
        row.id, row.name, row.grant.permissions, row.grant.bodies
    );
    for source in &row.grant.sources {
        text += &format!(" source={source}");
    }
    text
}

/// What a token may see, in a few words.
pub(super) fn visible(grant: &Grant) -> String {
    let sources = match grant.sources.as_slice() {
        [] => "everything".to_owned(),
        [one] => one.to_string(),
        many => format!("{} sources", many.len()),
    };
    if grant.bodies {
        sources
    } else {
        format!("{sources}, no bodies")
    }
}

fn state(row: &TokenRow, now: DateTime<Utc>) -> String {
    match (row.revoked_at, row.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(end)) if end <= now => "expired".to_owned(),
        (None, Some(end)) => format!("until {}", end.format("%Y-%m-%d")),
        (None, None) => "valid".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_limited_to_ids_that_cloudflare_gives() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(source(&format!("accounts/{id}")).unwrap().id(), id);
        for wrong in [
            "accounts/ID",
            "accounts/0123456789ABCDEF0123456789ABCDEF",
            "organizations/f00d",
            "accounts/",
            "x",
            &id[1..],
        ] {
            assert!(source(wrong).is_err(), "{wrong}");
        }
    }
}
