//! `setup`: finds or installs all that a build and a test run need, and says which.

pub(crate) mod apt;
pub(crate) mod compiler;
mod daemons;
mod debian;
pub(crate) mod linker;
pub(crate) mod musl;
pub(crate) mod sdk;
mod services;
pub(crate) mod unpacked;
mod version;

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use self::apt::Need;
use self::compiler::{Compiler, LLVM};
use self::linker::Linker;
use crate::guest;
use crate::privilege::is_root;
use crate::process;
use crate::workspace::Workspace;

const BPFFS: &str = "/sys/fs/bpf";

/// Programs that the demo, the bench and the labs run, and the Debian packages that hold them.
const LAB_TOOLS: [(&str, &str); 11] = [
    ("cc", "gcc"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("socat", "socat"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("sysctl", "procps"),
    ("tc", "iproute2"),
];

/// The same of what only tests run.
const TEST_TOOLS: [(&str, &str); 5] = [
    ("dpkg-deb", "dpkg"),
    ("rpm", "rpm"),
    ("rpmbuild", "rpm"),
    ("strip", "binutils"),
    ("systemd-analyze", "systemd"),
];

/// What the BPF programs are built with.
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    pub(crate) linker: Linker,
}

impl Toolchain {
    /// The versions that decide what is built.
    pub(crate) fn versions(&self) -> String {
        format!("{}, {}", self.compiler.name(), self.linker.name())
    }
}

/// What is going to be done with what is set up.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Purpose {
    Build,
    /// Namespaces are made: the demo, the bench.
    BuildAndLabs,
    /// Every test is run.
    BuildAndTests,
}

pub(crate) fn run() -> Result<()> {
    prepare(Purpose::BuildAndTests)?;
    guest::set_up(&Workspace::locate()?)
}

/// Every step looks first, so that a prepared machine is left alone and no network is used.
pub(crate) fn prepare(purpose: Purpose) -> Result<Toolchain> {
    let mut needs = Vec::new();
    let tools = match purpose {
        Purpose::Build => Vec::new(),
        Purpose::BuildAndLabs => LAB_TOOLS.to_vec(),
        Purpose::BuildAndTests => [&LAB_TOOLS[..], &TEST_TOOLS].concat(),
    };
    if purpose != Purpose::Build {
        needs.extend(missing_tools(&tools));
        needs.extend(missing_python().filter(|_| purpose == Purpose::BuildAndTests));
        needs.extend(missing_clippy());
    }
    needs.extend(missing_compiler());
    needs.extend(missing_llvm());
    let mut problems = apt::install(&needs)?;

    let compiler = Compiler::find();
    if let Some(compiler) = &compiler {
        found(&compiler.describe());
    }
    let linker = find_or_build_linker()?;
    if let Some(linker) = &linker {
        found(&linker.describe());
    }
    if purpose != Purpose::Build {
        report_tools(&tools);
        problems.extend(mount_bpffs()?);
    }
    if purpose == Purpose::BuildAndTests {
        sdk::find_or_fetch(&Workspace::locate()?);
        problems.extend(daemons::find_or_fetch(&Workspace::locate()?.daemons_dir()));
        // Its lab then takes this machine's files instead.
        if let Some(why) = debian::find_or_make(&Workspace::locate()?.debian_dir()) {
            println!("  {why}");
        }
    }
    if !problems.is_empty() {
        bail!("setup is not complete:\n  {}", problems.join("\n  "));
    }
    match (compiler, linker) {
        (Some(compiler), Some(linker)) => Ok(Toolchain { compiler, linker }),
        (None, _) => {
            bail!("packages were installed, but no rustc with the source of core is there")
        }
        (_, None) => bail!("bpf-linker was installed, but is not usable; see `bpf-linker --help`"),
    }
}

