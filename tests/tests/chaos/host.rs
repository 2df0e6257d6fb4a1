//! What elb has put into a host: it must be there again after each event, and no more of it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use elb_tests::netns::NetNs;

/// Rules, routes, interfaces and pins, in words. Equal hosts have equal words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(Vec<String>);

impl Host {
    pub(crate) fn of(netns: &NetNs, pin_dir: &Path) -> Result<Self> {
        let mut words = Vec::new();
        for version in ["-4", "-6"] {
            for list in [&["rule", "show"][..], &["route", "show", "table", "all"]] {
                let lines = ip(netns, &[&[version], list].concat())?;
                words.extend(lines.lines().filter(|line| is_chosen(line)).map(tidy));
            }
        }
        let links = ip(netns, &["-o", "link", "show"])?;
        words.extend(links.lines().filter_map(|line| line.split([':', '@']).nth(1)).map(tidy));
        words.extend(pins(pin_dir)?);
        words.sort();
        Ok(Self(words))
    }

    /// What is missing of `wanted`, and what is too much.
    pub(crate) fn differs_from(&self, wanted: &Self) -> String {
        let without = |these: &Self, those: &Self| {
            let more = these.0.iter().filter(|word| !those.0.contains(word));
            more.cloned().collect::<Vec<_>>().join("; ")
        };
        format!("missing: {}. Too much: {}", without(wanted, self), without(self, wanted))
    }
}

/// Not what follows from random Ethernet addresses.
fn is_chosen(line: &str) -> bool {
    !line.contains("fe80") && !line.contains("ff00::")
}

fn tidy(line: &str) -> String {
    line.trim().to_owned()
}

/// The names of all pins. The pin of a link has its interface's index in its name, which may change.
fn pins(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            let inner = pins(&entry.path())?.into_iter();
            names.extend(inner.map(|inner| format!("{name}/{inner}")));
            continue;
        }
        let is_link = name.strip_prefix("link-").is_some_and(|rest| rest.parse::<u32>().is_ok());
        names.push(if is_link { "link-N".to_owned() } else { name });
    }
    Ok(names)
}

fn ip(netns: &NetNs, arguments: &[&str]) -> Result<String> {
    let mut command: Command = netns.command("ip");
    command.args(arguments);
    let output = command.output().context("cannot run ip")?;
    let error = String::from_utf8_lossy(&output.stderr);
    // A version of IP that the host does not have has no tables.
    let has_none = error.contains("FIB table does not exist");
    ensure!(output.status.success() || has_none, "ip {arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}
