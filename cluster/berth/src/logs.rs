// SPDX-License-Identifier: Apache-2.0
//! The log, on standard error.

use crate::cli::Log;
use tracing::level_filters::LevelFilter;

/// Begins to log.
pub(crate) fn begin(level: Log) -> anyhow::Result<()> {
    let filter = match level {
        Log::Off => LevelFilter::OFF,
        Log::Error => LevelFilter::ERROR,
        Log::Warn => LevelFilter::WARN,
        Log::Info => LevelFilter::INFO,
        Log::Debug => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot begin the log: {error}"))
}