/// Python that can make virtual environments, for the SDK that labs run.
fn missing_python() -> Option<Need> {
    let mut makes_environments = Command::new("python3");
    makes_environments.args(["-c", "import ensurepip, venv"]).stderr(Stdio::null());
    let is_there = makes_environments.status().is_ok_and(|status| status.success());
    (!is_there).then(|| Need {
        what: "python3 -m venv",
        packages: vec!["python3-venv"],
        least: None,
        otherwise: "install Python 3 with its module venv (Debian's package is python3-venv)"
            .to_owned(),
    })
}

fn missing_tools(tools: &[(&'static str, &'static str)]) -> Vec<Need> {
    let missing = tools.iter().filter(|(tool, _)| process::find_program(tool).is_none());
    missing
        .map(|&(tool, package)| Need {
            what: tool,
            packages: if package == "gcc" { vec!["gcc", "libc6-dev"] } else { vec![package] },
            least: None,
            otherwise: format!("install your system's package of it (Debian's is {package})"),
        })
        .collect()
}

/// Asks rustup first: its source fits the toolchain that builds the rest.
fn missing_compiler() -> Option<Need> {
    if Compiler::find().is_some() {
        return None;
    }
    if let Err(error) = compiler::fetch_with_rustup() {
        println!("  note     {error:#}; taking Debian's rustc instead");
    } else if Compiler::find().is_some() {
        return None;
    }
    Some(Need {
        what: "a rustc with the source of core",
        packages: vec!["rustc-web", "rust-web-src", "rust-web-clippy"],
        least: compiler::oldest_version(),
        otherwise: format!("run: rustup {}", compiler::rustup_arguments().join(" ")),
    })
}

/// Where Debian's rustc builds the BPF programs, only Debian's clippy can check them.
fn missing_clippy() -> Option<Need> {
    let compiler = Compiler::find()?;
    let missing = compiler.is_the_systems() && compiler.clippy().is_none();
    missing.then(|| Need {
        what: "the clippy of the system's rustc",
        packages: vec!["rust-web-clippy"],
        least: compiler::oldest_version(),
        otherwise: "install your system's package of it".to_owned(),
    })
}

fn missing_llvm() -> Option<Need> {
    if Linker::find().is_some() || linker::llvm_prefix().is_some() {
        return None;
    }
    Some(Need {
        what: "bpf-linker (or LLVM 22 to build it with)",
        packages: vec!["llvm-22-dev", "zlib1g-dev", "libzstd-dev"],
        least: None,
        otherwise: format!("run: {}", linker::install_prebuilt()),
    })
}

fn find_or_build_linker() -> Result<Option<Linker>> {
    if let Some(linker) = Linker::find() {
        return Ok(Some(linker));
    }
    let Some(prefix) = linker::llvm_prefix() else {
        return Ok(None);
    };
    println!("  building bpf-linker with LLVM {LLVM}, which takes a minute or two");
    linker::install(&prefix)?;
    Ok(Linker::find())
}

/// Says which tools are there; the others were needs, and are reported if they were not met.
fn report_tools(tools: &[(&'static str, &str)]) {
    let tools = tools.iter().map(|(tool, _)| *tool);
    let there = tools.filter(|tool| process::find_program(tool).is_some());
    found(&there.collect::<Vec<_>>().join(", "));
}

fn mount_bpffs() -> Result<Option<String>> {
    if is_bpffs_mounted(&fs::read_to_string("/proc/self/mounts")?) {
        found(&format!("a BPF file system on {BPFFS}"));
        return Ok(None);
    }
    if !is_root() {
        return Ok(Some(format!("no BPF file system; run: sudo mount -t bpf bpf {BPFFS}")));
    }
    process::run(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]))?;
    Ok(None)
}

fn is_bpffs_mounted(mounts: &str) -> bool {
    mounts.lines().any(|mount| {
        let mut fields = mount.split(' ').skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    })
}

fn found(what: &str) {
    println!("  found    {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bpf_file_system_at_its_place_counts() {
        assert!(is_bpffs_mounted("proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n"));
        assert!(!is_bpffs_mounted("tmpfs /sys/fs/bpf tmpfs rw 0 0\n"));
        assert!(!is_bpffs_mounted("bpf /run/bpf bpf rw 0 0\n"));
    }
}
