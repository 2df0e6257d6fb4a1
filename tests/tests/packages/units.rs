//! What systemd itself thinks of the units.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use elb_tests::process::{ended, output};

use crate::host::LIMIT;

/// 0 is best, 10 is worst; what services of Debian without a sandbox have is 9.6.
const HIGHEST: f64 = 3.0;

/// Keys of systemd 254, which earlier ones ignore, and say so.
const LATER: [&str; 2] = ["Unknown key 'RestartSteps'", "Unknown key 'RestartMaxDelaySec'"];

const UNITS: [&str; 3] = ["elb.service", "elb-backend.service", "elb-backend@.service"];

#[test]
fn units_are_exposed_little() -> Result<()> {
    for name in UNITS {
        let unit = dist().join(name);
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager"]).arg(unit);
        let said = output(command, LIMIT)?;
        let line = said.lines().find(|line| line.contains("Overall exposure level"));
        let line = line.context("it gives no level")?;
        let level = line.split(": ").nth(1).and_then(|words| words.split(' ').next());
        let level: f64 = level.context("it gives no number")?.parse()?;
        println!("{name}: {level}");
        assert!(level <= HIGHEST, "{said}");
    }
    Ok(())
}

/// In a folder where the programs that they start are: systemd looks for those.
#[test]
fn systemd_finds_nothing_wrong_with_units() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in UNITS {
        let text = fs::read_to_string(dist().join(name))?.replace("/usr/bin/elb", "/bin/true");
        // An instance is what is verified, not a template.
        let name = name.replace('@', "@edge");
        fs::write(folder.path().join(&name), text)?;
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).arg(folder.path().join(name));
        let found = ended(command, LIMIT)?;
        let wrong = found.said.lines().find(|line| !LATER.iter().any(|key| line.contains(key)));
        assert!(found.code == Some(0) && wrong.is_none(), "{found:?}");
    }
    Ok(())
}

/// They differ in the file that they read and in where their pins are.
#[test]
fn an_instance_has_the_sandbox_of_the_backend_servers_unit() -> Result<()> {
    let sandbox = |name: &str| {
        let text = fs::read_to_string(dist().join(name))?;
        let (_, sandbox) = text.split_once("\n# What to restore").context("no sandbox")?;
        anyhow::Ok(sandbox.to_owned())
    };
    assert_eq!(sandbox("elb-backend@.service")?, sandbox("elb-backend.service")?);
    Ok(())
}

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../elb-userspace/dist")
}
