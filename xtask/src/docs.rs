//! `docs`: writes the documents that are generated from the code. A host test of `elb-userspace` compares them
//! with the committed ones, and writes them where it is asked to.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::locate()?;
    let arguments = ["test", "--package", "elb-userspace", "--lib", "committed_reference"];
    process::run(workspace.cargo(&arguments).env("ELB_WRITE_DOCS", "1"))
}
