// SPDX-License-Identifier: Apache-2.0
//! The data plane as a process, for tests and measurements: `data-plane CONTROL [--workers N] [--descriptors N]
//! [--take-over] [--namespace auto|off] [--rings auto|off|eager] [--shortcut auto|off]`.
#![forbid(unsafe_code)]

use berth_balancer_data::{Namespace, Options, Rings, Shortcut, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(control) = arguments.next() else { return ExitCode::from(2) };
    let mut options = Options::new(control.into());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--take-over" => options.take_over = true,
            "--workers" => {
                options.workers = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            }
            "--descriptors" => {
                options.descriptors_max =
                    arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            }
            "--namespace" => match arguments.next().as_deref() {
                Some("auto") => options.namespace = Namespace::Auto,
                Some("off") => options.namespace = Namespace::Off,
                _ => return ExitCode::from(2),
            },
            "--rings" => match arguments.next().as_deref() {
                Some("auto") => options.rings = Rings::Auto,
                Some("off") => options.rings = Rings::Off,
                Some("eager") => options.rings = Rings::Eager,
                _ => return ExitCode::from(2),
            },
            "--shortcut" => match arguments.next().as_deref() {
                Some("auto") => options.shortcut = Shortcut::Auto,
                Some("off") => options.shortcut = Shortcut::Off,
                _ => return ExitCode::from(2),
            },
            _ => return ExitCode::from(2),
        }
    }
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            eprintln!("data-plane: {text}");
            ExitCode::FAILURE
        }
    }
}
