//! The search page as it is served: its files, their headers and their size. What it does is tested in a browser
//! ([`browser`]).

#[path = "../../build/merge.rs"]
mod merge;
#[path = "../../build/strip.rs"]
mod strip;

mod browser;
mod opened;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex::Regex;
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use reqwest::{Client, Method, Response, StatusCode};

use crate::fixture_log::Desk;

/// The most that the files of the first load may have, in bytes: as they are, and compressed.
const MAX_FIRST_LOAD: usize = 60_000;
const MAX_FIRST_LOAD_GZIP: usize = 20_000;

/// A page that is served, and a client that takes answers as they are sent.
struct Served {
    desk: Desk,
    http: Client,
}

impl Served {
    /// By a service that wants tokens; the client has none.
    async fn new() -> Self {
        Self {
            desk: Desk::guarded().await,
            http: Client::builder().no_gzip().build().unwrap(),
        }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.get(format!("{}{path}", self.desk.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.get(path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    /// The addresses of the files that the document names.
    async fn first_files(&self) -> Vec<String> {
        let document = self.text("/").await;
        let named = Regex::new(r#"(?:href|src)="(/ui/[^"]+)""#).unwrap();
        let found = named.captures_iter(&document);
        let found: Vec<String> = found.map(|one| one[1].to_owned()).collect();
        assert_eq!(found.len(), 3, "{document}");
        found
    }
}

fn header(answer: &Response, name: impl reqwest::header::AsHeaderName) -> String {
    let value = answer.headers().get(name);
    value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_needs_no_token_and_loads_nothing_but_its_own_files() {
    let served = Served::new().await;
    let page = served.get("/", &[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(header(&page, CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(header(&page, CACHE_CONTROL), "no-cache");
    assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    assert_eq!(header(&page, "referrer-policy"), "no-referrer");
    let policy = header(&page, "content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(policy.split("; ").any(|one| one == rule), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    let version = Regex::new("^/ui/[0-9a-f]{8,}/[a-z-]+\\.(js|css|svg)$").unwrap();
    for file in served.first_files().await {
        assert!(version.is_match(&file), "{file}");
        let answer = served.get(&file, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{file}");
        let cached = header(&answer, CACHE_CONTROL);
        assert_eq!(cached, "public, max-age=31536000, immutable");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    }
    // Nothing else without a token.
    let refused = served.get("/v1/me", &[]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    for unknown in ["/ui/0000000000000000/main.js", "/ui/main.js", "/ui/../x"] {
        let answer = served.get(unknown, &[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_a_file_is_told_so_and_gets_it_compressed_if_it_takes_that() {
    let served = Served::new().await;
    let mut files = served.first_files().await;
    files.push("/".to_owned());
    for file in files {
        let plain = served.get(&file, &[]).await;
        let packed = served
            .get(&file, &[(ACCEPT_ENCODING.as_str(), "gzip")])
            .await;
        let tags = [header(&plain, ETAG), header(&packed, ETAG)];
        assert_ne!(tags[0], tags[1], "two forms have two tags");
        assert_eq!(header(&plain, CONTENT_ENCODING), "");
        assert_eq!(header(&packed, CONTENT_ENCODING), "gzip");
        assert!(header(&packed, "vary").contains("accept-encoding"));
        let (plain, packed) = (plain.bytes().await.unwrap(), packed.bytes().await.unwrap());
        let mut unpacked = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&packed[..]);
        std::io::Read::read_to_end(&mut reader, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain);

        let known = served
            .get(&file, &[(IF_NONE_MATCH.as_str(), &tags[0])])
            .await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED, "{file}");
        assert_eq!(header(&known, ETAG), tags[0]);
        assert!(known.bytes().await.unwrap().is_empty());
        let other = served
            .get(&file, &[(IF_NONE_MATCH.as_str(), "\"other\"")])
            .await;
        assert_eq!(other.status(), StatusCode::OK);
        let head = served
            .http
            .request(Method::HEAD, format!("{}{file}", served.desk.url));
        let head = head.send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(header(&head, ETAG), tags[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_on_another_site_opens_the_page_and_nothing_else() {
    let served = Served {
        desk: Desk::new().await,
        http: Client::new(),
    };
    for (path, mode, status) in [
        ("/", "navigate", StatusCode::OK),
        ("/?q=a", "navigate", StatusCode::OK),
        ("/", "no-cors", StatusCode::FORBIDDEN),
        ("/v1/count", "navigate", StatusCode::FORBIDDEN),
        ("/docs", "navigate", StatusCode::FORBIDDEN),
    ] {
        let from = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)];
        let answer = served.get(path, &from).await;
        assert_eq!(answer.status(), status, "{path}, {mode}");
    }
    let elsewhere = [
        ("host", "elsewhere.example"),
        ("sec-fetch-mode", "navigate"),
    ];
    let answer = served.get("/", &elsewhere).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_the_first_load_are_within_their_budget() {
    let served = Served::new().await;
    let mut files = served.first_files().await;
    let first = files.iter().find(|file| file.ends_with(".js")).unwrap();
    let first = served.text(first).await;
    assert!(
        !first.lines().any(|line| line.starts_with("import{")),
        "the first module loads no other one at once"
    );
    files.push("/".to_owned());
    let (mut plain, mut packed) = (0, 0);
    for file in &files {
        plain += served.get(file, &[]).await.bytes().await.unwrap().len();
        let gzip = served
            .get(file, &[(ACCEPT_ENCODING.as_str(), "gzip")])
            .await;
        packed += gzip.bytes().await.unwrap().len();
    }
    crate::tell(format!(
        "the first load: {plain} bytes, compressed {packed}"
    ));
    assert!(plain <= MAX_FIRST_LOAD, "{plain} bytes");
    assert!(packed <= MAX_FIRST_LOAD_GZIP, "{packed} bytes compressed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_that_a_module_loads_is_served() {
    let served = Served::new().await;
    let files = served.first_files().await;
    let first = files.iter().find(|file| file.ends_with(".js")).unwrap();
    let (folder, first) = first.rsplit_once('/').unwrap();
    let loads = Regex::new(r#"'\./([a-z0-9-]+\.(?:js|css))'"#).unwrap();
    let mut seen = BTreeSet::new();
    let mut next = vec![first.to_owned()];
    while let Some(file) = next.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        let text = served.text(&format!("{folder}/{file}")).await;
        next.extend(loads.captures_iter(&text).map(|one| one[1].to_owned()));
    }
    assert!(seen.len() > 20, "{seen:?}");
    // Nothing is served that no module loads.
    let joined = modules().into_keys().filter(|name| !seen.contains(name));
    for name in joined {
        let answer = served.get(&format!("{folder}/{name}"), &[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
    }
}

/// The modules of the page, by their names.
fn modules() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let modules = entries.filter(|path| path.extension().is_some_and(|end| end == "js"));
    modules
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn no_text_becomes_markup_or_a_script() {
    let markup = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "srcdoc",
        "eval(",
        "new Function",
        "javascript:",
        "setTimeout('",
        "setTimeout(\"",
        "dangerously",
    ];
    let modules = modules();
    assert!(modules.len() > 30);
    for (name, module) in modules {
        let code = strip::javascript(&module);
        for word in markup {
            assert!(!code.contains(word), "ui/{name} has `{word}`");
        }
        assert!(
            !code.contains("http://") || name == "dom.js",
            "ui/{name} loads from elsewhere"
        );
        assert!(!code.contains("https://"), "ui/{name} loads from elsewhere");
    }
}

#[test]
fn modules_are_short_and_say_what_they_are_for() {
    for (name, module) in modules() {
        let lines = module.lines().count();
        assert!(lines <= 250, "ui/{name} has {lines} lines");
        assert!(
            module.starts_with("// "),
            "ui/{name} says nothing of itself"
        );
        assert!(module.ends_with("\n"), "ui/{name} has no end of line");
    }
}

#[test]
fn comments_and_blanks_are_left_out_and_strings_stay() {
    for (source, stripped) in [
        ("// a\n  x = 1; // b\n\n  y = 2;\n", "x=1;\ny=2;\n"),
        ("/** @type {X} */ (a).b(/* c */ 1);", "(a).b(1);"),
        (
            "x = '// no'; y = \"/* no */\";",
            "x='// no';y=\"/* no */\";",
        ),
        (
            "x = `// ${`/* ${1} */`} no\n  `;",
            "x=`// ${`/* ${1} */`} no\n  `;",
        ),
        (
            "x = /[/*'\"]/g.test(a) / 2; // b",
            "x=/[/*'\"]/g.test(a)/ 2;",
        ),
        ("return /\\/'/.exec(x)", "return /\\/'/.exec(x)"),
        ("x = a / b; y = c / d; // e\n", "x=a / b;y=c / d;\n"),
        ("x = 'it\\'s // no';", "x='it\\'s // no';"),
        ("const { a } = b ? c : { d: e };", "const{a}=b?c:{d:e};"),
        ("a = b + +c - -d < !e;", "a=b + +c - -d < !e;"),
        (
            "f(\n  (a) => {\n    b\n    return c\n  },\n)\n  .d();\ne\n",
            "f((a)=>{b\nreturn c},).d();\ne\n",
        ),
        ("const a = 1\n(b)\n", "const a=1\n(b)\n"),
    ] {
        assert_eq!(strip::javascript(source), stripped, "{source}");
    }
    let sheet = "/* a */\n.b , .c > d:hover {\n  color: red;\n  content: \"; }  /* no */\";\n}\n";
    let stripped = ".b,.c > d:hover{color:red;content:\"; }  /* no */\"}";
    assert_eq!(strip::css(sheet), stripped);
    assert_eq!(
        strip::css("@media (x: 1px) and (y) { a { b: c } }"),
        "@media (x:1px) and (y){a{b:c}}"
    );
}

#[test]
fn the_modules_of_the_first_view_are_joined_and_the_others_import_from_them() {
    let sources = [
        (
            "main.js",
            "import { a } from './a.js';\na();\nimport('./later.js');\n",
        ),
        (
            "a.js",
            "import { b } from './b.js';\nexport function a() {\n  return b;\n}\n",
        ),
        ("b.js", "export const b = 1;\n"),
        (
            "later.js",
            "import { b } from './b.js';\nimport { c } from './c.js';\nb + c;\n",
        ),
        ("c.js", "export const c = 2;\n"),
    ];
    let sources = sources.map(|(name, source)| (name.to_owned(), source.to_owned()));
    let merged = merge::merge(&BTreeMap::from(sources));
    let first = "export const b=1;\nexport function a(){return b;}\na();\nimport('./later.js');\n";
    assert_eq!(merged["main.js"], first);
    let later = "import{b}from './main.js';\nimport{c}from './c.js';\nb + c;\n";
    assert_eq!(merged["later.js"], later);
    assert_eq!(
        merged.keys().collect::<Vec<_>>(),
        ["c.js", "later.js", "main.js"]
    );
}

#[test]
#[should_panic(expected = "both have `x`")]
fn a_name_is_used_once_in_the_modules_of_the_first_view() {
    let sources = [
        ("main.js", "import { a } from './a.js';\nconst x = a;\n"),
        ("a.js", "const x = 1;\nexport const a = x;\n"),
    ];
    merge::merge(&BTreeMap::from(
        sources.map(|(name, source)| (name.to_owned(), source.to_owned())),
    ));
}
