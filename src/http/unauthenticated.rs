//! Limits for requests without a valid credential, and how few lines of the access log they take. Refusals of a principal over
//! its limit take as few.
//!
//! Few credentials that are not known to be valid are looked up at once, and their turns are shared fairly among addresses.
//! One that was valid before does not wait for them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};

use super::bucket::{Buckets, FillRate, TokenBucket};
use super::fair::{FairPermit, FairPermits};
use crate::store::AccessEntry;
use crate::sync::lock;

/// The principal of requests without a valid credential.
pub(super) const NOBODY: &str = "nobody";

/// How many requests one address may send without a valid credential.
const OF_ONE_ADDRESS: FillRate = FillRate {
    burst: 60.0,
    per_second: 1.0,
};

/// How many such requests all addresses may send together.
const OF_ALL: FillRate = FillRate {
    burst: 2_000.0,
    per_second: 500.0,
};

/// How often a token may begin a session.
const SIGN_INS_OF_ONE_TOKEN: FillRate = FillRate {
    burst: 30.0,
    per_second: 0.5,
};

/// How many credentials that are not known to be valid are looked up at once.
const LOOKUPS: usize = 2;

/// How many bodies of requests without a credential are read at once.
const BODIES: usize = 64;

/// How many addresses, and tokens that sign in, are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// How many credentials are remembered as valid. They are forgotten together when there are more.
const MAX_KNOWN: usize = 10_000;

/// How long refusals of one kind are counted before they are recorded together.
const COUNTED_FOR: TimeDelta = TimeDelta::seconds(60);

/// How many kinds of refusals (an address and a status) are recorded by themselves in [`COUNTED_FOR`]. Of further addresses
/// only the status is.
const MAX_KINDS: usize = 50;

/// How many bytes of the parameters of such a request are recorded.
const MAX_PARAMETERS_LEN: usize = 256;

/// What is known of requests without a valid credential. A clone is the same.
#[derive(Clone)]
pub(super) struct Unauthenticated {
    state: Arc<Mutex<StrangersState>>,
    lookups: FairPermits,
    bodies: FairPermits,
}

struct StrangersState {
    addresses: Buckets<IpAddr>,
    all: Option<TokenBucket>,
    sign_ins: Buckets<String>,
    known: HashSet<[u8; 32]>,
    repeated: HashMap<RefusalKind, Repeated>,
    /// When the first of the `repeated` came.
    counted_since: DateTime<Utc>,
}

/// Which refusals are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RefusalKind {
    principal: String,
    /// `None` for a principal, whatever its addresses are, and for the addresses beyond [`MAX_KINDS`].
    address: Option<IpAddr>,
    status: Option<u16>,
}

/// How often a refusal was repeated after it was recorded.
struct Repeated {
    n: u64,
    newest: AccessEntry,
}

impl Unauthenticated {
    pub(super) fn new() -> Self {
        let state = StrangersState {
            addresses: Buckets::new(OF_ONE_ADDRESS, MAX_REMEMBERED),
            all: None,
            sign_ins: Buckets::new(SIGN_INS_OF_ONE_TOKEN, MAX_REMEMBERED),
            known: HashSet::new(),
            repeated: HashMap::new(),
            counted_since: DateTime::UNIX_EPOCH,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            lookups: FairPermits::new(LOOKUPS),
            bodies: FairPermits::new(BODIES),
        }
    }

    /// Waits until a credential from `address` may be looked up.
    pub(super) async fn lookup(&self, address: IpAddr) -> FairPermit {
        let address = network(address).to_string().into();
        self.lookups.acquire(&address).await
    }

    /// Waits until the body of a request from `address` may be read that needs no credential.
    pub(super) async fn body(&self, address: IpAddr) -> FairPermit {
        let address = network(address).to_string().into();
        self.bodies.acquire(&address).await
    }

    /// Counts a request without a valid credential if its look-up does not end.
    pub(super) fn suspect(&self, address: IpAddr, now: DateTime<Utc>) -> Suspect {
        Suspect {
            unauthenticated: Some(self.clone()),
            address,
            now,
        }
    }

