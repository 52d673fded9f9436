// SPDX-License-Identifier: Apache-2.0
//! `berth balancer`: the balancer alone, its data plane, a check of its configuration, its table.

pub(crate) mod status;

use crate::cli::{BalancerArgs, BalancerCommand, DataArgs, Namespace, Rings, Shortcut};
use crate::stop::Stop;
use anyhow::Context;
use berth_balancer_service::choose::Available;
use berth_balancer_service::observe::{Observer, Socket};
use berth_balancer_service::plane::process::{Launch, Process, Program};
use berth_balancer_service::source::file::{self, File};
use berth_balancer_service::state::State;
use berth_balancer_service::{Builder, Server, StartError, TlsFiles};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// Runs until it is told to stop.
pub(crate) async fn run(args: BalancerArgs) -> anyhow::Result<()> {
    // What a large message leaves goes back by small pages, and not only by huge ones that are empty as a whole.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let control = control_path(args.control.clone());
    if let Some(BalancerCommand::Status(status)) = &args.command {
        return status::run(&control, status);
    }
    if args.config.is_none() && args.listen.is_none() {
        anyhow::bail!(
            "nothing says what to serve: give --config FILE, or --listen ADDR to be told over gRPC; \
             `berth balancer --help` has examples"
        );
    }
    let stop = Stop::listen()?;
    let mut builder = builder(control.clone(), args.plane.workers, &args.plane.words())?;
    if let Some(path) = &args.config {
        builder = builder.source(Box::new(File::new(path.clone())));
    }
    if let Some(address) = args.listen {
        builder = builder.listen(address);
    }
    if let Some(address) = args.admin {
        builder = builder.admin(address);
    }
    if let (Some(certificate), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) {
        builder = builder.tls(TlsFiles { certificate, key, client_ca: args.client_ca.clone() });
    }
    let server = start(builder, "--listen and --admin").await?;
    if let Some(path) = &args.config {
        println!("config     {} (watched)", path.display());
    }
    print_addresses(&server, args.tls_cert.is_some());
    println!("data plane {}", control.display());
    println!();
    println!("`berth balancer status` shows the table; Ctrl-C stops it.");
    until_stopped(server, &stop, !args.plane.keep_data).await;
    Ok(())
}

/// Begins to set a balancer up whose data plane is this program.
pub(crate) fn builder(
    control: PathBuf,
    workers: u32,
    more: &[OsString],
) -> anyhow::Result<Builder> {
    let program =
        env::current_exe().context("cannot find this program, to start the data plane")?;
    let mut arguments = words(&control, workers);
    arguments.extend_from_slice(more);
    claim(control, Box::new(Program { program, arguments }))
}

/// The command line of a data plane, after the program.
pub(crate) fn words(control: &Path, workers: u32) -> Vec<OsString> {
    let words = ["--log", "warn", "balancer", "data", "--workers"];
    let mut all: Vec<OsString> = words.into_iter().map(Into::into).collect();
    all.extend([workers.to_string().into(), "--control".into(), control.into()]);
    all
}

/// Begins to set a balancer up whose data plane is started so.
pub(crate) fn claim(control: PathBuf, launch: Box<dyn Launch>) -> anyhow::Result<Builder> {
    let plane = Process::claim(control.clone(), launch)?;
    let observer = Observer::new(Box::new(Socket::new(control)));
    Ok(Server::builder(Box::new(plane), observer))
}

/// Starts a balancer, and says what to do where it does not.
///
/// `addresses`: the flags that choose where it listens.
pub(crate) async fn start(builder: Builder, addresses: &str) -> anyhow::Result<Server> {
    builder.start().await.map_err(|error| {
        let hint = match &error {
            StartError::Listen { .. } => format!("; {addresses} choose other addresses"),
            StartError::DataPlane(_) => "; --control chooses another place for it".to_owned(),
            _ => String::new(),
        };
        anyhow::Error::from(error).context(format!("the balancer did not start{hint}"))
    })
}

/// Says where the balancer is.
pub(crate) fn print_addresses(server: &Server, tls: bool) {
    let scheme = if tls { "https" } else { "http" };
    if let Some(address) = server.address() {
        println!("gRPC       {scheme}://{address} (balancer)");
    }
    if let Some(address) = server.admin_address() {
        println!("table      http://{address}/ (balancer; /metrics)");
    }
}

/// Waits until it is told to stop, and stops; with `all` the data plane too.
pub(crate) async fn until_stopped(server: Server, stop: &Stop, all: bool) {
    stop.asked().await;
    tracing::info!(data_plane = if all { "ends too" } else { "goes on" }, "stopping");
    server.stop(all).await;
}

/// `berth balancer --check`: everything that is wrong, a line each.
pub(crate) fn check(path: &Path) -> ExitCode {
    let checked = file::read(path).and_then(|update| {
        let services = update.services.len();
        let endpoints: usize = update.services.iter().map(|d| d.wish.endpoints.len()).sum();
        State::default().plan(update, &Available::default())?;
        Ok((services, endpoints))
    });
    match checked {
        Ok((services, endpoints)) => {
            println!("{}: right; {services} services, {endpoints} endpoints", path.display());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            let count = problems.count();
            let noun = if count == 1 { "problem" } else { "problems" };
            eprintln!("{}: {count} {noun}", path.display());
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}

/// `berth balancer data`: forwards until it is told to stop.
pub(crate) fn data(args: &DataArgs, control: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let mut options = berth_balancer_data::Options::new(control_path(control));
    options.workers = args.workers;
    options.user = args.user;
    options.take_over = args.take_over;
    options.fast = !args.no_fast;
    if let Some(instance) = &args.instance {
        options.instance.clone_from(instance);
    }
    options.namespace = match args.namespace {
        Namespace::Auto => berth_balancer_data::Namespace::Auto,
        Namespace::Off => berth_balancer_data::Namespace::Off,
    };
    options.rings = match args.rings {
        Rings::Auto => berth_balancer_data::Rings::Auto,
        Rings::Off => berth_balancer_data::Rings::Off,
    };
    options.shortcut = match args.shortcut {
        Shortcut::Auto => berth_balancer_data::Shortcut::Auto,
        Shortcut::Off => berth_balancer_data::Shortcut::Off,
    };
    options.descriptors_max = args.descriptors;
    berth_balancer_data::run(options)?;
    Ok(ExitCode::SUCCESS)
}

/// The data plane's socket, if nothing else is said: a folder that only this user can write.
pub(crate) fn control_path(given: Option<PathBuf>) -> PathBuf {
    if let Some(path) = given {
        return path;
    }
    if let Some(folder) = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        return PathBuf::from(folder).join("berth/balancer.sock");
    }
    // The owner of this process's folder is its user; /run is root's.
    let user =
        fs::metadata("/proc/self").map_or(0, |data| std::os::unix::fs::MetadataExt::uid(&data));
    if user == 0 {
        return PathBuf::from("/run/berth/balancer.sock");
    }
    env::temp_dir().join(format!("berth-{user}/balancer.sock"))
}
