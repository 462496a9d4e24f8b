//! Hides credentials in texts that come from upstream, before they are shown, logged or cut.
//!
//! An error may contain the credential: proxies print headers, and error pages show the request. So every text of upstream that
//! leaves [`crate::upstream`] passes [`Mask::hide`], and so do the parameters in the access log. It finds the token in the forms
//! in which programs write texts: percent-encoded, with escapes of JSON and HTML, in base64, in another case, with separators
//! inside, or a part of it. It also finds what looks like any token of Cloudflare's, or of ours.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The text that replaces a credential.
pub const HIDDEN: &str = "[credential]";

/// A part of the token of so many letters and digits is hidden, too: a text may have been cut in it.
const PART_LEN: usize = 12;

/// A token with fewer letters and digits than this is hidden only as a whole word, and as it is: it may be a common word.
const SHORT_LEN: usize = 8;

/// The shortest run of base64 that is decoded, in characters.
const ENCODED_LEN: usize = 12;

/// How Cloudflare's tokens begin (a global key's, a user's and an account's), and ours.
const PREFIXES: [&str; 4] = ["cfk", "cfut", "cfat", "otr"];

/// What comes before a credential in a header or a parameter: what follows is hidden.
const BEFORE: [(&str, FollowedBy); 5] = [
    ("bearer", FollowedBy::Word),
    ("orgtrail_session", FollowedBy::Value),
    ("cf_authorization", FollowedBy::Value),
    ("set-cookie:", FollowedBy::Line),
    ("cookie:", FollowedBy::Line),
];

/// The names of parameters whose values are credentials.
const SECRET_NAMES: [&str; 14] = [
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "api_token",
    "api_key",
    "apikey",
    "password",
    "passwd",
    "secret",
    "client_secret",
    "authorization",
    "cookie",
    "session",
];

/// A word after `bearer` that has a digit, or is as long as [`OPAQUE_LEN`], is a credential from this length on.
const OPAQUE_DIGITS_LEN: usize = 8;

/// A word after `bearer` is a credential from this length on.
const OPAQUE_LEN: usize = 20;

/// What follows a name in [`BEFORE`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum FollowedBy {
    /// Spaces or signs, and a word.
    Word,
    /// `=`, and a value up to a `;`, a space or a quote.
    Value,
    /// Anything up to a quote or the end.
    Line,
}

/// Where a credential is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A text from upstream.
    Text,
    /// A parameter of a question.
    Parameter,
}

/// The most characters of a text that are searched. The rest is left out.
pub const MAX_SEARCHED_CHARS: usize = 4_096;

/// Hides one credential, and what looks like others.
#[derive(Clone, Default)]
pub struct Mask {
    /// The letters and digits of the token, in lower case.
    token: Vec<char>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

impl Mask {
    /// Hides `token`, which may be empty.
    pub fn new(token: &str) -> Self {
        let letters = token.chars().filter(char::is_ascii_alphanumeric);
        Self {
            token: letters.map(|c| c.to_ascii_lowercase()).collect(),
        }
    }

    /// The first [`MAX_SEARCHED_CHARS`] of a text, without credentials.
    pub fn hide(&self, text: &str) -> String {
        let text = searched(text);
        self.hide_units(text, &units(text), Within::Text)
    }

    /// As [`Mask::hide`], for a parameter of a question, percent-encoded as it was sent. Only the words that are a credential are
    /// hidden, and not the words after them: who asks must not be able to hide a question behind one.
    pub fn hide_in_parameter(&self, text: &str) -> String {
        let text = searched(text);
        let mut units = units(text);
        for unit in units.iter_mut().filter(|unit| unit.end - unit.start == 1) {
            // A sign that is meant is percent-encoded.
            if unit.c == '+' {
                unit.c = ' ';
            }
        }
        self.hide_units(text, &units, Within::Parameter)
    }