    /// Counts a request without a valid credential. Fails when there were too many, with the seconds after which there may be
    /// another. `now` is the steady clock's.
    pub(super) fn count(&self, address: IpAddr, now: DateTime<Utc>) -> Result<(), i64> {
        let mut state = lock(&self.state);
        let address = network(address);
        // The address first: one that is over its limit takes nothing from the others.
        state.addresses.take(address, now)?;
        let all = state.all.get_or_insert(TokenBucket::full(OF_ALL, now));
        all.take(OF_ALL, now)
    }

    /// Counts a sign-in with a valid token.
    pub(super) fn sign_in(&self, token: &str, now: DateTime<Utc>) -> Result<(), i64> {
        lock(&self.state).sign_ins.take(token.to_owned(), now)
    }

    /// Whether the credential with this hash was valid when it was last looked up.
    pub(super) fn knows(&self, hash: &[u8; 32]) -> bool {
        lock(&self.state).known.contains(hash)
    }

    /// Remembers whether a credential was valid.
    pub(super) fn remember(&self, hash: [u8; 32], is_valid: bool) {
        let mut state = lock(&self.state);
        if !is_valid {
            state.known.remove(&hash);
            return;
        }
        if state.known.len() >= MAX_KNOWN {
            state.known.clear();
        }
        state.known.insert(hash);
    }

    /// The line to be written at once for a refusal of which there may be any number: for one without a valid credential, or of a
    /// principal over its limit. `None` if it is only counted; then its parameters are not looked at.
    pub(super) fn line(
        &self,
        address: IpAddr,
        mut entry: AccessEntry,
        parameters: impl FnOnce() -> String,
        now: DateTime<Utc>,
    ) -> Option<AccessEntry> {
        let mut state = lock(&self.state);
        if state.repeated.is_empty() {
            state.counted_since = now;
        }
        let is_unauthenticated = entry.principal == NOBODY;
        let mut kind = RefusalKind {
            principal: entry.principal.clone(),
            address: is_unauthenticated.then(|| network(address)),
            status: entry.status,
        };
        let kinds = state
            .repeated
            .keys()
            .filter(|kind| kind.principal == NOBODY);
        if is_unauthenticated && !state.repeated.contains_key(&kind) && kinds.count() >= MAX_KINDS {
            kind.address = None;
        }
        if let Some(repeated) = state.repeated.get_mut(&kind) {
            repeated.n += 1;
            repeated.newest = entry;
            return None;
        }
        let newest = entry.clone();
        state.repeated.insert(kind, Repeated { n: 0, newest });
        drop(state);
        entry.parameters = parameters();
        let end = entry.parameters.floor_char_boundary(MAX_PARAMETERS_LEN);
        entry.parameters.truncate(end);
        Some(entry)
    }

    /// The lines for what was only counted, when it is time to write them, or `at_end`.
    pub(super) fn counted(&self, now: DateTime<Utc>, at_end: bool) -> Vec<AccessEntry> {
        let mut state = lock(&self.state);
        if now - state.counted_since < COUNTED_FOR && !at_end {
            return Vec::new();
        }
        let repeated = std::mem::take(&mut state.repeated);
        let repeated = repeated.into_iter().filter(|(_, repeated)| repeated.n > 0);
        let lines = repeated.map(|(kind, repeated)| AccessEntry {
            // Of many addresses none is named.
            address: repeated.newest.address.filter(|_| kind.address.is_some()),
            parameters: format!("repeated={}", repeated.n),
            duration_ms: None,
            ..repeated.newest
        });
        lines.collect()
    }
}

/// A request whose credential is looked up. It is counted when it is dropped before that ends.
pub(super) struct Suspect {
    unauthenticated: Option<Unauthenticated>,
    address: IpAddr,
    now: DateTime<Utc>,
}

impl Suspect {
    /// The look-up has ended: its result decides.
    pub(super) fn end(mut self) {
        self.unauthenticated = None;
    }
}

impl Drop for Suspect {
    fn drop(&mut self) {
        if let Some(unauthenticated) = &self.unauthenticated {
            // It is not answered, so there is nothing to refuse.
            let _refused = unauthenticated.count(self.address, self.now);
        }
    }
}

