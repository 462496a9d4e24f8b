//! The files for operators: they name what exists, the tools that read them find no fault, and what can be executed here is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use orgtrail::config::Config;
use regex::Regex;
use yaml_rust2::{Yaml, YamlLoader};

use crate::{skip_slow_tests, tell};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&read(path)).unwrap();
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

/// What a tool says, or `None` where it is not installed, which is told.
fn run_tool(name: &str, args: &[&str]) -> Option<Output> {
    match Command::new(name).args(args).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tell(format!("SKIPPED: `{name}` is not installed"));
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Checks that a line that starts our program names a command and options that exist.
fn assert_known(line: &[&str]) {
    let command = line[0];
    let help = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args([command, "--help"])
        .output()
        .unwrap();
    assert!(
        help.status.success(),
        "`orgtrail {command}` does not exist: {line:?}"
    );
    let help = said(&help);
    for option in line.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(&format!("{option} ")), "{option} of {line:?}");
    }
}

/// The environment overrides that a file sets must be keys of the configuration.
fn assert_overrides_known(text: &str) {
    let named = Regex::new(r"ORGTRAIL__(\w+)").unwrap();
    let example = Config::example();
    let mut count = 0;
    for found in named.captures_iter(text) {
        let key = found[1].rsplit("__").next().unwrap().to_lowercase();
        let is_known = Regex::new(&format!(r"(?m)^#?{key} = "))
            .unwrap()
            .is_match(example);
        assert!(is_known, "{}", &found[0]);
        count += 1;
    }
    assert!(count > 0, "no override was found");
}

#[test]
fn unit_names_what_exists_and_the_tools_of_systemd_find_no_fault() {
    let unit = read("deploy/systemd/orgtrail.service");
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/orgtrail "));
    assert_known(&start.unwrap().split(' ').collect::<Vec<_>>());
    assert_overrides_known(&unit);
    let user = read("deploy/systemd/orgtrail.sysusers.conf");
    assert!(user.contains("\nu orgtrail ") && unit.contains("User=orgtrail\n"));

    // The same unit with programs that are here.
    let dir = tempfile::tempdir().unwrap();
    let here = unit
        .replace("/usr/bin/orgtrail", env!("CARGO_BIN_EXE_orgtrail"))
        .replace("Documentation=man:orgtrail(1)\n", "")
        .replace("User=orgtrail\nGroup=orgtrail", "User=daemon\nGroup=daemon");
    let path = dir.path().join("orgtrail.service");
    fs::write(&path, here).unwrap();
    let path = path.to_str().unwrap();
    if let Some(verified) = run_tool("systemd-analyze", &["verify", "--man=no", path]) {
        let faults = said(&verified);
        let faults = faults
            .lines()
            .filter(|line| line.contains("orgtrail.service"));
        assert_eq!(faults.collect::<Vec<_>>(), Vec::<&str>::new());
    }
    // 0 is the safest, 100 the least safe.
    let security = ["security", "--offline=true", "--threshold=20", path];
    if let Some(secure) = run_tool("systemd-analyze", &security) {
        assert!(secure.status.success(), "{}", said(&secure));
        tell(said(&secure).lines().last().unwrap_or_default());
    }
}

#[test]
fn the_packaged_configuration_can_be_read_and_scripts_are_shell() {
    let text = read("deploy/debian/orgtrail.toml");
    let config = Config::parse(&text, "orgtrail.toml", std::iter::empty()).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/orgtrail"));
    for script in ["postinst", "prerm", "postrm"] {
        let path = root().join("deploy/debian").join(script);
        let checked = Command::new("sh").arg("-n").arg(path).output().unwrap();
        assert!(checked.status.success(), "{script}: {}", said(&checked));
    }
}

