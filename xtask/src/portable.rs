//! Checks that `elb` compiles for a processor and a C library that this machine does not have.
//!
//! One target is enough: on aarch64 characters are unsigned, and musl's types differ from glibc's.

use std::time::Duration;

use anyhow::Result;

use crate::process;
use crate::setup::musl;
use crate::workspace::Workspace;

const TARGET: &str = musl::AARCH64;

/// The C compiler that crates with C code want.
const COMPILER: &str = "aarch64-linux-gnu-gcc";

/// A machine that cannot fetch the standard library must not wait for long.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns why it could not be checked.
pub(crate) fn check(workspace: &Workspace) -> Result<Option<String>> {
    if let Err(error) = musl::provide_std(TARGET, LIMIT) {
        return Ok(Some(format!("{TARGET}: no standard library for it: {error:#}")));
    }
    if let Err(error) = musl::provide_compiler(musl::cross_compiler()) {
        return Ok(Some(format!("{TARGET}: {error:#}")));
    }
    let mut cargo = workspace.cargo(&["check", "--package", "elb-userspace", "--target", TARGET]);
    process::run(cargo.env(musl::compiler_variable(TARGET), COMPILER))?;
    Ok(None)
}
