//! What most commands begin with: the version, the configuration, the data directory, and the runtime.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::{self, Config};

/// The version, with the commit and the day it is made of where they are known; see `build.rs`.
pub(super) const VERSION: &str = env!("ORGTRAIL_VERSION");

/// How long the end of the process waits for cancelled work.
const LAST_WORK_WITHIN: Duration = Duration::from_secs(1);

/// Reads the configuration file, with the environment over it.
pub(super) fn load(path: &Path) -> Result<Config> {
    Ok(Config::load(path, config::environment())?)
}

/// The data directory of the command line, or else of the configuration.
pub(super) fn data_dir(named: Option<&Path>, config: &Path) -> Result<PathBuf> {
    match named {
        Some(dir) => Ok(dir.to_owned()),
        None => {
            let config = load(config).context("name a `--data-dir`, or give the configuration")?;
            Ok(config.data_dir)
        }
    }
}

/// Runs asynchronous work to its end on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_WORK_WITHIN);
    done
}
