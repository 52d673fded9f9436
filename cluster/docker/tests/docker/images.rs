// SPDX-License-Identifier: Apache-2.0
//! Pulling from a registry that the test itself is.

use crate::lab::{Lab, SHELL};
use berth_cluster_docker::{Credentials, ImageError, PullError, Removal};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What the registry has, by path.
type Content = Arc<Vec<(String, &'static str, Vec<u8>)>>;

/// Answers one request after the other. Only who knows the password gets anything.
fn serve(listener: &TcpListener, content: &Content) {
    for stream in listener.incoming() {
        let (Ok(stream), content) = (stream, content.clone()) else { continue };
        std::thread::spawn(move || answer(stream, &content));
    }
}

fn answer(stream: TcpStream, content: &Content) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        reader.read_line(&mut request).ok().filter(|read| *read > 0)?;
        let (mut known, mut header) = (false, String::new());
        while reader.read_line(&mut header).ok()? > 2 {
            // `u:?>~?>~`, whose JSON in base64 has signs that differ for URLs.
            known |= header.trim_end().ends_with("Basic dTo/Pn4/Pn4=");
            header.clear();
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let found = content.iter().find(|(at, _, _)| at == path);
        let (status, kind, body): (&str, &str, &[u8]) = match (known, found) {
            (false, _) => (
                "401 Unauthorized",
                "application/json",
                br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
            ),
            (true, _) if path == "/v2/" => ("200 OK", "application/json", b"{}"),
            (true, Some((_, kind, body))) => ("200 OK", kind, body),
            (true, None) => (
                "404 Not Found",
                "application/json",
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            ),
        };
        let challenge = if known { "" } else { "WWW-Authenticate: Basic realm=\"test\"\r\n" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{challenge}\r\n"
        );
        writer.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            writer.write_all(body).ok()?;
        }
    }
}

/// A manifest with all that belongs to it, out of an archive of an image.
fn content(archive: &[u8], digest: impl Fn(&[u8]) -> String) -> Content {
    let (mut config, mut layer) = (Vec::new(), Vec::new());
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let into = match path.as_str() {
            "layer.tar" => &mut layer,
            "manifest.json" => continue,
            _ => &mut config,
        };
        entry.read_to_end(into).unwrap();
    }
    let of = |kind: &str, bytes: &[u8]| serde_json::json!({"mediaType": kind, "size": bytes.len(), "digest": digest(bytes)});
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": of("application/vnd.docker.container.image.v1+json", &config),
        "layers": [of("application/vnd.docker.image.rootfs.diff.tar", &layer)],
    })
    .to_string()
    .into_bytes();
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let blob = |bytes: &[u8]| format!("/v2/app/blobs/{}", digest(bytes));
    Arc::new(vec![
        ("/v2/app/manifests/1".to_owned(), kind, manifest.clone()),
        (format!("/v2/app/manifests/{}", digest(&manifest)), kind, manifest),
        (blob(&config), "application/octet-stream", config.clone()),
        (blob(&layer), "application/octet-stream", layer),
    ])
}

pub(crate) async fn images_are_pulled_with_credentials_and_removed_when_unused(lab: &Lab) {
    let node = lab.node("puller").await;
    let engine = &node.engine;
    let files = berth_cluster_docker::ImageFiles {
        files: vec![("greeting".to_owned(), 0o644, b"hello".to_vec())],
        cmd: vec!["/greeting".to_owned()],
        user: "12".to_owned(),
        working_dir: "/w".to_owned(),
        volumes: vec!["/data".to_owned()],
        ..berth_cluster_docker::ImageFiles::default()
    };
    let digest = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
    let content = content(&files.archive().unwrap(), digest);
    let listener = lab.docker.node.run(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let registry = listener.local_addr().unwrap();
    std::thread::spawn(move || serve(&listener, &content));
    let name = format!("{registry}/app:1");
    assert_eq!(engine.image(&name).await, Ok(None));
    let good = Credentials::Password { user: "u".to_owned(), password: "?>~?>~".to_owned() };
    let bad = Credentials::Password { user: "u".to_owned(), password: "wrong".to_owned() };
    for credentials in [None, Some(&bad)] {
        let error = engine.pull(&name, credentials, |_| {}).await.unwrap_err();
        assert!(matches!(error, PullError::Unauthorized { .. }), "{error:?}");
        assert_eq!(error.reason(), "ErrImagePull");
    }
    let error = engine.pull(&format!("{registry}/app:2"), Some(&good), |_| {}).await.unwrap_err();
    assert!(matches!(error, PullError::NotFound { .. }), "{error:?}");
    let error = engine.pull("127.0.0.1:1/app:1", None, |_| {}).await.unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("failed to pull image \"127.0.0.1:1/app:1\": "),
        "{error}"
    );
    let error = engine.pull("../containers/x", None, |_| {}).await.unwrap_err();
    assert_eq!(error.reason(), "InvalidImageName");
    assert!(matches!(engine.image("a b").await, Err(ImageError::Name(_))));
    let mut told = Vec::new();
    let image = engine.pull(&name, Some(&good), |progress| told.push(progress)).await.unwrap();
    assert!(told.iter().any(|progress| progress.status.contains("Pull complete")), "{told:?}");
    assert_eq!((image.user.as_str(), image.working_dir.as_str()), ("12", "/w"));
    assert_eq!(
        (image.cmd.as_slice(), image.volumes.as_slice()),
        (&["/greeting".to_owned()][..], &["/data".to_owned()][..])
    );
    assert_eq!((image.tags.as_slice(), image.digests.len()), (&[name.clone()][..], 1), "{image:?}");
    let listed = engine.images().await.unwrap();
    let ours: Vec<&str> =
        listed.iter().filter(|image| image.ours).map(|image| image.id.as_str()).collect();
    assert_eq!(ours, [image.id.as_str()]);
    // Another test gives that image one more name, now or later.
    assert!(listed.iter().any(|image| image.tags.contains(&SHELL.to_owned()) && !image.ours));
    // In use, by a container of somebody else that has not even run.
    let user = lab.docker.docker(&format!("create --net none {name}"));
    assert!(
        matches!(engine.remove_image(&image.id).await.unwrap(), Removal::InUse { by } if by.len() == 1)
    );
    lab.docker.docker(&format!("rm -v {user}"));
    // With a name that somebody else gave it.
    lab.docker.docker(&format!("tag {name} kept:1"));
    assert_eq!(
        engine.remove_image(&image.id).await.unwrap(),
        Removal::Kept { by: vec!["kept:1".to_owned()] }
    );
    assert_eq!(engine.image("kept:1").await.unwrap().unwrap().tags, ["kept:1"]);
    assert!(engine.remove_image(&image.id).await.is_err(), "what is left is not ours");
    // What was there before is not ours by being pulled once more.
    engine.pull(&name, Some(&good), |_| {}).await.unwrap();
    assert!(engine.remove_image(&image.id).await.is_err());
    lab.docker.docker(&format!("rmi kept:1 {name}"));
    let by_digest = format!("{registry}/app@{}", image.digests[0].split_once('@').unwrap().1);
    let again = engine.pull(&by_digest, Some(&good), |_| {}).await.unwrap();
    assert_eq!(again.id, image.id);
    assert_eq!(engine.remove_image(&image.id).await.unwrap(), Removal::Gone);
    assert_eq!(engine.image(&image.id).await.unwrap(), None);
    assert_eq!(engine.remove_image(&image.id).await.unwrap(), Removal::Gone);
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
