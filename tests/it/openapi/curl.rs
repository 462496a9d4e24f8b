//! A line with `curl`, as far as the examples use it, as a request.

use reqwest::{Client, Method, RequestBuilder};

/// The request of a line in which the variables have these values.
pub(super) fn request(http: &Client, line: &str, variables: &[(&str, &str)]) -> RequestBuilder {
    let mut words = words(line, variables).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"), "{line}");
    let (mut method, mut url, mut is_query) = (None, String::new(), false);
    let (mut headers, mut data) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap();
        match word.as_str() {
            "-s" => {}
            "-sG" => is_query = true,
            "-X" => method = Some(value().parse().unwrap()),
            "-H" => headers.push(value()),
            "-d" | "--data-urlencode" => data.push(value()),
            other => {
                assert!(
                    url.is_empty() && !other.starts_with('-'),
                    "{other} in {line}"
                );
                url = word;
            }
        }
    }
    let has_type = headers
        .iter()
        .any(|header| header.starts_with("Content-Type: "));
    let body = match has_type {
        true => data.join("&"),
        false => encoded(&data),
    };
    if is_query && !body.is_empty() {
        url = format!("{url}?{body}");
    }
    let is_sent = !is_query && !body.is_empty();
    let usual = if is_sent { Method::POST } else { Method::GET };
    let mut request = http.request(method.unwrap_or(usual), url);
    if is_sent && !has_type {
        headers.push("Content-Type: application/x-www-form-urlencoded".to_owned());
    }
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    if is_sent { request.body(body) } else { request }
}

/// The pairs as they are in a URL or a form.
fn encoded(pairs: &[String]) -> String {
    let pairs = pairs.iter().map(|pair| pair.split_once('=').unwrap());
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// The words of a line. Text in single quotes is plain; in double quotes there may be variables and `\"`.
fn words(line: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.chars().next() {
            Some('\'') => rest[1..]
                .split_once('\'')
                .map(|(word, after)| (word.to_owned(), after))
                .unwrap(),
            Some('"') => quoted(&rest[1..], variables),
            _ => {
                let end = rest.find(' ').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn quoted<'a>(text: &'a str, variables: &[(&str, &str)]) -> (String, &'a str) {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            '"' => {
                let mut told = word;
                for (name, value) in variables {
                    told = told.replace(name, value);
                }
                return (told, &text[at + 1..]);
            }
            c => word.push(c),
        }
    }
    panic!("a quote is open: {text}");
}

#[test]
fn a_line_is_read_as_a_shell_would() {
    let line = r#"curl -sG "$A/v1" --data-urlencode 'q=a "b"' -d "{\"x\": \"$T\"}""#;
    let words = words(line, &[("$A", "http://a"), ("$T", "t")]);
    let expected = [
        "curl",
        "-sG",
        "http://a/v1",
        "--data-urlencode",
        "q=a \"b\"",
        "-d",
        "{\"x\": \"t\"}",
    ];
    assert_eq!(words, expected);
}
