//! The container image, as an archive in the layout of the Open Container Initiative (image-spec 1.1): one layer
//! with the binary, and four small files that name each other by checksum.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::release::{Release, SUMMARY};
use super::tarball;
use super::target::Target;
use super::tree::Tree;
use crate::process;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Returns the archive's name. `skopeo copy oci-archive:FILE:VERSION …` takes it from there.
pub(crate) fn write(
    release: &Release,
    target: &Target,
    tree: &Tree,
    work: &Path,
    out: &Path,
) -> Result<String> {
    let layout = work.join("image");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = work.join("layer.tar");
    tarball::tar(release, &tree.root, &layer, &["usr/bin/elb", "usr/share/doc/elb"])?;
    let unpacked = checksum(&layer)?;
    process::output(release.tool("gzip").args(["-9", "-n"]).arg(&layer))?;
    let layer = put(&blobs, &fs::read(work.join("layer.tar.gz"))?, LAYER, work)?;

    let config = config(release, target, &unpacked)?;
    let config = put(&blobs, &serde_json::to_vec(&config)?, CONFIG, work)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let mut manifest = put(&blobs, &serde_json::to_vec(&manifest)?, MANIFEST, work)?;
    manifest["platform"] = json!({"architecture": target.processor.deb, "os": "linux"});
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": release.version});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let name = format!("elb-{}-{}.oci.tar", release.version, target.processor.deb);
    tarball::tar(release, &layout, &out.join(&name), &["oci-layout", "index.json", "blobs"])?;
    Ok(name)
}

/// The image starts the agent; the host's network, its BPF file system, capabilities and `/etc/elb` are given to
/// the container by who starts it.
fn config(release: &Release, target: &Target, layer: &str) -> Result<Value> {
    let time = process::output(
        Command::new("date")
            .args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date"])
            .arg(format!("@{}", release.time)),
    )?;
    Ok(json!({
        "created": time.trim(),
        "architecture": target.processor.deb,
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/bin/elb"],
            "Cmd": ["agent"],
            "Env": ["PATH=/usr/bin"],
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": "elb",
                "org.opencontainers.image.description": SUMMARY,
                "org.opencontainers.image.version": release.version,
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created": time.trim(), "created_by": "cargo xtask package"}],
    }))
}

/// Puts a blob under its checksum, and returns what names it.
fn put(blobs: &Path, content: &[u8], kind: &str, work: &Path) -> Result<Value> {
    let file = work.join("blob");
    fs::write(&file, content)?;
    let sum = checksum(&file)?;
    fs::rename(file, blobs.join(&sum))?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{sum}"), "size": content.len()}))
}

fn checksum(file: &Path) -> Result<String> {
    let said = process::output(Command::new("sha256sum").arg(file))?;
    Ok(said.split_whitespace().next().context("sha256sum said nothing")?.to_owned())
}
