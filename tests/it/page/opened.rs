//! `orgtrail open`: the address of the page at a question, and the browser that it is given to.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use orgtrail_simulator::SimConfig;

use crate::harness::{Service, Upstream, until};

fn open(args: &[&str], browser: &Path) -> Output {
    let mut orgtrail = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    orgtrail.arg("open").args(args).env("BROWSER", browser);
    orgtrail.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    orgtrail.output().unwrap()
}

fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap().trim_end()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browser_opens_the_page_of_the_running_service_at_the_question() {
    use std::os::unix::fs::PermissionsExt as _;

    let upstream = Upstream::new(SimConfig {
        events: 10,
        accounts: 1,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(upstream.simulator.sources().len()).await;
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let browser = dir.path().join("browser");
    let opened = dir.path().join("opened");
    let script = format!(
        "#!/bin/sh\nprintf %s \"$1\" > '{0}.new'\nmv '{0}.new' '{0}'\n",
        opened.display()
    );
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();

    let expected = format!("{}/?q=action.type:delete&since=now-7d", service.url);
    let args = [
        "action.type:delete",
        "--since",
        "now-7d",
        "--data-dir",
        data,
    ];
    let asked = tokio::task::block_in_place(|| open(&args, &browser));
    assert_eq!(printed(&asked), expected);
    until("the browser has it", || opened.exists()).await;
    assert_eq!(fs::read_to_string(&opened).unwrap(), expected);

    // Printed only, or because there is no browser.
    fs::remove_file(&opened).unwrap();
    let args = ["--print", "--server", &service.url];
    let asked = tokio::task::block_in_place(|| open(&args, &browser));
    assert_eq!(printed(&asked), format!("{}/", service.url));
    let asked =
        tokio::task::block_in_place(|| open(&["--data-dir", data], &dir.path().join("none")));
    assert_eq!(printed(&asked), format!("{}/", service.url));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("No browser was found"));
    assert!(!opened.exists());

    service.stop().await.unwrap();
    let asked = tokio::task::block_in_place(|| open(&["--data-dir", data], &browser));
    assert_eq!(asked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(
        said.contains("no service answers") && said.contains("orgtrail serve"),
        "{said}"
    );
}
