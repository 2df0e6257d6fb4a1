//! A command that goes on while a test does other things.

use std::{
    fs::{self, File},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{process::Process, wait::wait_for};

/// A command under way; dropping it kills it.
#[derive(Debug)]
pub struct Running {
    process: Process,
    files: TempDir,
}

impl Running {
    /// Starts `command`; `name` is what messages call it.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        let files = TempDir::new()?;
        let file = |name| File::create(files.path().join(name));
        command.stdout(file(STDOUT)?).stderr(file(STDERR)?);
        Ok(Self { process: Process::start(name, command)?, files })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has printed until now.
    pub fn printed(&self) -> Result<String> {
        Ok(fs::read_to_string(self.files.path().join(STDOUT))?)
    }

    /// What it has said on standard error until now.
    pub fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(self.files.path().join(STDERR))?)
    }

    /// Waits until it says `words` on standard error.
    pub fn wait_said(&mut self, words: &str, limit: Duration) -> Result<()> {
        wait_for(&format!("{words:?} to be said"), limit, || {
            if self.said()?.contains(words) {
                return Ok(Some(()));
            }
            match self.process.ended()? {
                Some(status) => bail!("it ended: {status}: {}", self.said()?),
                None => Ok(None),
            }
        })
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits for its good end; what it printed.
    pub fn finish(mut self, limit: Duration) -> Result<String> {
        let status = self.process.wait(limit).with_context(|| self.said().unwrap_or_default())?;
        if !status.success() {
            bail!("{status}: {}", self.said()?);
        }
        self.printed()
    }
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";
