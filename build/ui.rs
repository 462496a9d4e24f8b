//! Makes of `ui/` what the program serves: the page's files without comments, joined for the first view, compressed, and in a
//! folder that is named by their hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::merge::merge;
use crate::strip;

/// The document that the page begins with.
const DOCUMENT: &str = "index.html";
/// Its placeholder for the hash of the folder.
const VERSION: &str = "{version}";
/// How many hex digits of a hash are used.
const DIGITS: usize = 16;

/// Writes the files to `out`, and `ui.rs` with their table.
pub(crate) fn embed(source: &Path, out: &Path) {
    let mut files = prepared(source);
    let mut folder = Sha256::new();
    for (name, bytes) in &files {
        folder.update(name.as_bytes());
        folder.update(hash(bytes));
    }
    let version = hex(&folder.finalize());
    if let Some(document) = files.get_mut(DOCUMENT) {
        *document = String::from_utf8_lossy(document)
            .replace(VERSION, &version)
            .into_bytes();
    }
    let folder = out.join("ui");
    fs::create_dir_all(&folder).expect("the build's folder can be written");
    let mut table = format!("const VERSION: &str = {version:?};\nconst FILES: &[PageFile] = &[\n");
    for (name, bytes) in &files {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(bytes).expect("memory can be written");
        let gzip = gzip.finish().expect("memory can be written");
        let (plain, packed) = (folder.join(name), folder.join(format!("{name}.gz")));
        fs::write(&plain, bytes).expect("the build's folder can be written");
        fs::write(&packed, gzip).expect("the build's folder can be written");
        let (content_type, tag) = (content_type(name), hex(&hash(bytes)));
        writeln!(
            table,
            "PageFile {{ name: {name:?}, content_type: {content_type:?}, tag: {tag:?}, plain: include_bytes!({plain:?}), gzip: include_bytes!({packed:?}) }},"
        )
        .expect("a text can be written");
    }
    table.push_str("];\n");
    fs::write(out.join("ui.rs"), table).expect("the build's folder can be written");
}

/// The files as they are served, by their names.
fn prepared(source: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut modules = BTreeMap::new();
    let mut files = BTreeMap::new();
    let entries = fs::read_dir(source).expect("the folder `ui` can be read");
    for entry in entries {
        let path = entry.expect("the folder `ui` can be read").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name in `ui` is UTF-8")
            .to_owned();
        let text = fs::read_to_string(&path).expect("a file of `ui` is UTF-8");
        if name.ends_with(".js") {
            modules.insert(name, text);
        } else if name.ends_with(".css") {
            files.insert(name, strip::css(&text).into_bytes());
        } else {
            files.insert(name, text.into_bytes());
        }
    }
    for (name, module) in merge(&modules) {
        files.insert(name, module.into_bytes());
    }
    files
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => panic!("ui/{name}: what is this? Give its type a line in build/ui.rs"),
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hex(hash: &[u8]) -> String {
    let digits = hash.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>()[..DIGITS].to_owned()
}
