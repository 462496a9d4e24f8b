//! A server's answer line by line, as it comes.

use anyhow::{Context, Result, bail};

/// The longest line that is taken, in bytes: more than any entry has.
const MAX_LINE_LEN: usize = 256 * 1024 * 1024;

/// The lines of a body that is still coming.
pub(super) struct Lines {
    answer: reqwest::Response,
    /// What has come and was not given yet.
    held: Vec<u8>,
    /// How much of it is known to be without a line's end.
    looked_at: usize,
}

impl Lines {
    pub(super) fn new(answer: reqwest::Response) -> Self {
        Self {
            answer,
            held: Vec::new(),
            looked_at: 0,
        }
    }

    /// The next line, without its end; `None` when the body has ended.
    pub(super) async fn next(&mut self) -> Result<Option<String>> {
        loop {
            let rest = &self.held[self.looked_at..];
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=self.looked_at + at).collect();
                self.looked_at = 0;
                let line = String::from_utf8(line).context("the answer is not text")?;
                return Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()));
            }
            self.looked_at = self.held.len();
            if self.looked_at > MAX_LINE_LEN {
                bail!("the server sends a line of more than {MAX_LINE_LEN} bytes");
            }
            match self.answer.chunk().await.context("the answer broke off")? {
                Some(chunk) => self.held.extend_from_slice(&chunk),
                None if self.held.is_empty() => return Ok(None),
                None => bail!("the answer broke off in the middle of a line"),
            }
        }
    }
}
