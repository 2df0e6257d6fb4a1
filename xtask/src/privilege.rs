//! Whether we are root, and what to say when we are not.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, bail};

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Fails unless we are root; call it before any long work.
pub(crate) fn require_root(verb: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!(
        "`{verb}` loads BPF programs and makes network namespaces, which needs root; \
         run: sudo -E env \"PATH=$PATH\" cargo xtask {verb}"
    )
}