    fn hide_units(&self, text: &str, units: &[DecodedChar], within: Within) -> String {
        let mut found = self.find(units, within);
        found.extend(self.find_encoded(units));
        found.sort_unstable();
        let mut shown = String::with_capacity(text.len());
        let mut from = 0;
        for span in found.chunk_by(|a, b| b.0 <= a.1) {
            let end = span.iter().map(|(_, end)| *end).max().unwrap_or(from);
            let start = span.first().map_or(from, |(start, _)| *start);
            // What reaches into the span before is hidden with it.
            if start >= from {
                shown.push_str(&text[from..start]);
                shown.push_str(HIDDEN);
            }
            from = from.max(end);
        }
        shown.push_str(&text[from..]);
        shown
    }

    /// Where credentials are, as they are or with escapes.
    fn find(&self, units: &[DecodedChar], within: Within) -> Vec<(usize, usize)> {
        let mut found = self.find_token(units);
        found.extend(find_by_form(units));
        found.extend(find_after_names(units, within));
        found
    }

    /// Where the token or a part of it is. Only letters and digits count.
    fn find_token(&self, units: &[DecodedChar]) -> Vec<(usize, usize)> {
        let letters: Vec<usize> = (0..units.len())
            .filter(|at| units[*at].c.is_ascii_alphanumeric())
            .collect();
        let least = self.token.len().min(PART_LEN);
        let mut found = Vec::new();
        if least == 0 {
            return found;
        }
        let is_letter = |at: Option<usize>| {
            at.and_then(|at| units.get(at))
                .is_some_and(|unit| unit.c.is_ascii_alphanumeric())
        };
        for at in 0..letters.len() {
            let same = |from: usize| {
                let rest = letters[at..]
                    .iter()
                    .map(|at| units[*at].c.to_ascii_lowercase());
                rest.zip(&self.token[from..])
                    .take_while(|(shown, c)| shown == *c)
                    .count()
            };
            let len = (0..self.token.len()).map(same).max().unwrap_or(0);
            if len < least {
                continue;
            }
            let (first, last) = (letters[at], letters[at + len - 1]);
            let is_word = last - first + 1 == len
                && !is_letter(first.checked_sub(1))
                && !is_letter(Some(last + 1));
            if self.token.len() >= SHORT_LEN || is_word {
                found.push((units[first].start, units[last].end));
            }
        }
        found
    }

    /// Runs of base64 that have a credential inside.
    fn find_encoded(&self, units: &[DecodedChar]) -> Vec<(usize, usize)> {
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/-_=".contains(c);
        let runs = units.chunk_by(|a, b| is_base64(a.c) && is_base64(b.c));
        let runs = runs.filter(|run| run.len() >= ENCODED_LEN);
        runs.filter(|run| {
            let text: String = run.iter().map(|unit| unit.c).collect();
            let text = text.replace('-', "+").replace('_', "/").replace('=', "");
            (0..4).any(|skipped| self.is_in_base64(text.get(skipped..).unwrap_or_default()))
        })
        .filter_map(|run| Some((run.first()?.start, run.last()?.end)))
        .collect()
    }

    fn is_in_base64(&self, text: &str) -> bool {
        let lenient = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let engine = GeneralPurpose::new(&alphabet::STANDARD, lenient);
        // One character alone at the end holds no whole byte.
        let whole = if text.len() % 4 == 1 {
            text.len() - 1
        } else {
            text.len()
        };
        engine.decode(&text[..whole]).is_ok_and(|bytes| {
            let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            !self.find(&units(&text), Within::Text).is_empty()
        })
    }
}

/// The first [`MAX_SEARCHED_CHARS`] of a text.
fn searched(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_SEARCHED_CHARS);
    end.map_or(text, |(at, _)| &text[..at])
}

/// A character as it is meant, and where it is written.
#[derive(Debug, Clone, Copy)]
struct DecodedChar {
    c: char,
    start: usize,
    end: usize,
}

