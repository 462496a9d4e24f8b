//! The people at work, and what they come with: addresses, programs, tokens.
//!
//! A person always has the same name, id and tokens; which of their addresses and programs is used is drawn each time. What they
//! do: `changes.rs`.

use fastrand::Rng;

use super::chance::{Seed, hex, pick, pick_weighted};

/// Someone, or something, who acts.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    seed: Seed,
}

/// With what a call was made: everything about the caller except who it is.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) context: &'static str,
    pub(crate) ip_address: String,
    pub(crate) user_agent: &'static str,
    /// The token's id and name, for the contexts that have one.
    pub(crate) token: Option<(String, &'static str)>,
}

impl Person {
    pub(crate) fn new(seed: Seed, number: u32) -> Self {
        let mut rng = seed.rng();
        let (first, first_ascii) = pick(&mut rng, FIRST_NAMES);
        let (last, last_ascii) = pick(&mut rng, LAST_NAMES);
        let domain = pick(&mut rng, &["example.com", "example.net", "example.org"]);
        let email = match number % 23 {
            // Addresses may be written in any script, and in capitals.
            7 => format!("{}.{number}@bücher.example", first.to_lowercase()),
            15 => format!("{}{number}@Example.COM", first_ascii.to_uppercase()),
            _ => format!("{first_ascii}.{last_ascii}{number}@{domain}"),
        };
        Self {
            id: hex(&mut rng, 32),
            name: format!("{first} {last}"),
            email,
            seed,
        }
    }

    /// How this person makes a call by hand or with some tool.
    pub(crate) fn draw_means(&self, rng: &mut Rng) -> Means {
        let context = pick_weighted(rng, CONTEXTS.iter(), |row| row.0).1;
        self.means(rng, context)
    }

    /// How this person's deployment tool makes a run of calls.
    pub(crate) fn draw_tool(&self, rng: &mut Rng) -> Means {
        self.means(rng, "api_token")
    }

    /// Where this person mostly calls from.
    pub(crate) fn home_address(&self) -> String {
        self.address(0)
    }

    fn means(&self, rng: &mut Rng, context: &'static str) -> Means {
        let token_number = rng.u64(..3);
        let mut own = self.seed.named(context).child(token_number).rng();
        let (programs, token_names): (&[&'static str], &[&'static str]) = match context {
            "api_token" => (TOOLS, TOKEN_NAMES),
            "oauth" => (
                &["wrangler/4.40.2", "wrangler/3.114.9"],
                &["Wrangler", "Example CLI"],
            ),
            "api_key" | "origin_ca_key" => (SCRIPTS, &[]),
            _ => (BROWSERS, &[]),
        };
        Means {
            context,
            ip_address: self.address(rng.u64(..4)),
            // A token is used with one program, a browser with one person.
            user_agent: pick(&mut own, programs),
            token: (!token_names.is_empty())
                .then(|| (hex(&mut own, 32), pick(&mut own, token_names))),
        }
    }

    /// One of the addresses this person calls from; all of them are reserved for documentation.
    fn address(&self, number: u64) -> String {
        let mut own = self.seed.named("address").child(number).rng();
        if own.u8(..3) == 0 {
            let (network, host) = (own.u16(..), own.u64(..));
            let [a, b, c, d] = [host >> 48, host >> 32, host >> 16, host].map(|part| part as u16);
            return std::net::Ipv6Addr::new(0x2001, 0xdb8, network, 0, a, b, c, d).to_string();
        }
        let network = pick(&mut own, &["192.0.2", "198.51.100", "203.0.113"]);
        format!("{network}.{}", own.u8(1..255))
    }
}

/// Credential kinds and how often each is used.
const CONTEXTS: &[(u32, &str)] = &[
    (46, "dash"),
    (38, "api_token"),
    (7, "oauth"),
    (6, "api_key"),
    (2, "api"),
    (1, "origin_ca_key"),
];

const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
];

const TOOLS: &[&str] = &[
    "terraform-provider-cloudflare/5.11.0 terraform/1.12.2",
    "terraform-provider-cloudflare/4.52.1 terraform/1.9.8",
    "wrangler/4.40.2",
    "cloudflare-go/v4",
    "Cloudflare/Python 4.3.1",
    "octodns-cloudflare/1.0.0",
    "external-dns/v0.19.0",
    "cert-manager-challenges/v1.18.2",
    "pulumi-cloudflare/6.9.1",
];

const SCRIPTS: &[&str] = &[
    "curl/8.9.1",
    "curl/7.88.1",
    "python-requests/2.32.5",
    "Go-http-client/2.0",
];

const TOKEN_NAMES: &[&str] = &[
    "terraform-prod",
    "terraform-staging",
    "ci deploy",
    "github-actions",
    "dns automation",
    "Bücher import",
    "監視",
    "cert-manager",
    "quote \" back\\slash",
];

/// A name, and how it is written in an address.
type PersonName = (&'static str, &'static str);

const FIRST_NAMES: &[PersonName] = &[
    ("Alice", "alice"),
    ("Bob", "bob"),
    ("Carol", "carol"),
    ("José", "jose"),
    ("Björn", "bjoern"),
    ("Ümit", "umit"),
    ("Zoë", "zoe"),
    ("Łukasz", "lukasz"),
    ("Наталья", "natalya"),
    ("Ελένη", "eleni"),
    ("太郎", "taro"),
    ("美咲", "misaki"),
    ("小明", "xiaoming"),
    ("민준", "minjun"),
    ("ليلى", "layla"),
    ("יעל", "yael"),
    ("Priya", "priya"),
    ("Chidi", "chidi"),
    ("Gina", "gina"),
    ("Nguyễn", "nguyen"),
];

const LAST_NAMES: &[PersonName] = &[
    ("Müller", "mueller"),
    ("O'Brien", "obrien"),
    ("Danvers", "danvers"),
    ("García", "garcia"),
    ("Sørensen", "sorensen"),
    ("Šimić", "simic"),
    ("Иванова", "ivanova"),
    ("山田", "yamada"),
    ("佐藤", "sato"),
    ("김", "kim"),
    ("حداد", "haddad"),
    ("Okafor", "okafor"),
    ("Sharma", "sharma"),
    ("Van der Berg", "vanderberg"),
    ("Smith", "smith"),
    ("Rossi", "rossi"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_name_and_program() {
        let person = Person::new(Seed(1), 3);
        let mut rng = Seed(2).rng();
        let mut tokens = std::collections::HashMap::new();
        for _ in 0..200 {
            let means = person.draw_tool(&mut rng);
            let (id, name) = means.token.unwrap();
            let first = *tokens.entry(id).or_insert((name, means.user_agent));
            assert_eq!(first, (name, means.user_agent));
        }
        assert_eq!(tokens.len(), 3);
    }

    #[test]
    fn addresses_are_addresses() {
        for number in 0..200 {
            let person = Person::new(Seed(number), 0);
            let address = person.home_address();
            assert!(address.parse::<std::net::IpAddr>().is_ok(), "{address}");
        }
    }
}