#[test]
fn container_file_names_what_exists() {
    let text = read("deploy/Containerfile");
    assert_overrides_known(&text);
    let list = Regex::new(r#""([^"]*)""#).unwrap();
    let words = |line: &str| -> Vec<String> {
        let words = list.captures_iter(line).map(|word| word[1].to_owned());
        words.filter(|word| word != "/usr/bin/orgtrail").collect()
    };
    let lines = text
        .lines()
        .filter(|line| line.starts_with("CMD ") || line.contains(" CMD ["));
    let lines: Vec<Vec<String>> = lines.map(words).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_known(&line.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert!(text.contains("TMPDIR=/var/lib/orgtrail "));
    assert!(text.contains("USER 65532:65532") && text.contains("FROM scratch"));
    let rust = Regex::new(r"rust:(\d+\.\d+)").unwrap();
    assert_eq!(
        &rust.captures(&text).unwrap()[1],
        env!("CARGO_PKG_RUST_VERSION")
    );
}

#[test]
fn compose_file_is_yaml_and_names_what_exists() {
    let compose = yaml("deploy/compose.yml");
    assert_overrides_known(&read("deploy/compose.yml"));
    let services = compose["services"].as_hash().unwrap();
    assert_eq!(services.len(), 3);
    let ours = &compose["services"]["orgtrail"];
    assert_eq!(ours["read_only"].as_bool(), Some(true));
    let file = ours["build"]["dockerfile"].as_str().unwrap();
    assert!(root().join(file).exists(), "{file}");

    // What a newcomer makes, as the file itself says.
    let made = [
        "orgtrail.toml",
        "secrets/cloudflare-token",
        "secrets/metrics-token",
    ];
    let declared: BTreeSet<&str> = keys(&compose["volumes"]);
    let secrets = keys(&compose["secrets"]);
    let mut named = Vec::new();
    for (name, service) in services {
        for volume in service["volumes"].as_vec().unwrap() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            match from.strip_prefix("./") {
                Some(path) => named.push(path.to_owned()),
                None => assert!(declared.contains(from), "{name:?}: {from}"),
            }
        }
        for secret in service["secrets"].as_vec().into_iter().flatten() {
            assert!(
                secrets.contains(secret.as_str().unwrap()),
                "{name:?}: {secret:?}"
            );
        }
    }
    for (_, secret) in compose["secrets"].as_hash().unwrap() {
        named.push(
            secret["file"]
                .as_str()
                .unwrap()
                .trim_start_matches("./")
                .to_owned(),
        );
    }
    for path in named {
        let is_there = root().join("deploy").join(&path).exists();
        let is_expected = made.contains(&path.as_str());
        assert!(is_there || is_expected, "deploy/{path} does not exist");
    }
    for path in [
        "prometheus/prometheus.yml",
        "grafana/datasource.yml",
        "grafana/provider.yml",
    ] {
        yaml(&format!("deploy/{path}"));
    }
    let rules = yaml("deploy/prometheus/prometheus.yml")["rule_files"][0].clone();
    assert_eq!(rules.as_str(), Some("/etc/prometheus/rules.yml"));
}

fn keys(mapping: &Yaml) -> BTreeSet<&str> {
    let keys = mapping.as_hash().unwrap().keys();
    keys.map(|key| key.as_str().unwrap()).collect()
}

#[test]
fn every_file_of_the_debian_package_exists_or_is_made_by_the_program() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap();
    assert!(assets.len() > 8);
    for asset in assets {
        let source = asset[0].as_str().unwrap();
        let is_made = source.starts_with("target/");
        let folder = source.split('*').next().unwrap();
        assert!(is_made || root().join(folder).exists(), "{source}");
    }
    for file in deb["conf-files"].as_array().unwrap() {
        let file = file.as_str().unwrap().trim_start_matches('/');
        let is_asset = |asset: &toml::Value| {
            let (from, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
            format!("{to}{}", from.rsplit('/').next().unwrap()) == file
        };
        assert!(assets.iter().any(is_asset), "{file}");
    }
    assert!(
        root()
            .join(deb["maintainer-scripts"].as_str().unwrap())
            .is_dir()
    );
}

/// The libraries of a program, as the dynamic linker finds them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg(program).output().unwrap();
    let path = Regex::new(r"(/[^ ]+) \(0x").unwrap();
    let listed = said(&listed);
    let paths = path
        .captures_iter(&listed)
        .map(|found| PathBuf::from(&found[1]));
    paths.collect()
}