/// A text's characters, with escapes resolved and without those that cannot be seen.
fn units(text: &str) -> Vec<DecodedChar> {
    let mut units = Vec::with_capacity(text.len());
    let mut start = 0;
    while let Some(c) = text[start..].chars().next() {
        let (c, len) = escape(&text[start..]).unwrap_or((c, c.len_utf8()));
        let end = start + len;
        let is_unseen = c.is_control()
            || matches!(
                c,
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
            );
        if !is_unseen {
            units.push(DecodedChar { c, start, end });
        }
        start = end;
    }
    units
}

/// The escape that a text begins with: what it means, and its length. `%41`, also encoded again, `\u0041`, `\x41`, `&#65;` and
/// `&#x41;`.
fn escape(text: &str) -> Option<(char, usize)> {
    let code = |digits: &str, radix| {
        let is_plain = digits.chars().all(|c| c.is_digit(radix));
        let code = is_plain.then(|| u32::from_str_radix(digits, radix).ok())?;
        char::from_u32(code?)
    };
    if let Some(rest) = text.strip_prefix('%') {
        let again = rest.len() - rest.trim_start_matches("25").len();
        let digits = match rest.get(again..again + 2) {
            Some(digits) if code(digits, 16).is_some() => digits,
            // What follows is no escape: the percent sign itself was encoded.
            _ => return None,
        };
        return Some((code(digits, 16)?, 1 + again + 2));
    }
    for (start, len) in [("\\u", 4), ("\\x", 2)] {
        if let Some(rest) = text.strip_prefix(start) {
            return Some((code(rest.get(..len)?, 16)?, 2 + len));
        }
    }
    let rest = text.strip_prefix("&#")?;
    let (digits, _) = rest
        .get(..rest.len().min(10))
        .unwrap_or(rest)
        .split_once(';')?;
    let c = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => code(hex, 16)?,
        None => code(digits, 10)?,
    };
    Some((c, 2 + digits.len() + 1))
}

/// Where something has the form of a token of Cloudflare's.
fn find_by_form(units: &[DecodedChar]) -> Vec<(usize, usize)> {
    let is_token = |unit: &&DecodedChar| unit.c.is_ascii_alphanumeric() || "_-".contains(unit.c);
    let is_at = |at: usize, prefix: &str| {
        let letters = units[at..].iter().map(|unit| unit.c.to_ascii_lowercase());
        letters.take(prefix.len()).eq(prefix.chars())
    };
    let mut found = Vec::new();
    for at in 0..units.len() {
        for prefix in PREFIXES {
            let rest = units.get(at + prefix.len()..).unwrap_or_default();
            if !is_at(at, prefix) || rest.first().is_none_or(|unit| unit.c != '_') {
                continue;
            }
            let len = rest.iter().take_while(is_token).count();
            // The prefix alone is no secret.
            if len > 1 {
                found.push((units[at].start, rest[len - 1].end));
            }
        }
    }
    found
}

/// Whether the value of a parameter with this name, as it was sent, is a credential.
pub fn is_secret_name(name: &str) -> bool {
    let name: String = units(name)
        .iter()
        .map(|unit| unit.c.to_ascii_lowercase())
        .map(|c| if c == '-' { '_' } else { c })
        .collect();
    SECRET_NAMES.contains(&name.as_str())
}

/// Where something follows one of the names in [`BEFORE`] and is a credential there.
fn find_after_names(units: &[DecodedChar], within: Within) -> Vec<(usize, usize)> {
    let lower: Vec<char> = units
        .iter()
        .map(|unit| unit.c.to_ascii_lowercase())
        .collect();
    let mut found = Vec::new();
    for (name, follows) in BEFORE {
        let name: Vec<char> = name.chars().collect();
        let starts = lower.windows(name.len()).enumerate();
        let starts = starts.filter(|(_, window)| *window == name.as_slice());
        found.extend(starts.filter_map(|(at, _)| {
            let (from, to) = credential_at(&lower, at + name.len(), follows, within)?;
            Some((units[from].start, units[to - 1].end))
        }));
    }
    found
}

