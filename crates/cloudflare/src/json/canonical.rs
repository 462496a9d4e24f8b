//! The one form of texts that say the same: by it an entry's content is compared, and known when it has no id.

use std::borrow::Cow;

use super::tokens::{JsonToken, MAX_DEPTH, Tokens, meaning, unescape};

/// The form in which two texts are equal when they say the same: keys sorted, escapes written one way, no white space;
/// numbers and duplicate keys as written.
///
/// A string with a broken surrogate keeps its own spelling. A text nested deeper than [`MAX_DEPTH`] keeps the order of
/// its keys, and only loses its white space.
#[must_use]
pub fn canonical(text: &str) -> String {
    let mut tokens = Tokens::new(text);
    let mut out = String::with_capacity(text.len());
    match tokens
        .next()
        .map(|first| canonical_value(first, &mut tokens, &mut out))
    {
        Some(Some(())) => out,
        _ => without_white_space(text),
    }
}

/// Writes the value that begins with `first`; `None` when it is nested too deeply or ends too early.
fn canonical_value<'a>(
    first: JsonToken<'a>,
    tokens: &mut Tokens<'a>,
    out: &mut String,
) -> Option<()> {
    match first {
        JsonToken::BeginObject => canonical_object(tokens, out)?,
        JsonToken::BeginArray => canonical_array(tokens, out)?,
        JsonToken::Key(raw) | JsonToken::Text(raw) => canonical_string(raw, out),
        JsonToken::Number(number) => out.push_str(number),
        JsonToken::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        JsonToken::Null => out.push_str("null"),
        JsonToken::EndObject | JsonToken::EndArray => return None,
    }
    Some(())
}

fn canonical_object<'a>(tokens: &mut Tokens<'a>, out: &mut String) -> Option<()> {
    if tokens.depth() > MAX_DEPTH {
        return None;
    }
    let mut members: Vec<(Cow<'a, str>, String)> = Vec::new();
    loop {
        match tokens.next()? {
            JsonToken::Key(raw) => {
                let mut member = String::new();
                canonical_string(raw, &mut member);
                member.push(':');
                let first = tokens.next()?;
                canonical_value(first, tokens, &mut member)?;
                members.push((meaning(raw), member));
            }
            JsonToken::EndObject => break,
            _ => return None,
        }
    }
    // Stable, so that duplicate keys stay in the order they were written in.
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push('{');
    for (i, (_, member)) in members.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        out.push_str(member);
    }
    out.push('}');
    Some(())
}

fn canonical_array<'a>(tokens: &mut Tokens<'a>, out: &mut String) -> Option<()> {
    if tokens.depth() > MAX_DEPTH {
        return None;
    }
    out.push('[');
    let mut first_item = true;
    loop {
        match tokens.next()? {
            JsonToken::EndArray => break,
            first => {
                out.push_str(if first_item { "" } else { "," });
                first_item = false;
                canonical_value(first, tokens, out)?;
            }
        }
    }
    out.push(']');
    Some(())
}

fn canonical_string(raw: &str, out: &mut String) {
    match unescape(raw)
        .ok()
        .and_then(|text| serde_json::to_string(&text).ok())
    {
        Some(quoted) => out.push_str(&quoted),
        None => {
            out.push('"');
            out.push_str(raw);
            out.push('"');
        }
    }
}

fn without_white_space(text: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    text.chars()
        .filter(|&c| {
            let keep = in_string || !matches!(c, ' ' | '\t' | '\n' | '\r');
            if c == '"' && !escaped {
                in_string = !in_string;
            }
            escaped = in_string && c == '\\' && !escaped;
            keep
        })
        .collect()
}
