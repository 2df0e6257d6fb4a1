//! The package for Debian and its kin, by `dpkg-deb`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::family::Compression;
use super::release::{DESCRIPTION, MAINTAINER, Release, SUMMARY};
use super::target::Target;
use super::tree::{CONFIGURATION, Tree, dist};
use crate::process;

/// Bytes that a package for people has at most: it is fetched again with each version.
const MOST: u64 = 8_000_000;
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Returns the package's name.
pub(crate) fn write(
    release: &Release,
    target: &Target,
    tree: &Tree,
    out: &Path,
    compression: Compression,
) -> Result<String> {
    let folder = tree.root.join("DEBIAN");
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
    let files: Vec<PathBuf> = tree.files()?;
    put(&folder, "control", &control(release, target, size(tree, &files)?), 0o644)?;
    let conffiles = CONFIGURATION.iter().filter(|file| tree.root.join(file).is_file());
    put(
        &folder,
        "conffiles",
        &conffiles.map(|file| format!("/{file}\n")).collect::<String>(),
        0o644,
    )?;
    for script in SCRIPTS {
        put(&folder, script, &script_text(&format!("deb.{script}"))?, 0o755)?;
    }
    let mut sums = release.tool("md5sum");
    let data = files.iter().filter(|file| !CONFIGURATION.iter().any(|one| file.ends_with(one)));
    let sums = process::output(sums.args(data).current_dir(&tree.root))?;
    put(&folder, "md5sums", &sums, 0o644)?;

    let name = format!("elb_{}_{}.deb", release.version, target.processor.deb);
    let mut dpkg = release.tool("dpkg-deb");
    match compression {
        // With more threads, the bytes depend on how many.
        Compression::Small => dpkg.args(["-Zxz", "-z9", "--threads-max=1"]),
        Compression::Fast => dpkg.args(["-Zgzip", "-z1"]),
    };
    dpkg.args(["--root-owner-group", "--build"]).arg(&tree.root).arg(out.join(&name));
    process::output(&mut dpkg)?;
    fs::remove_dir_all(folder)?;
    if compression == Compression::Small {
        let bytes = fs::metadata(out.join(&name))?.len();
        println!("{name}: {:.1} MB", bytes as f64 / 1e6);
        ensure!(bytes <= MOST, "{name} has {bytes} bytes, more than {MOST}");
    }
    Ok(name)
}

/// A script of the package, with what it shares with others.
pub(crate) fn script_text(name: &str) -> Result<String> {
    let read = |name: &str| {
        let file = dist().join("packages").join(name);
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    };
    let text = read(name)?.replace("#KEEP#", read("keep.sh")?.trim_end());
    Ok(text.replace("#STOP#", read("stop.sh")?.trim_end()))
}

fn control(release: &Release, target: &Target, kilobytes: u64) -> String {
    let depends = if target.is_static() { "" } else { "Depends: libc6 (>= 2.36), libgcc-s1\n" };
    let paragraph =
        |line: &&str| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") };
    let description: String = DESCRIPTION.iter().map(paragraph).collect();
    format!(
        "Package: elb\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {kilobytes}\n{depends}Suggests: iproute2, nftables | iptables\nSection: net\n\
         Priority: optional\nDescription: {SUMMARY}\n{description}",
        release.version, target.processor.deb
    )
}

/// In kilobytes, each file rounded up.
fn size(tree: &Tree, files: &[PathBuf]) -> Result<u64> {
    let of = |file: &PathBuf| Ok(fs::metadata(tree.root.join(file))?.len().div_ceil(1024));
    files.iter().map(of).sum()
}

fn put(folder: &Path, name: &str, text: &str, mode: u32) -> Result<()> {
    fs::write(folder.join(name), text)?;
    Ok(fs::set_permissions(folder.join(name), Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_binary_depends_on_nothing() {
        let release = Release { version: "1.2.3".into(), time: "0".into() };
        let of = |triple| control(&release, &Target::named(triple).unwrap(), 7);
        let text = of("aarch64-unknown-linux-musl");
        assert!(text.starts_with("Package: elb\nVersion: 1.2.3\nArchitecture: arm64\n"), "{text}");
        assert!(!text.contains("Depends:"), "{text}");
        assert!(of("x86_64-unknown-linux-gnu").contains("\nDepends: libc6"));
        assert!(text.contains("\n .\n Nothing is enabled"), "{text}");
    }

    #[test]
    fn scripts_are_whole() {
        for script in SCRIPTS {
            let text = script_text(&format!("deb.{script}")).unwrap();
            assert!(!text.contains("#KEEP#") && !text.contains("#STOP#"), "{text}");
        }
        assert!(script_text("deb.prerm").unwrap().contains("\nkeep_what_detaches() {\n"));
        assert!(script_text("deb.postrm").unwrap().contains("\nstop_forwarding() {\n"));
    }
}
