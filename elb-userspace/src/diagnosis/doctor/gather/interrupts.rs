//! Which processors serve the interrupts of a network card.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::host::text;
use crate::diagnosis::doctor::cpus;

/// More than a card has.
const MOST: usize = 4096;

/// Interrupts of an interface's device and where each may go; none for a virtual device.
pub(super) fn of(name: &str, index: u32) -> BTreeMap<u32, BTreeSet<u32>> {
    let folder = Path::new("/sys/class/net").join(name);
    // sysfs may be of another network namespace than this process.
    if text(folder.join("ifindex")).and_then(|text| text.trim().parse().ok()) != Some(index) {
        return BTreeMap::new();
    }
    let used = text("/proc/interrupts").map(|text| counted(&text)).unwrap_or_default();
    // A virtio device's interrupts are those of the PCI device that it is in.
    let devices = [folder.join("device"), folder.join("device/..")];
    let numbers = devices.iter().flat_map(|device| numbers(&device.join("msi_irqs")));
    numbers.filter(|number| used.contains(number)).filter_map(affinity).collect()
}

fn numbers(folder: &PathBuf) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn affinity(number: u32) -> Option<(u32, BTreeSet<u32>)> {
    let list = text(format!("/proc/irq/{number}/smp_affinity_list"))?;
    Some((number, cpus::parse(&list)?))
}

/// The numbers in `/proc/interrupts` of those that have come at least once.
fn counted(text: &str) -> BTreeSet<u32> {
    let line = |line: &str| -> Option<u32> {
        let (number, rest) = line.split_once(':')?;
        let mut counts = rest.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        counts.any(|count| count > 0).then_some(number.trim().parse().ok()?)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn interrupts_that_came() {
        let text = "\
           CPU0       CPU1
  1:          9          0   IO-APIC   1-edge      i8042
 24:          0          0   PCI-MSI 65536-edge      virtio0-config
 25:      12345        678   PCI-MSI 65537-edge      virtio0-input.0
NMI:          1          1   Non-maskable interrupts
ERR:          0
";
        assert_eq!(counted(text), BTreeSet::from([1, 25]));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9: \n]|\\PC){0,200}") {
            counted(&text);
        }
    }
}
