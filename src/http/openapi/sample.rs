//! A request that the document shows, as a line for the shell.

/// A request that a test sends, and whose answer it records.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) title: &'static str,
    pub(super) path: &'static str,
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// The body, in JSON. It may name `$TOKEN`.
    pub(super) body: Option<&'static str>,
}

impl Sample {
    /// The request as a line for the shell. `$ORGTRAIL` is the address of the service, and `$TOKEN` a token.
    pub(super) fn curl(&self, method: &str, has_token: bool) -> String {
        let mut line = match (method, self.parameters) {
            ("get", []) => "curl -s".to_owned(),
            ("get", _) => "curl -sG".to_owned(),
            // Here `-d` alone makes the method POST.
            ("post", [_, ..]) => "curl -s".to_owned(),
            (method, _) => format!("curl -s -X {}", method.to_uppercase()),
        };
        line += &format!(" \"$ORGTRAIL{}\"", self.path);
        if has_token {
            line += " -H \"Authorization: Bearer $TOKEN\"";
        }
        if let Some(body) = self.body {
            let body = body.replace('"', "\\\"");
            line += &format!(" -H 'Content-Type: application/json' -d \"{body}\"");
        }
        for (name, value) in self.parameters {
            let flag = if value.bytes().all(is_plain) {
                "-d"
            } else {
                "--data-urlencode"
            };
            line += &format!(" {flag} '{name}={value}'");
        }
        line
    }
}

/// Whether a byte means itself in a URL.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte)
}