/// The credential that follows a name which ends before `at`.
fn credential_at(
    lower: &[char],
    at: usize,
    follows: FollowedBy,
    within: Within,
) -> Option<(usize, usize)> {
    let run = |from: usize, is_in: &dyn Fn(char) -> bool| {
        let rest = lower.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|c| is_in(**c)).count()
    };
    let is_end = |c: char| "\"'<>`".contains(c);
    let (from, to) = match follows {
        FollowedBy::Word => {
            let from = run(at, &|c| " +:=\"'`".contains(c));
            (
                from,
                run(from, &|c| {
                    c.is_ascii_alphanumeric() || "-._~+/=".contains(c)
                }),
            )
        }
        FollowedBy::Value => {
            let from = run(at, &|c| c == '=');
            (from, run(from, &|c| !is_end(c) && !"; &,".contains(c)))
        }
        FollowedBy::Line if within == Within::Parameter => cookies_at(lower, at),
        FollowedBy::Line => (at, run(at, &|c| !is_end(c) && c != '&')),
    };
    let word = lower.get(from..to)?;
    let has_digit = word.iter().any(char::is_ascii_digit);
    let is_opaque = word.len() >= OPAQUE_LEN || (has_digit && word.len() >= OPAQUE_DIGITS_LEN);
    // Of a question only what has the form of a token is hidden: an address or a name must not be.
    let is_opaque = match within {
        Within::Text => is_opaque,
        Within::Parameter => has_form_of_token(word),
    };
    let is_credential = match follows {
        FollowedBy::Word => from > at && is_opaque,
        FollowedBy::Value => from > at && !word.is_empty(),
        FollowedBy::Line => !word.is_empty(),
    };
    is_credential.then_some((from, to))
}

/// Whether a word is as long as a token and has no points, or is a JWT.
fn has_form_of_token(word: &[char]) -> bool {
    let points = word.iter().filter(|c| **c == '.').count();
    let is_jwt = points == 2 && word.starts_with(&['e', 'y', 'j']);
    word.len() >= OPAQUE_LEN && (points == 0 || is_jwt)
}

