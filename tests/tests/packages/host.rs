//! A host to install packages on: this machine's files, or those of a bare Debian, with changes of its own, which are
//! gone with it, its own BPF file system, and the network of a host of the lab.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use elb_tests::{
    lab::Lab,
    netns::NetNs,
    process::{Ended, ended, output},
    running::Running,
};

use crate::{manager::BOOT, unit::Unit};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Makes the root (`$0` is an empty folder), and goes there. What was installed here before is not there, nor is
/// what keeps services from being started.
const MAKE: &str = r#"
mount -t tmpfs tmpfs "$0"
mkdir "$0/changes" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=$LAB_FILES,upperdir=$0/changes,workdir=$0/work" "$0/root"
cd "$0/root"
mount --rbind /sys sys
umount sys/fs/bpf || :
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs tmpfs run
mkdir -p run/systemd/system old
rm -rf etc/elb usr/bin/elb var/lib/elb usr/sbin/policy-rc.d
for file in etc/group etc/gshadow; do [ ! -e "$file" ] || sed -i '/^elb:/d' "$file"; done
"#;

/// Stays there. `systemctl` writes down what it is asked.
const STAY: &str = r#"
mount --rbind /proc proc
mount --rbind /dev dev
rm -f usr/bin/systemctl bin/systemctl
printf '#!/bin/sh\ncase "$*" in *is-active*) exit 3 ;; esac\necho "$*" >> /run/asked\n' > usr/bin/systemctl
chmod 755 usr/bin/systemctl
pivot_root . old
umount --lazy /old
echo ready >&2
exec sleep infinity
"#;

/// What the unit's sandbox does to files: all is to be read only, but what the unit names.
const SANDBOX: &str = r#"
for place in $LAB_WRITABLE; do
    install -d -m 0700 "$place"
    mount --bind "$place" "$place"
done
mount -t tmpfs tmpfs /tmp
for place in $LAB_READ_ONLY; do mount -o remount,bind,ro "$place"; done
umask 0077
exec "$0" "$@"
"#;

pub(crate) struct Host {
    /// Everything is gone with it.
    _holder: Running,
    /// A process that is there, and which of its namespaces commands enter.
    first: u32,
    enter: &'static [&'static str],
    netns: NetNs,
    device: String,
}

impl Host {
    /// With this machine's files.
    pub(crate) fn new(lab: &Lab, netns: &NetNs, device: &str) -> Result<Self> {
        Self::with(Path::new("/"), lab, netns, device)
    }

    /// With nothing but what every Debian has, where `cargo xtask setup` could make that.
    pub(crate) fn bare(lab: &Lab, netns: &NetNs, device: &str) -> Result<Self> {
        let files = env::var_os("ELB_DEBIAN").map_or_else(|| "/".into(), PathBuf::from);
        Self::with(&files, lab, netns, device)
    }

    fn with(files: &Path, lab: &Lab, netns: &NetNs, device: &str) -> Result<Self> {
        let mut command = netns.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", &[MAKE, STAY].concat()]);
        let mut holder = Running::start("the host's root", at(lab, files, command)?)?;
        holder.wait_said("ready", LIMIT)?;
        let (first, device) = (holder.id(), device.to_owned());
        Ok(Self { _holder: holder, first, enter: &["--mount"], netns: netns.clone(), device })
    }

    /// With systemd itself as its first process.
    pub(crate) fn booted(lab: &Lab, netns: &NetNs, device: &str, cgroup: &Path) -> Result<Self> {
        let mut command = netns.command("unshare");
        command.args(["--mount", "--propagation", "private", "--uts", "--ipc"]);
        command.args(["--pid", "--fork", "--kill-child", "sh", "-ec", &[MAKE, BOOT].concat()]);
        command.env("LAB_CGROUP", cgroup);
        let mut holder = Running::start("the host's root", at(lab, Path::new("/"), command)?)?;
        holder.wait_said("ready", LIMIT)?;
        let said = holder.said()?;
        let first = said.lines().find_map(|line| line.strip_prefix("ready "));
        let first = first.context("no process")?.parse()?;
        let enter = &["--mount", "--pid", "--uts", "--ipc", "--cgroup"];
        Ok(Self { _holder: holder, first, enter, netns: netns.clone(), device: device.to_owned() })
    }

    /// A command that will run there.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.netns.command("nsenter");
        command.args(["--target", &self.first.to_string()]).args(self.enter);
        command.args(["--", program]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        command
    }

    /// What a command prints that must work.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        output(self.command(program, arguments), LIMIT)
    }

    pub(crate) fn end(&self, program: &str, arguments: &[&str]) -> Result<Ended> {
        ended(self.command(program, arguments), LIMIT)
    }

    /// Installs a package, or removes it; what it said.
    pub(crate) fn dpkg(&self, verb: &str, what: &str) -> Result<String> {
        let Ended { code, printed, said } = self.dpkg_end(verb, what)?;
        if code != Some(0) {
            bail!("dpkg {verb} {what}: {code:?}: {printed}{said}");
        }
        Ok(printed + &said)
    }

    pub(crate) fn dpkg_end(&self, verb: &str, what: &str) -> Result<Ended> {
        self.end("dpkg", &["--no-triggers", verb, what])
    }

    /// Starts what the unit starts, with what the unit leaves it: capabilities and writable places.
    pub(crate) fn start(&self, unit: &Unit) -> Result<Running> {
        let capabilities = unit.capabilities()?;
        let mut words = vec!["--mount", "--propagation", "private", "sh", "-ec", SANDBOX];
        words.extend(["setpriv", "--no-new-privs", "--inh-caps=-all", &*capabilities, "--"]);
        let start = unit.value("ExecStart")?;
        words.extend(start.split(' '));
        let mut command = self.command("unshare", &words);
        command.env("LAB_WRITABLE", unit.writable()).env("LAB_READ_ONLY", unit.read_only());
        Running::start("the service", command)
    }

    /// What `systemctl` was asked since the last time.
    pub(crate) fn asked(&self) -> Result<Vec<String>> {
        let asked = self.run("sh", &["-c", "cat /run/asked; rm -f /run/asked"]);
        Ok(asked.unwrap_or_default().lines().map(str::to_owned).collect())
    }

    /// A file or folder as this process sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.first.to_string()).join("root").join(path)
    }

    pub(crate) fn read(&self, path: &str) -> Result<String> {
        let path = self.path(path);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Whether an XDP program is on the interface that packets come in by.
    pub(crate) fn forwards(&self) -> Result<bool> {
        Ok(self.run("ip", &["link", "show", "dev", &*self.device])?.contains("prog/xdp"))
    }
}

/// Names the folder that it works in, and the files that it begins with.
fn at(lab: &Lab, files: &Path, mut command: Command) -> Result<Command> {
    let folder = lab.files().join("host");
    fs::create_dir(&folder)?;
    command.arg(folder).env("LAB_FILES", files);
    Ok(command)
}
