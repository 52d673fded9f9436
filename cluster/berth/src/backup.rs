// SPDX-License-Identifier: Apache-2.0
//! `berth backup` and `berth restore`: all objects of a store in a file, and back.

use crate::cli::BackupArgs;
use anyhow::Context;
use berth_cluster_apiserver::read_meta;
use berth_cluster_store::{Options, Store};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};

/// Writes a backup: beside its place first, so that a file of its name is a whole one.
pub(crate) async fn write(args: BackupArgs) -> anyhow::Result<()> {
    let work = tokio::task::spawn_blocking(move || -> anyhow::Result<(Store, u64)> {
        let store =
            Store::open(&args.store, read_meta(), Options::default()).with_context(|| {
                format!(
                    "--store {} cannot be used; a server that runs on it has to be stopped first",
                    args.store
                )
            })?;
        let shown = args.file.display();
        let beside = args.file.with_extension("part");
        let file =
            File::create(&beside).with_context(|| format!("cannot write {}", beside.display()))?;
        let mut to = BufWriter::new(file);
        let revision = store.snapshot(&mut to).with_context(|| format!("cannot write {shown}"))?;
        to.flush()?;
        to.into_inner()?.sync_all()?;
        fs::rename(&beside, &args.file).with_context(|| format!("cannot write {shown}"))?;
        println!("{} objects of revision {revision} are in {shown}", store.stats().objects);
        Ok((store, revision))
    });
    let (store, _) = work.await??;
    store.close().await;
    Ok(())
}

/// Fills an empty store from a backup.
pub(crate) async fn restore(args: BackupArgs) -> anyhow::Result<()> {
    let work = tokio::task::spawn_blocking(move || -> anyhow::Result<Store> {
        let shown = args.file.display();
        let file = File::open(&args.file).with_context(|| format!("cannot read {shown}"))?;
        let mut from = BufReader::new(file);
        let store = Store::restore(&mut from, &args.store, read_meta(), Options::default())
            .with_context(|| format!("{shown} cannot be restored into --store {}", args.store))?;
        let stats = store.stats();
        println!(
            "{} objects are in {}; revisions go on from {}",
            stats.objects, args.store, stats.revision
        );
        Ok(store)
    });
    work.await??.close().await;
    Ok(())
}
