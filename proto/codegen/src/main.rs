// SPDX-License-Identifier: Apache-2.0
//! Writes the Rust code of the .proto files into `proto/src/generated`, and the descriptors that reflection serves.
//!
//! `cargo run --manifest-path proto/codegen/Cargo.toml` writes; with `-- --check` it only compares, and fails on a difference.

use prost::Message;
use prost_types::FileDescriptorSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// The .proto files that import all others.
const SCHEDULER: &str = "berth/scheduler/v1/scheduler.proto";
const BALANCER: &str = "berth/balancer/v1/balancer.proto";
const ETCD: &str = "etcd/v3/rpc.proto";
/// What prost calls the files of their packages.
const WRITTEN: &str = "berth.scheduler.v1.rs";
const BALANCER_WRITTEN: &str = "berth.balancer.v1.rs";
const ETCD_WRITTEN: &str = "etcdserverpb.rs";
/// Messages of the hot calls: in their encoded form (module `raw` of berth-proto), to be read and written in place.
const RAW: [&str; 4] = ["ScheduleRequest", "ScheduleResponse", "StreamRequest", "StreamResponse"];

fn main() -> Result<(), Box<dyn Error>> {
    let check = env::args().any(|argument| argument == "--check");
    let proto =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no parent folder")?.to_owned();
    let mut differing = Vec::new();
    for (name, content) in generate(&proto)? {
        let path = proto.join("src/generated").join(name);
        if fs::read(&path).is_ok_and(|there| there == content) {
            continue;
        }
        if check {
            differing.push(path);
        } else {
            fs::write(&path, content)?;
            println!("wrote {}", path.display());
        }
    }
    for path in &differing {
        eprintln!("{} is not what the .proto files say", path.display());
    }
    if !differing.is_empty() {
        eprintln!("run: cargo run --manifest-path proto/codegen/Cargo.toml");
        process::exit(1);
    }
    Ok(())
}

/// The files, by name.
fn generate(proto: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, Box<dyn Error>> {
    let descriptors = protox::compile([proto.join(SCHEDULER)], [proto.to_owned()])?;
    let balancer = protox::compile([proto.join(BALANCER)], [proto.to_owned()])?;
    let scratch = Scratch::new()?;

    // Messages and the client.
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .btree_map(".")
        .out_dir(&scratch.0)
        .compile_fds(descriptors.clone())?;
    let client = formatted(&scratch.0.join(WRITTEN))?;

    // The server, and a client for who counts nanoseconds: the same messages, but for the hot ones.
    let mut raw = tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::WireCodec")
        .out_dir(&scratch.0)
        .extern_path(".berth.scheduler.v1", "crate::v1");
    for name in RAW {
        raw = raw.extern_path(format!(".berth.scheduler.v1.{name}"), format!("crate::raw::{name}"));
    }
    raw.compile_fds(descriptors.clone())?;
    let raw = formatted(&scratch.0.join(WRITTEN))?;

    // The balancer: messages, client and server in one; bytes that are no message are the caller's fault here too.
    tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::WireCodec")
        .btree_map(".")
        .out_dir(&scratch.0)
        .compile_fds(balancer.clone())?;
    let balancer_code = formatted(&scratch.0.join(BALANCER_WRITTEN))?;

    // Somebody else's service: a client alone, and nothing of it in what reflection serves. Values are kept as they came.
    let etcd = protox::compile([proto.join(ETCD)], [proto.to_owned()])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".")
        .out_dir(&scratch.0)
        .compile_fds(etcd)?;
    let etcd_code = formatted(&scratch.0.join(ETCD_WRITTEN))?;

    let mut all = descriptors;
    for file in balancer.file {
        if !all.file.iter().any(|known| known.name == file.name) {
            all.file.push(file);
        }
    }
    Ok(vec![
        (BALANCER_WRITTEN, balancer_code),
        (ETCD_WRITTEN, etcd_code),
        ("berth.scheduler.v1.rs", client),
        ("berth.scheduler.v1.raw.rs", raw),
        ("descriptors.bin", without_comments(all).encode_to_vec()),
    ])
}

fn formatted(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let file = syn::parse_file(&fs::read_to_string(path)?)?;
    Ok(prettyplease::unparse(&file).into_bytes())
}

/// Reflection has no use for comments and positions; they are most of the bytes.
fn without_comments(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors
}

/// A folder that goes away again.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let path = env::temp_dir().join(format!("berth-proto-codegen-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
