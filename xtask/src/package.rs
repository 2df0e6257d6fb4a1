//! `package`: what people install. Packages for Debian and Red Hat, an archive, a container image, and a list of
//! what is inside.
//!
//! They are packed by Debian's own tools (`dpkg-deb`, `rpmbuild`, `tar`), which are there or come in seconds.
//! Nothing in them depends on when or where they were made: the same sources give the same bytes.

mod build;
mod components;
mod copyright;
mod deb;
mod family;
mod image;
mod release;
mod rpm;
mod sbom;
mod standalone;
mod tarball;
mod target;
mod tree;
mod twice;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use self::components::Components;
use self::family::{Compression, Family};
use self::release::Release;
use self::target::Target;
use self::tree::Tree;
use crate::build_ebpf;
use crate::expected::{BPF, ELB_DIST, PACKING, SETUP};
use crate::process;
use crate::setup::{self, Purpose};
use crate::stages::Stages;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to build for: `x86_64-unknown-linux-musl`, `aarch64-unknown-linux-musl`, or `-gnu`
    /// [default: this machine's processor, static if there is a standard library for that]
    #[arg(long)]
    target: Option<String>,
    /// Where to put packages [default: the folder `package` of the target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Pack this `elb` instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Build all of it again, from a copy of the sources in another folder, and compare every byte
    #[arg(long, conflicts_with = "binary")]
    twice: bool,
    /// The version that packages have [default: that of Cargo.toml]
    #[arg(long, value_name = "VERSION")]
    package_version: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::locate()?;
    let out = options.out.clone().unwrap_or_else(|| workspace.package_dir());
    let out = std::path::absolute(out)?;
    let stages = if options.binary.is_some() {
        &[PACKING][..]
    } else {
        &[SETUP, BPF, ELB_DIST, PACKING][..]
    };
    let mut stages = Stages::begin(stages);
    let target = Target::choose(options.target.as_deref(), &mut stages)?;
    let (elb, here) = if let Some(elb) = &options.binary {
        ensure!(
            target.is_of_this_machine(),
            "--binary {}: a binary for {} cannot write its manual pages here; build it with --target alone",
            elb.display(),
            target.triple
        );
        let elb = stripped(elb, &target, &out)?;
        (elb.clone(), elb)
    } else {
        let toolchain = stages.run(SETUP, || setup::prepare(Purpose::Build))?;
        stages.run(BPF, || build_ebpf::build(&toolchain, &workspace, &[]))?;
        build::elb(&mut stages, &workspace, &target)?
    };
    let release = Release::of(options.package_version.as_deref())?;
    stages.run_what_can_be(PACKING, || {
        let unchecked = {
            let work = Scratch::new(&out)?;
            standalone::check(&elb, &target, &workspace.tools_dir(), &work.0)?
        };
        pack(&release, &target, &elb, &here, &out)?;
        Ok(unchecked)
    })?;
    if options.binary.is_some() {
        fs::remove_file(elb)?;
    }
    drop(stages);
    if options.twice {
        twice::compare(&workspace, &release, &target, &out)?;
    }
    print!("{}", fs::read_to_string(out.join(tarball::SUMS))?);
    println!("in {}", out.display());
    Ok(())
}

/// Packages of one binary.
pub(crate) struct ForLabs {
    pub(crate) deb: PathBuf,
    pub(crate) rpm: PathBuf,
}

/// Packages of two binaries, the second of a later version: what labs install and upgrade to.
pub(crate) fn for_labs(workspace: &Workspace, elb: &Path, next: &Path) -> Result<[ForLabs; 2]> {
    let target = Target::named(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?;
    let out = workspace.package_dir().join("labs");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let components = Components::of(&target)?;
    let mut release = Release::of(None)?;
    let mut made = |elb: &Path| {
        let work = Scratch::new(&out)?;
        let elb = stripped(elb, &target, &work.0)?;
        let lay = |family, folder| {
            Tree::lay(&release, &work.0.join(folder), family, &elb, &elb, &components)
        };
        let (deb, rpm) = (lay(Family::Deb, "deb")?, lay(Family::Rpm, "rpm")?);
        let deb = deb::write(&release, &target, &deb, &out, Compression::Fast)?;
        let rpm = rpm::write(&release, &target, &rpm, &work.0, &out, Compression::Fast)?;
        let rpm = rpm.context("no rpmbuild: run `cargo xtask setup`")?;
        release.version += "+next";
        anyhow::Ok(ForLabs { deb: out.join(deb), rpm: out.join(rpm) })
    };
    Ok([made(elb)?, made(next)?])
}

/// All packages of `elb`, into `out`; `here` is an `elb` that runs on this machine.
fn pack(release: &Release, target: &Target, elb: &Path, here: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let work = Scratch::new(out)?;
    let components = Components::of(target)?;
    let deb = Tree::lay(release, &work.0.join("deb"), Family::Deb, elb, here, &components)?;
    let rpm = Tree::lay(release, &work.0.join("rpm"), Family::Rpm, elb, here, &components)?;
    let mut made = vec![
        deb::write(release, target, &deb, out, Compression::Small)?,
        tarball::write(release, target, &deb, out)?,
        sbom::write(release, target, elb, &components, out)?,
        image::write(release, target, &deb, &work.0, out)?,
    ];
    made.extend(rpm::write(release, target, &rpm, &work.0, out, Compression::Small)?);
    tarball::sums(out, &made)
}

/// A copy of a binary without symbols: `--binary` may name one of a profile that keeps them.
fn stripped(elb: &Path, target: &Target, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let copy = folder.join("elb");
    fs::copy(elb, &copy).with_context(|| format!("cannot read {}", elb.display()))?;
    if target.is_of_this_machine() {
        process::run(Command::new("strip").arg(&copy))?;
    }
    Ok(copy)
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(out: &Path) -> Result<Self> {
        let folder = out.join(".work");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
