//! A host to install packages on: this machine's files with changes of its own, which are gone with it, its
//! own BPF file system, and the network of a host of the lab.

use std::{
    fs,
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

use crate::unit::Unit;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Makes the root (`$0` is an empty folder), goes there, and stays. What was installed here before is not
/// there, nor is what keeps services from being started. `systemctl` writes down what it is asked.
const MAKE: &str = r#"
mount -t tmpfs tmpfs "$0"
mkdir "$0/changes" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/changes,workdir=$0/work" "$0/root"
cd "$0/root"
mount --rbind /proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs tmpfs run
mkdir -p run/systemd/system old
rm -rf etc/elb usr/bin/elb var/lib/elb usr/sbin/policy-rc.d
sed -i '/^elb:/d' etc/group etc/gshadow
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
    holder: Running,
    netns: NetNs,
    device: String,
}

impl Host {
    pub(crate) fn new(lab: &Lab, netns: &NetNs, device: &str) -> Result<Self> {
        let folder = lab.files().join("host");
        fs::create_dir(&folder)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", MAKE]).arg(folder);
        let mut holder = Running::start("the host's root", command)?;
        holder.wait_said("ready", LIMIT)?;
        Ok(Self { holder, netns: netns.clone(), device: device.to_owned() })
    }

    /// A command that will run there.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.netns.command("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
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
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(path)
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
