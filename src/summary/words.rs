//! The words of sentences: verbs for actions, nouns for products, in tables.

/// A verb, done and not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verb {
    done: &'static str,
    failed: &'static str,
}

impl Verb {
    pub(super) fn of(self, has_failed: bool) -> &'static str {
        if has_failed { self.failed } else { self.done }
    }
}

const fn pair(done: &'static str, failed: &'static str) -> Verb {
    Verb { done, failed }
}

/// The verb of an action type.
pub(super) fn verb(action: &str) -> Option<Verb> {
    Some(match action {
        "create" => pair("created", "could not create"),
        "update" => pair("changed", "could not change"),
        "delete" => pair("deleted", "could not delete"),
        "view" => pair("viewed", "could not view"),
        _ => return None,
    })
}

/// The verb of an action that has no object.
pub(super) fn sign_in(action: &str) -> Option<Verb> {
    Some(match action {
        "login" => pair("signed in", "could not sign in"),
        "logout" => pair("signed out", "could not sign out"),
        _ => return None,
    })
}

/// The verb of an action on a member, and the word before what they are a member of.
pub(super) fn membership(action: &str) -> (Verb, &'static str) {
    match action {
        "create" => (pair("added", "could not add"), "to"),
        "delete" => (pair("removed", "could not remove"), "from"),
        "view" => (pair("viewed", "could not view"), "of"),
        _ => (pair("changed member", "could not change member"), "of"),
    }
}

/// Whether a description's first word says what its `action.type` says too.
pub(super) fn is_verb(word: &str) -> bool {
    const VERBS: &[&str] = &[
        "add", "change", "create", "delete", "edit", "get", "list", "modify", "patch", "put",
        "remove", "set", "update", "upload", "view",
    ];
    VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb))
}

/// How the actor came in, as people say it.
pub(super) fn context(context: &str) -> Option<&'static str> {
    Some(match context {
        "dash" => "dashboard",
        "api" => "API",
        "api_key" => "API key",
        "api_token" => "API token",
        "oauth" => "OAuth",
        "origin_ca_key" => "Origin CA key",
        _ => return None,
    })
}

/// What a thing is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noun {
    /// A member, who has sentences of their own.
    Member,
    Plain(&'static str),
}

/// The noun of a product's kind of resource. A row without a type is for all types of the product.
pub(super) fn noun(product: Option<&str>, kind: Option<&str>) -> Option<Noun> {
    let product = product?;
    let of_product = NOUNS
        .iter()
        .filter(|(name, ..)| name.eq_ignore_ascii_case(product));
    let exact = of_product
        .clone()
        .find(|(_, row, _)| !row.is_empty() && kind == Some(row));
    let row = exact.or_else(|| of_product.clone().find(|(_, row, _)| row.is_empty()));
    row.map(|(.., noun)| *noun)
}

/// Product, type or "", noun.
const NOUNS: &[(&str, &str, Noun)] = &[
    ("access", "application", Noun::Plain("Access application")),
    ("access", "policy", Noun::Plain("Access policy")),
    (
        "access",
        "service_token",
        Noun::Plain("Access service token"),
    ),
    ("account_tokens", "", Noun::Plain("account API token")),
    ("accounts", "", Noun::Plain("account settings")),
    ("alerting", "", Noun::Plain("notification policy")),
    ("custom_certificates", "", Noun::Plain("custom certificate")),
    ("dns", "", Noun::Plain("DNS record")),
    ("dnssec", "", Noun::Plain("DNSSEC")),
    ("gateway", "list", Noun::Plain("Gateway list")),
    ("gateway", "rule", Noun::Plain("Gateway rule")),
    ("logpush", "", Noun::Plain("Logpush job")),
    ("members", "", Noun::Member),
    ("organizations", "organization", Noun::Plain("organization")),
    (
        "organizations",
        "profile",
        Noun::Plain("organization profile"),
    ),
    ("page_rules", "", Noun::Plain("page rule")),
    ("r2", "bucket", Noun::Plain("R2 bucket")),
    ("tunnels", "", Noun::Plain("tunnel")),
    ("user_tokens", "", Noun::Plain("API token")),
    ("workers", "route", Noun::Plain("Worker route")),
    ("workers", "script", Noun::Plain("Worker")),
    ("zone_settings", "", Noun::Plain("zone setting")),
    ("zones", "", Noun::Plain("zone")),
];
