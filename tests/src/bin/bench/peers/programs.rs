//! Programs of others, from Debian; started by us in the namespaces of a lab, ended by us.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, bail};
use elb_tests::daemon::{daemon, tool};
use elb_tests::netns::NetNs;
use elb_tests::process::Process;

/// Programs, and the packages that hold them.
const PROGRAMS: [(&str, &str); 4] = [
    ("haproxy", "haproxy"),
    ("nginx", "nginx libnginx-mod-stream"),
    ("nft", "nftables"),
    ("wrk", "wrk"),
];

/// Where Debian has nginx's module for TCP.
const STREAM: &str = "usr/lib/nginx/modules/ngx_stream_module.so";

/// nginx's module for TCP: the system's, or one that was unpacked.
pub fn stream() -> Option<PathBuf> {
    let system = Path::new("/").join(STREAM);
    if system.exists() {
        return Some(system);
    }
    let folders = fs::read_dir(env::var_os("ELB_DAEMONS")?).ok()?.flatten();
    folders.map(|folder| folder.path().join(STREAM)).find(|file| file.exists())
}

/// Fails unless all of them are there.
pub fn require() -> Result<()> {
    let missing =
        |(name, _): &&(&str, &str)| tool(name).is_err() || *name == "nginx" && stream().is_none();
    let packages: Vec<&str> =
        PROGRAMS.iter().filter(missing).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    // Packages of servers start them: that is not ours to do.
    bail!("not installed; run: apt-get install {}", packages.join(" "))
}

/// Starts a program with a configuration file of its own.
pub fn start(
    netns: &NetNs,
    folder: &Path,
    name: &str,
    configuration: &str,
    arguments: &[&str],
) -> Result<Process> {
    let number = fs::read_dir(folder)?.count();
    let file = folder.join(format!("{name}-{number}.conf"));
    fs::write(&file, configuration)?;
    let log = fs::File::create(folder.join(format!("{name}-{number}.log")))?;
    let mut command = daemon(netns, name)?;
    command.args(arguments).arg(&file).stdout(Stdio::null()).stderr(log);
    Process::start(name, command)
}

/// Where nginx may put what is large: else it wants folders of the package.
pub fn folders(place: &Path) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    kinds.map(|kind| format!("{kind}_temp_path {}/{kind};", place.display())).join(" ")
}

/// nginx, in the foreground, all files in `folder`. What loads modules has to come `first`.
pub fn nginx(netns: &NetNs, folder: &Path, first: &str, rest: &str) -> Result<Process> {
    let number = fs::read_dir(folder)?.count();
    let configuration = format!(
        "{first}\ndaemon off;\nuser root;\npid {0}/nginx-{number}.pid;\nerror_log stderr error;\n\
         worker_rlimit_nofile 16384;\nevents {{ worker_connections 4096; }}\n{rest}\n",
        folder.display()
    );
    let prefix = folder.display().to_string();
    start(netns, folder, "nginx", &configuration, &["-e", "stderr", "-p", &prefix, "-c"])
}