/// What counts as one address: of IPv6 a /64, because one client has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    fn entry(address: IpAddr) -> AccessEntry {
        AccessEntry {
            time: from_micros(0),
            principal: NOBODY.into(),
            address: Some(address.to_string()),
            action: "refused".into(),
            route: "/v1/events".into(),
            parameters: String::new(),
            results: None,
            duration_ms: Some(0),
            status: Some(401),
        }
    }

    fn long() -> String {
        "ü".repeat(1_000)
    }

    #[test]
    fn an_address_over_its_limit_leaves_the_others_theirs() {
        let unauthenticated = Unauthenticated::new();
        let now = from_micros(0);
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db9::1"].map(|address| address.parse().unwrap());
        for _ in 0..60 {
            unauthenticated.count(one, now).unwrap();
        }
        assert_eq!(unauthenticated.count(same, now), Err(1));
        unauthenticated.count(other, now).unwrap();
        unauthenticated
            .count(same, now + TimeDelta::seconds(1))
            .unwrap();
    }

    #[test]
    fn all_addresses_together_are_limited() {
        let unauthenticated = Unauthenticated::new();
        let now = from_micros(0);
        let counted = (0..3_000_u32)
            .map(|n| unauthenticated.count(IpAddr::V4(n.to_be_bytes().into()), now))
            .filter(Result::is_ok);
        assert_eq!(counted.count(), 2_000);
    }

    #[test]
    fn refusals_take_few_lines_and_each_is_counted() {
        let unauthenticated = Unauthenticated::new();
        let now = from_micros(0);
        let mut lines = Vec::new();
        for n in 0..1_000_u32 {
            for _ in 0..3 {
                let address = IpAddr::V4(n.to_be_bytes().into());
                lines.extend(unauthenticated.line(address, entry(address), long, now));
            }
        }
        assert_eq!(lines.len(), MAX_KINDS + 1);
        assert!(lines[0].parameters.len() <= MAX_PARAMETERS_LEN);
        assert!(unauthenticated.counted(now, false).is_empty());
        let counted = unauthenticated.counted(now + COUNTED_FOR, false);
        assert_eq!(counted.len(), MAX_KINDS + 1);
        let n = |line: &AccessEntry| -> usize {
            let n = line.parameters.strip_prefix("repeated=").unwrap();
            n.parse().unwrap()
        };
        assert_eq!(counted.iter().map(n).sum::<usize>() + lines.len(), 3_000);
        let unnamed = counted.iter().filter(|line| line.address.is_none());
        assert_eq!(unnamed.count(), 1);
    }

    #[test]
    fn refusals_of_a_principal_over_its_limit_are_one_line_and_a_count() {
        let unauthenticated = Unauthenticated::new();
        let now = from_micros(0);
        // However many addresses are refused beside it.
        for n in 0..100_u32 {
            let address = IpAddr::V4(n.to_be_bytes().into());
            unauthenticated.line(address, entry(address), long, now);
        }
        let mut lines = Vec::new();
        for n in 0..1_000_u32 {
            let address = IpAddr::V4(n.to_be_bytes().into());
            for principal in ["token:a", "token:b"] {
                let entry = AccessEntry {
                    principal: principal.into(),
                    status: Some(429),
                    ..entry(address)
                };
                lines.extend(unauthenticated.line(address, entry, long, now));
            }
        }
        assert_eq!(lines.len(), 2);
        let counted = unauthenticated.counted(now + COUNTED_FOR, false);
        let counted = counted.iter().filter(|line| line.principal == "token:a");
        let counted: Vec<_> = counted.collect();
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].parameters, "repeated=999");
    }

    #[test]
    fn a_credential_is_known_until_it_is_refused() {
        let unauthenticated = Unauthenticated::new();
        assert!(!unauthenticated.knows(&[1; 32]));
        unauthenticated.remember([1; 32], true);
        assert!(unauthenticated.knows(&[1; 32]));
        unauthenticated.remember([1; 32], false);
        assert!(!unauthenticated.knows(&[1; 32]));
    }
}
