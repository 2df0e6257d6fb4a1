//! The flow log to standard output, which may be read late, and to a real journal, which may be gone for a while.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Result;
use elb_tests::{
    agent::Agent,
    config::Forwarding,
    lab::Lab,
    printed,
    process::{Process, output},
    wait::wait_for,
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::Value;

use crate::scene::{LIMIT, Scene, config, wait_until_serving};

/// A scene whose agent follows the words that `wrap` makes, and logs flows to this.
fn start<T>(to: &str, wrap: impl FnOnce(&Lab) -> Result<(Vec<String>, T)>) -> Result<(Scene, T)> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let config = config(&lab, Forwarding::Ipip, |pool| pool);
    let (words, more) = wrap(&lab)?;
    let text = format!("{}\n[flow_log]\nto = \"{to}\"\n", config.text()?);
    let agent = Agent::start_under(&lab, &text, &config.agent.socket, &words)?;
    wait_until_serving(&agent)?;
    Ok((Scene { agent, servers, config, lab }, more))
}

/// The words of a shell that goes on as what follows them.
fn shell(script: String) -> Vec<String> {
    vec!["sh".to_owned(), "-ec".to_owned(), script, "sh".to_owned()]
}

fn count(lines: &[Value], event: &str) -> usize {
    lines.iter().filter(|line| line["event"] == event).count()
}

/// A pipe of which nothing is read for a while, as of a container's runtime that hangs.
#[test]
fn standard_output_that_nobody_reads_holds_nothing_up() -> Result<()> {
    const REQUESTS: usize = 300;
    let (scene, mut pipe) = start("stdout", |lab| {
        let path = lab.files().join("stdout");
        mkfifo(&path, Mode::from_bits_truncate(0o600))?;
        let nonblocking = libc::O_NONBLOCK;
        let pipe = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path)?;
        Ok((shell(format!("exec \"$@\" > {}", path.display())), pipe))
    })?;
    // Far more lines than a pipe holds.
    let report = scene.request(REQUESTS)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    let log = scene.agent.status()?["agent"]["flow_log"].clone();
    assert_eq!(log["to"], "standard output");
    assert!(log["written"].as_u64() < log["opens"].as_u64(), "it waits for the pipe: {log}");

    let mut text = String::new();
    let lines = wait_for("all lines", LIMIT, || {
        read(&mut pipe, &mut text)?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = printed::lines(&["flow-log"], whole)?;
        Ok((count(&lines, "end") >= REQUESTS).then_some(lines))
    })?;
    assert_eq!(count(&lines, "open"), REQUESTS);
    assert!(lines.iter().all(|line| line["missed"].is_null()), "nothing is missed");
    let log = &scene.agent.status()?["agent"]["flow_log"];
    assert_eq!((&log["missed"]["ring"], &log["missed"]["sink"]), (&0.into(), &0.into()), "{log}");
    assert!(scene.agent.log().contains("flows are logged"), "log lines go to standard error");
    Ok(())
}

fn read(pipe: &mut File, text: &mut String) -> Result<()> {
    let mut buffer = [0; 1 << 16];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => text.push_str(std::str::from_utf8(&buffer[..length])?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A journal of its own, in a mount namespace with a `/run/systemd` and a `/var/log` of its own.
struct Journal {
    process: Process,
}

impl Journal {
    const DAEMON: &str = "/lib/systemd/systemd-journald";
    const NAME: &str = "lab";

    fn start() -> Result<Self> {
        let own = "mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd; \
                   mount -t tmpfs tmpfs /var/log; ln -s journal.lab /run/systemd/journal; \
                   while :; do sleep 1; done";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", own]);
        let process = Process::start("a mount namespace", command)?;
        let journal = Self { process };
        wait_for("the mounts", LIMIT, || {
            let link = journal.inside(Path::new("/run/systemd/journal"));
            Ok(link.symlink_metadata().is_ok().then_some(()))
        })?;
        Ok(journal)
    }

    /// Starts the daemon; it ends with what is returned.
    fn daemon(&self) -> Result<Process> {
        let socket = self.inside(Path::new("/run/systemd/journal.lab/socket"));
        let process = Process::start("journald", self.command(&[Self::DAEMON, Self::NAME]))?;
        wait_for("the journal to listen", LIMIT, || Ok(socket.exists().then_some(())))?;
        Ok(process)
    }

    /// What is in it of the flow log.
    fn lines(&self) -> Result<Vec<Value>> {
        let words = ["journalctl", "--namespace", Self::NAME, "-t", "elb-flows", "-o", "cat"];
        let text = output(self.command(&words), LIMIT)?;
        // It says itself where there is nothing yet.
        let text = text.strip_prefix("-- No entries --\n").unwrap_or(&text);
        printed::lines(&["flow-log"], text)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.words()).args(words);
        command
    }

    /// What follows `nsenter`; the working directory stays what it is.
    fn words(&self) -> Vec<String> {
        vec![format!("--mount=/proc/{}/ns/mnt", self.process.id()), "--wd=.".to_owned()]
    }

    fn inside(&self, path: &Path) -> std::path::PathBuf {
        let root = format!("/proc/{}/root", self.process.id());
        Path::new(&root).join(path.strip_prefix("/").unwrap_or(path))
    }
}

#[test]
fn the_journal_has_an_entry_a_line_and_may_be_gone_for_a_while() -> Result<()> {
    const REQUESTS: usize = 20;
    let (scene, journal) = start("journald", |_| {
        let journal = Journal::start()?;
        Ok(([vec!["nsenter".to_owned()], journal.words()].concat(), journal))
    })?;
    let mut daemon = journal.daemon()?;
    scene.request(REQUESTS)?;
    let lines = wait_for("entries", LIMIT, || {
        let lines = journal.lines()?;
        Ok((count(&lines, "end") >= REQUESTS).then_some(lines))
    })?;
    assert_eq!(count(&lines, "open"), REQUESTS);
    assert_eq!(scene.agent.status()?["agent"]["flow_log"]["to"], "the journal");

    // Without it, lines are lost and counted, and traffic goes on.
    daemon.kill()?;
    let report = scene.request(REQUESTS)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    let is_lost = |said: &Value| said["agent"]["flow_log"]["missed"]["sink"].as_u64() > Some(0);
    let said = scene.agent.wait_status("lost lines", LIMIT, is_lost)?;
    let problems = said["agent"]["problems"].to_string();
    assert!(problems.contains("the flow log cannot be written to the journal"), "{problems}");

    let _again = journal.daemon()?;
    wait_for("an entry about what is lost", LIMIT, || {
        scene.request(1)?;
        std::thread::sleep(Duration::from_millis(100));
        let missed = |line: &Value| line["missed"]["sink"].as_u64() > Some(0);
        Ok(journal.lines()?.iter().any(missed).then_some(()))
    })
}
