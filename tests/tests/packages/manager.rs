//! systemd itself as the first process of a host, in control groups of its own, with nothing to start but what a test
//! asks for: what a machine's boot does to the kernel is not for one that is shared.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use elb_tests::{lab::Lab, netns::NetNs, process::Ended, wait::wait_for};

use crate::host::{Host, LIMIT};

/// Starts systemd in the root that was made. Units want nothing of a boot: no settings of the kernel, devices or
/// file systems.
pub(crate) const BOOT: &str = r#"
read -r first rest < /proc/self/stat
echo 0 > "$LAB_CGROUP/cgroup.procs"
exec unshare --cgroup sh -ec '
mount -t proc proc proc
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs dev
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
rm -rf usr/lib/systemd/system/*.wants usr/lib/systemd/system-generators etc/systemd/system etc/fstab
printf "[Unit]\nDefaultDependencies=no\n" > run/systemd/system/lab.target
pivot_root . old
umount --lazy /old
echo "ready $0" >&2
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=lab.target --log-target=null
' "$first"
"#;

/// A host whose services systemd runs.
pub(crate) struct Managed {
    pub(crate) host: Host,
    /// Dropped last.
    _groups: Groups,
}

impl Managed {
    pub(crate) fn new(lab: &Lab, netns: &NetNs, device: &str) -> Result<Self> {
        let groups = Groups::new()?;
        let managed = Self { host: Host::booted(lab, netns, device, &groups.0)?, _groups: groups };
        wait_for("systemd to answer", LIMIT, || {
            let state = managed.host.end("systemctl", &["is-system-running"])?;
            Ok((state.printed.trim() == "running").then_some(()))
        })?;
        Ok(managed)
    }

    /// What must work.
    pub(crate) fn systemctl(&self, words: &[&str]) -> Result<String> {
        let Ended { code, printed, said } = self.end(words)?;
        if code != Some(0) {
            let unit = words.last().copied().unwrap_or_default();
            let why = self.end(&["show", "--property", "Result,ExecMainStatus", unit])?.printed;
            bail!("systemctl {words:?}: {code:?}: {said}{why}{}", self.log());
        }
        Ok(printed)
    }

    pub(crate) fn end(&self, words: &[&str]) -> Result<Ended> {
        self.host.end("systemctl", words)
    }

    /// A property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> Result<String> {
        let shown = self.systemctl(&["show", "--value", "--property", name, unit])?;
        Ok(shown.trim().to_owned())
    }

    pub(crate) fn wait_property(&self, unit: &str, name: &str, value: &str) -> Result<()> {
        let limit = Duration::from_secs(120);
        wait_for(&format!("{name} of {unit} to be {value}"), limit, || {
            Ok((self.property(unit, name)? == value).then_some(()))
        })
        .with_context(|| self.log())
    }

    /// Lines for a unit that its file does not have.
    pub(crate) fn add_to(&self, unit: &str, lines: &str) -> Result<()> {
        let folder = self.host.path("run/systemd/system").join(format!("{unit}.d"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("lab.conf"), format!("[Service]\n{lines}\n"))?;
        self.systemctl(&["daemon-reload"]).map(drop)
    }

    /// What services wrote that say so ([`Managed::add_to`] with [`LOGGED`]).
    pub(crate) fn log(&self) -> String {
        self.host.read("run/lab.log").unwrap_or_default()
    }

    /// A line of the main process's status in /proc.
    pub(crate) fn kernel_says(&self, unit: &str, key: &str) -> Result<String> {
        let id = self.property(unit, "MainPID")?;
        let status = self.host.run("cat", &[&format!("/proc/{id}/status")])?;
        let found = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        found.map(str::to_owned).with_context(|| format!("no {key} in {status}"))
    }
}

/// There is no journal.
pub(crate) const LOGGED: &str =
    "StandardOutput=append:/run/lab.log\nStandardError=append:/run/lab.log";

/// A control group of version 2, without controllers, and all that systemd makes below it.
struct Groups(PathBuf);

const PREFIX: &str = "elb-lab-";

impl Groups {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut mounts = mounts.lines().map(|mount| mount.split(' '));
        let place = mounts.find_map(|mut mount| {
            let place = mount.nth(1)?;
            (mount.next()? == "cgroup2").then(|| PathBuf::from(place))
        });
        let place = place.context("control groups of version 2 are mounted nowhere")?;
        remove_dead(&place)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = place.join(format!("{PREFIX}{}-{number}", process::id()));
        fs::create_dir(&group).with_context(|| format!("cannot create {}", group.display()))?;
        Ok(Self(group))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // The last process of a namespace that was killed may still be on its way out.
        let limit = Duration::from_secs(10);
        if let Err(error) =
            wait_for("control groups to be empty", limit, || Ok(remove(&self.0).ok()))
        {
            eprintln!("{}: {error:#}", self.0.display());
        }
    }
}

/// What tests that were killed left.
fn remove_dead(place: &Path) -> Result<()> {
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = remove(&entry.path());
        }
    }
    Ok(())
}

fn remove(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(group)?)
}