/// Where cookies are that begin at `at`, after spaces: words `name=value` with `; ` between them. Another word is hidden only as
/// the first.
fn cookies_at(lower: &[char], at: usize) -> (usize, usize) {
    let is_space = |c: &char| c.is_whitespace();
    let is_word = |c: &char| !c.is_whitespace() && !"\"'<>`)&".contains(*c);
    let spaces = |from: usize| lower[from..].iter().take_while(|c| is_space(c)).count();
    let word = |from: usize| lower[from..].iter().take_while(|c| is_word(c)).count();
    let from = at + spaces(at);
    let mut to = from + word(from);
    while to > from && lower[to - 1] == ';' {
        let next = to + spaces(to);
        let end = next + word(next);
        if !lower[next..end].contains(&'=') {
            break;
        }
        to = end;
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "Zx81_kPq-0aB3cD5eF7gH9iJ1kL3mN5oP7qR9sT";

    fn percent(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    /// Whether a part of the token can be read in a text.
    fn shows(text: &str, token: &str) -> bool {
        let letters = |text: &str| -> String {
            let letters = text.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|c| c.to_ascii_lowercase()).collect()
        };
        let (text, token) = (letters(text), letters(token));
        let len = token.len().min(PART_LEN);
        (0..=token.len() - len).any(|at| text.contains(&token[at..at + len]))
    }

    #[test]
    fn a_credential_is_hidden_in_every_form() {
        let mask = Mask::new(TOKEN);
        let (first, rest) = TOKEN.split_at(20);
        let written = [
            TOKEN.to_owned(),
            TOKEN.to_uppercase(),
            first.to_owned(),
            rest.to_owned(),
            format!("{first}\u{200b}{rest}"),
            format!("{first} \"{rest}"),
            percent(TOKEN),
            percent(TOKEN).replace('%', "%25"),
            TOKEN
                .chars()
                .map(|c| format!("\\u{:04x}", u32::from(c)))
                .collect(),
            TOKEN
                .chars()
                .map(|c| format!("&#{};", u32::from(c)))
                .collect(),
            TOKEN
                .chars()
                .map(|c| format!("&#x{:x};", u32::from(c)))
                .collect(),
            STANDARD.encode(TOKEN),
            STANDARD.encode(format!("Bearer {TOKEN}")),
            URL_SAFE_NO_PAD.encode(format!("me:{TOKEN}")),
            percent(&STANDARD.encode(TOKEN)),
        ];
        for text in written {
            let shown = mask.hide(&format!("before `{text}` after"));
            let is_one = shown.matches(HIDDEN).count() == 1;
            assert!(is_one, "{text}: {shown}");
            assert!(
                shown.starts_with("before `") && shown.ends_with("` after"),
                "{shown}"
            );
        }
        // Another one's token is known by its form.
        for text in ["cfut_abcDEF123", "CFK_x1", "cfat%5Fabc", "\\u0063fut_abc"] {
            assert_eq!(mask.hide(&format!("<{text}>")), format!("<{HIDDEN}>"));
        }
        for plain in [
            "Authentication error (code 10000)",
            "More than 1200 requests per 300 seconds reached",
            "tokens begin with cfut_ or cfat_",
            "100%, %zz, &#;, \\u12, é, 株式会社",
            "",
        ] {
            assert_eq!(mask.hide(plain), plain);
        }
    }

    #[test]
    fn credentials_are_known_by_what_is_before_them() {
        let mask = Mask::default();
        for text in [
            "Bearer hunter2hunter2",
            "authorization: bearer%20hunter2hunter2",
            "Bearer+abcdefghijklmnopqrstuvwxyz",
            "orgtrail_session=hunter2",
            "__Host-orgtrail_session=hunter2; Path=/",
            "Cookie: a=hunter2; b=hunter2",
            "set-cookie: a=hunter2",
            "CF_Authorization=hunter2",
        ] {
            let shown = mask.hide(text);
            assert!(shown.contains(HIDDEN), "{text}: {shown}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("xyz"),
                "{text}: {shown}"
            );
        }
        for plain in [
            "the bearer token is missing",
            "cookies are not read",
            "bearer of news",
        ] {
            assert_eq!(mask.hide(plain), plain);
        }
    }

    #[test]
    fn a_short_token_is_hidden_as_a_word_and_an_empty_one_hides_nothing() {
        let mask = Mask::new("any");
        assert_eq!(
            mask.hide("many, any; company"),
            format!("many, {HIDDEN}; company")
        );
        assert_eq!(Mask::new("").hide("any text"), "any text");
        assert_eq!(
            Mask::new("test-token").hide("x test-token"),
            format!("x {HIDDEN}")
        );
    }

    proptest! {
        #[test]
        fn no_part_of_a_token_is_shown_wherever_it_is(
            token in "[A-Za-z0-9_-]{30,60}",
            before in "[ -~é]{0,300}",
            after in "[ -~é]{0,300}",
            cut in 0_usize..400,
            form in 0_usize..5,
        ) {
            prop_assume!(token.chars().filter(char::is_ascii_alphanumeric).count() >= PART_LEN);
            let written = match form {
                0 => token.clone(),
                1 => percent(&token),
                2 => format!("{}\u{7}{}", &token[..15], &token[15..]),
                3 => format!("cfut_{token}"),
                _ => token.to_lowercase(),
            };
            let text = format!("{before} {written} {after}");
            let whole = Mask::new(&token).hide(&text);
            prop_assert!(!shows(&whole, &token), "{whole}");
            // However it is cut before it comes here.
            let start: String = text.chars().take(cut).collect();
            prop_assert!(!shows(&Mask::new(&token).hide(&start), &token));
        }
    }
}
