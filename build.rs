//! Says which commit the program is made of, and of which day: `orgtrail --version`; and prepares the page's files and the built-in rules.
//!
//! Commit and day come from git where this is a checkout. Packagers give them: `ORGTRAIL_COMMIT` is the commit, `SOURCE_DATE_EPOCH`
//! the time. From a tarball without either there is only the version. The time of the build is never used, so that the
//! same sources make the same program.

#[path = "build/merge.rs"]
mod merge;
#[path = "build/rules.rs"]
mod rules;
#[path = "build/strip.rs"]
mod strip;
#[path = "build/ui.rs"]
mod ui;

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=rules");
    let out = env::var_os("OUT_DIR").expect("cargo names the build's folder");
    rules::embed(Path::new("rules"), Path::new(&out));
    if env::var_os("CARGO_FEATURE_UI").is_some() {
        println!("cargo::rerun-if-changed=ui");
        ui::embed(Path::new("ui"), Path::new(&out));
    }
    println!("cargo::rerun-if-env-changed=ORGTRAIL_COMMIT");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let is_checkout = is_checkout();
    if is_checkout && let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        // Written at each commit and checkout. A file that is missing would make every build run this again.
        if Path::new(&log).exists() {
            println!("cargo::rerun-if-changed={log}");
        }
    }
    let of_checkout = |args: &[&str]| if is_checkout { git(args) } else { None };
    let commit = given("ORGTRAIL_COMMIT")
        .filter(|commit| commit.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .or_else(|| of_checkout(&["rev-parse", "--short=10", "HEAD"]));
    let date = given("SOURCE_DATE_EPOCH")
        .and_then(|seconds| seconds.parse::<i64>().ok())
        .or_else(|| of_checkout(&["log", "-1", "--format=%ct"])?.parse().ok())
        .map(date);
    let version = env!("CARGO_PKG_VERSION");
    let version = match (commit, date) {
        (Some(commit), Some(date)) => format!("{version} ({commit} {date})"),
        (Some(only), None) | (None, Some(only)) => format!("{version} ({only})"),
        (None, None) => version.to_owned(),
    };
    println!("cargo::rustc-env=ORGTRAIL_VERSION={version}");
}

fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether git knows this very file: a tarball may have been unpacked inside another project's checkout.
fn is_checkout() -> bool {
    git(&["ls-files", "--error-unmatch", "build.rs"]).is_some()
}

/// What git says, if there is a git that says anything.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let said = said.trim();
    (output.status.success() && !said.is_empty()).then(|| said.to_owned())
}

/// The day, UTC, of a moment in seconds since 1970.
fn date(seconds: i64) -> String {
    // Counted in eras of 400 years, whose years begin in March: a leap day is then the last of its year.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
