// SPDX-License-Identifier: Apache-2.0
//! The log, on standard error.

use crate::cli::Log;
use std::io::{IsTerminal, stderr};
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
    // Colours are for people: a file or a journal gets none, nor who asks for none (no-color.org).
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_ansi(stderr().is_terminal() && !no_color)
        .with_max_level(filter)
        .with_writer(stderr)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot begin the log: {error}"))
}
