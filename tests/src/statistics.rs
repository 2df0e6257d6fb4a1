//! What a virtual device says that it did.

use std::collections::HashMap;

use crate::netns::NetNs;
use crate::process;
use crate::wait::STUCK;
use anyhow::{Context as _, Result};

/// Counters of a device, all queues together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    device: String,
    counters: HashMap<String, u64>,
}

impl Statistics {
    /// Asks the driver of `device`.
    pub fn read(netns: &NetNs, device: &str) -> Result<Self> {
        let mut command = netns.command("ethtool");
        command.args(["-S", device]);
        let said = process::output(command, STUCK)?;
        let mut counters = HashMap::new();
        for (name, value) in said.lines().filter_map(parse) {
            *counters.entry(name).or_default() += value;
        }
        Ok(Self { device: device.to_owned(), counters })
    }

    /// A counter by its name without the queue.
    pub fn get(&self, name: &str) -> Result<u64> {
        let counter = self.counters.get(name).copied();
        counter.with_context(|| format!("the driver of {} counts no {name}", self.device))
    }
}

/// `rx_queue_1_xdp_packets: 7` is 7 of `rx_xdp_packets`.
fn parse(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.trim().split_once(": ")?;
    let (direction, rest) = name.split_once("_queue_")?;
    let (_, counter) = rest.split_once('_')?;
    Some((format!("{direction}_{counter}"), value.parse().ok()?))
}
