//! Leaves out of the page's files what only their readers need: comments, indentation, and blanks without a meaning.

/// Words after which a slash begins a regular expression.
const BEFORE_EXPRESSION: [&str; 6] = ["return", "typeof", "case", "in", "of", "await"];

/// Marks beside which a blank has no meaning. Beside `+`, `-`, `<` and `/` it may have one.
const MARKS: [char; 13] = [
    ',', ';', ':', '{', '}', '(', ')', '[', ']', '=', '?', '&', '|',
];

/// A module without comments, indentation, empty lines, and blanks beside marks. Strings, templates and regular expressions
/// stay as they are. What was one statement on one line still is.
pub(crate) fn javascript(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '/' if rest.starts_with("//") => {
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = &rest[end_of_comment(rest)..];
                continue;
            }
            '\n' => {
                rest = rest.trim_start();
                end_line(&mut kept, rest);
                continue;
            }
            ' ' if kept.ends_with(MARKS)
                || kept.ends_with("=>")
                || rest[1..].starts_with(MARKS) =>
            {
                rest = &rest[1..];
                continue;
            }
            '/' if expects_expression(&kept) => end_of_expression(rest),
            '"' | '\'' => end_of_string(rest, first),
            '`' => end_of_template(rest),
            _ => first.len_utf8(),
        };
        kept.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    kept.trim_start().to_owned()
}

/// A style sheet without comments, and without the blanks that have no meaning.
pub(crate) fn css(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("/*") {
            rest = &rest[end_of_comment(rest)..];
            continue;
        }
        if first.is_whitespace() {
            rest = rest.trim_start();
            let is_between_words = !kept.is_empty()
                && !kept.ends_with(['{', '}', ';', ',', ':', ' '])
                && !rest.starts_with(['{', '}', ';', ',']);
            if is_between_words {
                kept.push(' ');
            }
            continue;
        }
        if first == '}' && kept.ends_with(';') {
            kept.pop();
        }
        let len = match first {
            '"' | '\'' => end_of_string(rest, first),
            _ => first.len_utf8(),
        };
        kept.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    kept
}

/// Ends a line, unless nothing is left of it, or it cannot end a statement.
fn end_line(kept: &mut String, rest: &str) {
    kept.truncate(kept.trim_end_matches([' ', '\t']).len());
    let goes_on =
        kept.ends_with(['(', '[', '{', ',', '\n']) || rest.starts_with([')', ']', '}', '.']);
    if !kept.is_empty() && !goes_on {
        kept.push('\n');
    }
}

fn end_of_comment(text: &str) -> usize {
    text[2..].find("*/").map_or(text.len(), |at| at + 4)
}

/// Whether what comes next is an expression: a slash there is no division.
fn expects_expression(before: &str) -> bool {
    let before = before.trim_end();
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    match before.chars().next_back() {
        None => true,
        Some(c) if is_word(c) => {
            let word = &before[before.trim_end_matches(is_word).len()..];
            BEFORE_EXPRESSION.contains(&word)
        }
        Some(c) => !matches!(c, ')' | ']' | '}' | '"' | '\'' | '`'),
    }
}

/// Where a string ends that begins with its quote.
fn end_of_string(text: &str, quote: char) -> usize {
    end_of(text, |c, _| c == quote)
}

/// Where a regular expression ends, without its flags.
fn end_of_expression(text: &str) -> usize {
    let mut is_in_class = false;
    end_of(text, |c, _| {
        match c {
            '[' => is_in_class = true,
            ']' => is_in_class = false,
            _ => {}
        }
        c == '/' && !is_in_class
    })
}

/// Where a template ends, with the templates inside it.
fn end_of_template(text: &str) -> usize {
    // Up to where an inner part has been skipped, and how many braces are open.
    let mut skipped = 0;
    let mut open = 0_usize;
    end_of(text, |c, at| {
        if at < skipped {
            return false;
        }
        let rest = &text[at..];
        match c {
            '$' if open == 0 && rest.starts_with("${") => {
                open = 1;
                skipped = at + 2;
            }
            '{' if open > 0 => open += 1,
            '}' if open > 0 => open -= 1,
            '`' if open > 0 => skipped = at + end_of_template(rest),
            '"' | '\'' if open > 0 => skipped = at + end_of_string(rest, c),
            '`' => return true,
            _ => {}
        }
        false
    })
}

/// The position behind the first character after the opening one that `is_end` takes. What a backslash escapes is skipped.
fn end_of(text: &str, mut is_end: impl FnMut(char, usize) -> bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if is_end(c, at) {
            return at + c.len_utf8();
        }
    }
    text.len()
}
