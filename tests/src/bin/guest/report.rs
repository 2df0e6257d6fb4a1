//! What xtask gets: a line of JSON a step on the second serial port, which has no other user.

use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::AsFd as _,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use serde_json::{Value, json};

const PORT: &str = "/dev/ttyS1";

pub struct Report(File);

impl Report {
    pub fn open() -> Result<Self> {
        let port = File::options().read(true).write(true).open(PORT);
        let port = port.with_context(|| format!("cannot open {PORT}"))?;
        let mut settings = tcgetattr(&port)?;
        cfmakeraw(&mut settings);
        tcsetattr(&port, SetArg::TCSANOW, &settings)?;
        Ok(Self(port))
    }

    /// Says what the kernel is, in its own words.
    pub fn kernel(&mut self) -> Result<()> {
        let version = fs::read_to_string("/proc/sys/kernel/version")?;
        self.say(&json!({ "kernel": version.trim() }))
    }

    /// Says how a step ended.
    pub fn step(&mut self, name: &str, ok: bool, took: Duration) -> Result<()> {
        self.say(&json!({ "step": name, "ok": ok, "seconds": took.as_secs_f64() }))
    }

    fn say(&mut self, line: &Value) -> Result<()> {
        self.0.write_all(format!("{line}\n").as_bytes())?;
        tcdrain(self.0.as_fd()).with_context(|| format!("cannot write to {PORT}"))
    }
}
