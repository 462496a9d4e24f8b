//! What is wrong with an installation, as far as it shows without asking upstream: one list for `orgtrail check`, which prints it,
//! and for `orgtrail serve`, which refuses what can never work.

use std::io;
use std::net::TcpListener;
use std::path::Path;

use chrono::TimeDelta;
use url::Url;

use crate::access::Auth;
use crate::clock::Clock;
use crate::config::{self, AccountsChoice, BackfillSince, Config, CredentialSource, HttpConfig};
use crate::position::{Source, rfc3339};
use crate::private;
use crate::service;
use crate::store::{ACCESS_FILE_NAME, AccessStore};
use crate::tls::{self, Validity};

/// What upstream gives each user in five minutes, by its documentation.
const UPSTREAM_QUOTA: u32 = 1_200;

/// The digits that ids of the example configuration are made of.
const PLACEHOLDER_DIGITS: [char; 2] = ['0', '1'];

/// What is kept for less than this is kept for a surprisingly short time.
const SHORT_RETENTION: TimeDelta = TimeDelta::days(1);

/// How long an id of upstream's is.
pub(super) const ID_LEN: usize = 32;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetupFinding {
    pub(super) severity: Severity,
    /// What, where, and what to do.
    pub(super) message: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// It cannot work, and will not by itself.
    Never,
    /// It does not work now, and may later.
    Problem,
    /// It works, and perhaps not as wanted.
    Warning,
}

/// Everything that is found, in the order of the configuration.
pub(super) fn look(config: &Config) -> Vec<SetupFinding> {
    let mut findings = Vec::new();
    look_at_data(&config.data_dir, &mut findings);
    look_at_http(config, &mut findings);
    if config.upstream.max_requests > UPSTREAM_QUOTA {
        findings.push(warning(format!(
            "`max_requests` is {}: upstream gives {UPSTREAM_QUOTA} to each user and blocks who takes more",
            config.upstream.max_requests
        )));
    }
    look_at_ids(config, &mut findings);
    for credential in service::credentials(config).keys() {
        look_at_credential(credential, &mut findings);
    }
    look_at_heartbeat(config, &mut findings);
    look_at_retention(config, &mut findings);
    let unknown = config::unknown_variables(config, config::environment());
    findings.extend(unknown.into_iter().map(warning));
    findings
}

fn look_at_heartbeat(config: &Config, findings: &mut Vec<SetupFinding>) {
    let Some(source) = &config.poll.heartbeat else {
        return;
    };
    if let Err(error) = source.read() {
        findings.push(SetupFinding {
            severity: Severity::Problem,
            message: format!(
                "no heartbeat is sent: the environment variable `{}`, which `heartbeat_url_env` names: {error}",
                source.variable()
            ),
        });
    }
}

/// What is erased as soon as it was read may be a slip.
fn look_at_retention(config: &Config, findings: &mut Vec<SetupFinding>) {
    let Some(shortest) = config.retention.shortest() else {
        return;
    };
    if shortest.span() < SHORT_RETENTION {
        findings.push(warning(format!(
            "`[retention]` keeps events for {} only: is the unit right?",
            shortest.as_str()
        )));
    }
    let now = Clock::system().now();
    let history = match config.poll.backfill_since {
        BackfillSince::Span(span) => Some(span),
        BackfillSince::Date(date) => {
            let midnight = date.and_hms_opt(0, 0, 0).map(|time| time.and_utc());
            midnight.map(|since| now - since)
        }
    };
    if history.is_some_and(|history| history > shortest.span()) {
        findings.push(warning(format!(
            "`backfill_since` reaches further back than `[retention]` keeps events ({}): what is older is read and then erased",
            shortest.as_str()
        )));
    }
}

/// Whether a source has the id of the example configuration.
pub(super) fn is_placeholder(source: &Source) -> bool {
    let id = source.id();
    let is_one = |digit: &char| id.len() == ID_LEN && id.chars().all(|c| c == *digit);
    PLACEHOLDER_DIGITS.iter().any(is_one)
}

fn look_at_ids(config: &Config, findings: &mut Vec<SetupFinding>) {
    let organizations = config.organizations.iter();
    let mut sources: Vec<&Source> = organizations.clone().map(|one| &one.source).collect();
    for organization in organizations {
        if let AccountsChoice::Only(accounts) = &organization.accounts {
            sources.extend(accounts);
        }
    }
    sources.extend(config.accounts.iter().map(|account| &account.source));
    for source in sources {
        if is_placeholder(source) {
            findings.push(never(format!(
                "`{source}` has the id of the example configuration: write your own in its place"
            )));
        } else if !has_an_id_of_upstream(source) {
            findings.push(warning(format!(
                "`{source}`: an id of Cloudflare has {ID_LEN} characters, `0` to `9` and `a` to `f`, without dashes"
            )));
        }
    }
}

/// Whether an id looks like all that upstream gives. Another one may be right; a misspelt one never answers.
pub(super) fn has_an_id_of_upstream(source: &Source) -> bool {
    let id = source.id();
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    id.len() == ID_LEN && id.bytes().all(is_digit)
}

