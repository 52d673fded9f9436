// SPDX-License-Identifier: Apache-2.0
//! Progress of long work, on the standard error: nothing is drawn where that is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn, times a second.
const DRAWS_PER_SECOND: u8 = 10;

/// A bar of `length` steps.
pub fn bar(length: u64, what: &str) -> ProgressBar {
    styled(
        ProgressBar::with_draw_target(Some(length), target()),
        "{msg:30} [{bar:40.cyan/blue}] {pos}/{len} {elapsed}",
        what,
    )
}

/// Counts steps whose number is not known beforehand.
pub fn counter(what: &str) -> ProgressBar {
    styled(
        ProgressBar::with_draw_target(None, target()),
        "{spinner} {msg:40} {pos} {elapsed}",
        what,
    )
}

/// Tells a step in a line of its own where no bar is drawn.
pub fn tell(bar: &ProgressBar, step: &str) {
    if bar.is_hidden() {
        eprintln!("[{}/{}] {step}", bar.position() + 1, bar.length().unwrap_or(0));
    }
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
}

fn styled(bar: ProgressBar, template: &str, what: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━╸ "));
    bar.set_message(what.to_owned());
    bar
}
