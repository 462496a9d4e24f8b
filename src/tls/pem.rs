//! Files in PEM: their sections, each with its label and its line.
//!
//! What is in a section is decoded by rustls's own reader. It gives no line numbers, so the sections are found here.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustls::pki_types::pem;
use secrecy::zeroize::Zeroizing;

use super::error::TlsError;

/// The largest file that is read. A chain has about 5 KiB.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// The most sections of one file.
const MAX_SECTIONS: usize = 32;

/// How a section begins and ends.
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// What OpenSSL writes into a section that it has encrypted.
const ENCRYPTED_HEADER: &str = "ENCRYPTED";

/// The bytes of a file. They are overwritten when they are dropped: they may be a key.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let bytes = read_bounded(path)
        .map_err(|error| TlsError::in_file(path, format!("could not read it: {error}")))?;
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("it is larger than {MAX_FILE_BYTES} bytes");
        return Err(TlsError::in_file(path, message));
    }
    Ok(bytes)
}

/// Reads at most one byte more than the limit. The buffer has its full size, so that growing does not leave copies of a key.
///
/// A pipe is refused: opening one waits for its writer.
fn read_bounded(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&std::fs::metadata(path)?.file_type()) {
        let message = "it is a pipe: write a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let most = MAX_FILE_BYTES + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    File::open(path)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One section.
pub(super) struct PemSection<'f> {
    /// Such as `CERTIFICATE`.
    pub(super) label: &'f str,
    /// The line on which it begins, counted from 1.
    pub(super) line: usize,
    text: &'f str,
}

/// The sections of a file, in its order.
pub(super) fn sections<'f>(path: &Path, bytes: &'f [u8]) -> Result<Vec<PemSection<'f>>, TlsError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(TlsError::in_file(
            path,
            "it is not text: write it in PEM (`openssl x509 -inform DER -in FILE` or `openssl pkey -inform DER -in FILE` converts it)",
        ));
    };
    let mut sections = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut start = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let end = start + line.len();
        if let Some(label) = label_after(line, BEGIN) {
            if let Some((_, begun, _)) = open {
                return Err(not_ended(path, begun));
            }
            open = Some((label, number, start));
        } else if let Some(label) = label_after(line, END)
            && let Some((begun_as, line, from)) = open.take()
        {
            if label != begun_as {
                return Err(not_ended(path, line));
            }
            let text = &text[from..end];
            sections.push(PemSection { label, line, text });
        }
        start = end;
    }
    if let Some((_, begun, _)) = open {
        return Err(not_ended(path, begun));
    }
    if sections.len() > MAX_SECTIONS {
        let message = format!("it has more than {MAX_SECTIONS} sections");
        return Err(TlsError::in_file(path, message));
    }
    Ok(sections)
}

impl PemSection<'_> {
    /// Whether it can be read with a password only.
    pub(super) fn is_encrypted(&self) -> bool {
        let mut lines = self.text.lines();
        self.label.starts_with(ENCRYPTED_HEADER)
            || lines.any(|line| line.starts_with("Proc-Type:") && line.contains(ENCRYPTED_HEADER))
    }

    /// Its content. Errors say nothing of it.
    pub(super) fn decode(&self, path: &Path) -> Result<(pem::SectionKind, Vec<u8>), TlsError> {
        match pem::from_buf(&mut self.text.as_bytes()) {
            Ok(Some(found)) => Ok(found),
            Ok(None) | Err(_) => Err(TlsError::at_line(
                path,
                self.line,
                "this section cannot be decoded; it was perhaps cut off or edited: copy the file again",
            )),
        }
    }
}

/// The label of a line such as `-----BEGIN CERTIFICATE-----`.
fn label_after<'l>(line: &'l str, start: &str) -> Option<&'l str> {
    line.trim_end().strip_prefix(start)?.strip_suffix(DASHES)
}

fn not_ended(path: &Path, line: usize) -> TlsError {
    TlsError::at_line(
        path,
        line,
        "this section has no end: the file was perhaps cut off",
    )
}