fn look_at_http(config: &Config, findings: &mut Vec<SetupFinding>) {
    let listen = config.http.listen;
    match TcpListener::bind(listen) {
        // By a service that runs, if all is well.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        Err(error) => findings.push(never(format!(
            "`listen`: could not listen on {listen}: {error}"
        ))),
        Ok(_) => {}
    }
    look_at_tls(&config.http, findings);
    let access = config.http.access.as_ref();
    if access.is_some_and(|access| access.grants.is_empty()) {
        findings.push(warning(
            "`[http.access]` has no `[[http.access.grants]]`: whoever is signed in there is refused",
        ));
    }
    let is_open_to_tokens_alone = config.http.auth == Auth::Tokens && access.is_none();
    if is_open_to_tokens_alone && !has_tokens(&config.data_dir) {
        findings.push(warning(
            "`auth` is \"tokens\" and there are no valid tokens, so only commands on this machine are answered: \
             `orgtrail token create NAME --scope search` creates one",
        ));
    }
}

/// The certificate; without one, whether others can read what is sent.
fn look_at_tls(http: &HttpConfig, findings: &mut Vec<SetupFinding>) {
    let Some(files) = &http.tls else {
        let is_reached_from_outside = !http.listen.ip().to_canonical().is_loopback();
        if is_reached_from_outside && http.trusted_proxies.is_empty() {
            findings.push(warning(format!(
                "`listen` is {}, and there is no TLS: tokens and answers can be read on the network. Set `tls_cert` and `tls_key`, or \
                 put a reverse proxy with TLS in front and name it in `trusted_proxies`",
                http.listen
            )));
        }
        return;
    };
    let loaded = match tls::load(files) {
        Ok(loaded) => loaded,
        Err(error) => return findings.push(never(error)),
    };
    if loaded.is_key_open_to_all {
        let key = files.key.display();
        findings.push(warning(format!(
            "`{key}` is a private key and can be read by every user of this machine: `chmod o= {key}`"
        )));
    }
    let (file, certificate) = (files.certificate.display(), loaded.certificate);
    let (begins, ends) = (
        rfc3339(certificate.not_before),
        rfc3339(certificate.not_after),
    );
    match certificate.validity(Clock::system().now()) {
        Validity::Valid => {}
        Validity::ExpiresSoon => findings.push(warning(format!(
            "{file}: the certificate expires at {ends}: renew it"
        ))),
        Validity::Expired => findings.push(problem(format!(
            "{file}: the certificate expired at {ends}, and clients refuse it: renew it"
        ))),
        Validity::NotYetValid => findings.push(problem(format!(
            "{file}: the certificate is not valid before {begins}, and clients refuse it: is this machine's clock right?"
        ))),
    }
    let host = http.public_url.as_ref().and_then(Url::host_str);
    if certificate.names.is_empty() {
        findings.push(warning(format!(
            "{file}: the certificate names no server (it has no subject alternative name), so clients refuse it: ask for one with the \
             name that clients use"
        )));
    } else if let Some(host) = host.filter(|host| !certificate.is_for(host)) {
        findings.push(warning(format!(
            "{file}: the certificate is for {}, and `public_url` names `{host}`: clients refuse it",
            certificate.names.join(", ")
        )));
    }
}

/// Whether there is a token that is answered now. Where that cannot be read, the data directory is reported by itself.
fn has_tokens(dir: &Path) -> bool {
    let now = Clock::system().now();
    let is_there = dir.join(ACCESS_FILE_NAME).exists();
    let tokens = is_there.then(|| AccessStore::open(dir)?.tokens());
    let tokens = tokens.and_then(Result::ok).unwrap_or_default();
    tokens.iter().any(|token| token.is_valid(now))
}

fn look_at_credential(credential: &CredentialSource, findings: &mut Vec<SetupFinding>) {
    let Err(error) = credential.read() else {
        if let CredentialSource::File(path) = credential
            && private::is_open_to_all(path)
        {
            findings.push(warning(format!(
                "`{}` holds a token and can be read by every user of this machine: `chmod o= {}`",
                path.display(),
                path.display()
            )));
        }
        return;
    };
    findings.push(match credential {
        // A process's variables stay as they are.
        CredentialSource::Env(_) => never(error),
        CredentialSource::File(_) => problem(error),
    });
}

/// Whether the data directory can be written, or made where it is to be.
fn look_at_data(dir: &Path, findings: &mut Vec<SetupFinding>) {
    let is_there = |path: &&Path| path.symlink_metadata().is_ok();
    let named = Path::new(".");
    let first = dir.ancestors().map(|path| {
        if path.as_os_str().is_empty() {
            named
        } else {
            path
        }
    });
    let first = first.into_iter().find(is_there).unwrap_or(named);
    let index = dir.join("index");
    let index = index.is_dir().then_some(index.as_path());
    for path in std::iter::once(first).chain(index) {
        let Err(error) = tempfile::tempfile_in(path) else {
            continue;
        };
        let message = if path == dir || Some(path) == index {
            format!(
                "`data_dir`: could not write in `{}`: {error}",
                path.display()
            )
        } else {
            format!(
                "`data_dir`: could not make `{}` in `{}`: {error}",
                dir.display(),
                path.display()
            )
        };
        findings.push(match error.kind() {
            // A service starts all the same, and answers from what it has.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => problem(message),
            _ => never(message),
        });
    }
}

fn never(message: impl ToString) -> SetupFinding {
    finding(Severity::Never, message)
}

fn problem(message: impl ToString) -> SetupFinding {
    finding(Severity::Problem, message)
}

fn warning(message: impl ToString) -> SetupFinding {
    finding(Severity::Warning, message)
}

fn finding(severity: Severity, message: impl ToString) -> SetupFinding {
    SetupFinding {
        severity,
        message: message.to_string(),
    }
}
