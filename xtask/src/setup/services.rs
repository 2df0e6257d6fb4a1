//! Services that come with packages of tools: none is to start because a tool is installed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Where Debian's packages ask whether they may start a service (invoke-rc.d(8)).
pub(crate) const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While this is there, packages that are installed start no service.
pub(crate) struct NoServices<'p> {
    /// None: the host has a policy of its own.
    written: Option<&'p Path>,
}

impl<'p> NoServices<'p> {
    pub(crate) fn from_now_on(policy: &'p Path) -> Result<Self> {
        let mut file =
            match OpenOptions::new().write(true).create_new(true).mode(0o755).open(policy) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Ok(Self { written: None });
                }
                created => created.with_context(|| format!("cannot write {}", policy.display()))?,
            };
        let quiet = Self { written: Some(policy) };
        file.write_all(b"#!/bin/sh\nexit 101\n")?;
        Ok(quiet)
    }
}

impl Drop for NoServices<'_> {
    fn drop(&mut self) {
        let Some(policy) = self.written else { return };
        if let Err(error) = fs::remove_file(policy) {
            let policy = policy.display();
            eprintln!("cannot remove {policy}, which keeps services from starting: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn no_service_starts_meanwhile_and_a_policy_that_was_there_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let policy = scratch.path().join("policy-rc.d");
        let quiet = NoServices::from_now_on(&policy).unwrap();
        let said = Command::new("sh").arg(&policy).args(["it", "start"]).status().unwrap();
        assert_eq!(said.code(), Some(101));
        drop(quiet);
        assert!(!policy.exists());
        fs::write(&policy, "theirs").unwrap();
        drop(NoServices::from_now_on(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "theirs");
    }
}