fn install(from: &Path, image: &Path, to: &Path) {
    let to = image.join(to.strip_prefix("/").unwrap());
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn program_runs_in_the_images_root_read_only_and_without_rights() {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::{PermissionsExt as _, chown};

    if skip_slow_tests() {
        return;
    }
    // The image's own files: the program (with its libraries, where it is not static), authorities, and a data directory.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let image = dir.path().join("image");
    let program = Path::new(env!("CARGO_BIN_EXE_orgtrail"));
    install(program, &image, Path::new("/usr/bin/orgtrail"));
    for library in libraries(program) {
        install(&library, &image, &library);
    }
    let authorities = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if !authorities.exists() {
        tell("SKIPPED: this machine has no certificate authorities for the image");
        return;
    }
    install(authorities, &image, authorities);
    let data = image.join("var/lib/orgtrail");
    fs::create_dir_all(&data).unwrap();
    if chown(&data, Some(65_532), Some(65_532)).is_err() {
        tell("SKIPPED: not root, so the image's root cannot be entered");
        return;
    }
    let enter = |command: &str| {
        let script = format!(
            "mount --bind {0} {0} && mount --bind {0}/var/lib/orgtrail {0}/var/lib/orgtrail && \
             mount -o remount,bind,ro {0} && exec chroot --userspec=65532:65532 {0} {command}",
            image.display()
        );
        let mut entered = Command::new("unshare");
        entered.args(["--mount", "sh", "-c", &script]);
        // As the image sets it.
        entered.env("TMPDIR", "/var/lib/orgtrail");
        entered
    };
    let tried = enter("/usr/bin/orgtrail --version").output().unwrap();
    if !tried.status.success() {
        tell(format!(
            "SKIPPED: the image's root cannot be entered here: {}",
            said(&tried)
        ));
        return;
    }
    let demo = "/usr/bin/orgtrail demo --events 200 --listen 127.0.0.1:0 --upstream-listen 127.0.0.1:0 \
                --data-dir /var/lib/orgtrail";
    let mut running = enter(demo)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let address = Regex::new(r"http://127\.0\.0\.1:\d+").unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let urls = lines.by_ref().map_while(Result::ok);
    let urls = urls.filter_map(|line| address.find(&line).map(|url| url.as_str().to_owned()));
    let is_healthy = |url: &String| {
        let asked = enter(&format!("/usr/bin/orgtrail health --server {url}"))
            .output()
            .unwrap();
        asked.status.success()
    };
    let found = urls.take(20).find(is_healthy);
    let write = enter("/usr/bin/orgtrail man --out /usr/share/man")
        .output()
        .unwrap();
    assert!(!write.status.success(), "the root can be written");
    let id = running.id().to_string();
    assert!(Command::new("kill").arg(id).status().unwrap().success());
    // It still has something to say, and ends when it cannot.
    lines.map_while(Result::ok).for_each(drop);
    let ended = running.wait().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(found.is_some(), "no address answered the health check");
}

/// The service, started as systemd starts it: what it sends to the service manager.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_hears_of_readiness_progress_and_the_stop() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use orgtrail_simulator::SimConfig;

    use crate::backfill::Shell;
    use crate::harness::Upstream;

    let upstream = Upstream::new(SimConfig {
        events: 300,
        accounts: 1,
        days: 20,
        ..SimConfig::default()
    })
    .await;
    let shell = Shell::new(&upstream);
    for is_abstract in [false, true] {
        let path = shell.dir().join("notify");
        let (manager, name) = if is_abstract {
            let name = format!("orgtrail-test-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                format!("@{name}"),
            )
        } else {
            (
                UnixDatagram::bind(&path).unwrap(),
                path.display().to_string(),
            )
        };
        manager
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut running = shell
            .command(&["serve"])
            .env("ORGTRAIL__HTTP__LISTEN", "127.0.0.1:0")
            .env("NOTIFY_SOCKET", name)
            .env("WATCHDOG_USEC", "300000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let heard = || {
            let mut buffer = [0; 1_024];
            let len = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..len].to_vec()).unwrap()
        };
        let first = tokio::task::block_in_place(heard);
        assert!(first.starts_with("READY=1\nSTATUS="), "{first}");
        for _ in 0..3 {
            let next = tokio::task::block_in_place(heard);
            assert!(next.starts_with("WATCHDOG=1\nSTATUS="), "{next}");
        }
        let health = || shell.run(&["health"]);
        let asked = tokio::task::block_in_place(health);
        assert!(asked.status.success(), "{}", said(&asked));
        let id = running.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        let mut last = tokio::task::block_in_place(heard);
        while last.starts_with("WATCHDOG=1") {
            last = tokio::task::block_in_place(heard);
        }
        assert_eq!(last, "STOPPING=1");
        assert!(
            tokio::task::block_in_place(|| running.wait())
                .unwrap()
                .success()
        );
        let gone = tokio::task::block_in_place(health);
        assert_eq!(gone.status.code(), Some(1), "{}", said(&gone));
    }
}
