//! Whether the packets of an interface are spread over the processors.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{InterfaceFacts, Queues};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};

/// How many times its fair part a queue may get.
const UNEVEN: u32 = 2;

pub(super) fn queues(name: &str, interface: &InterfaceFacts, cpus: usize) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::Queues, outcome, words);
    let Some(Queues { now, most, combined }) = interface.queues else {
        return found(Outcome::NotApplicable, "its driver has no queues to set".to_owned());
    };
    let possible = u32::try_from(cpus).unwrap_or(u32::MAX).min(most);
    if now == 1 && cpus > 1 {
        let words = format!("one receive queue, so one of {cpus} CPUs does all the work");
        let warning = found(Outcome::Warn, words);
        let kind = if combined { "combined" } else { "rx" };
        return match possible {
            0 | 1 => warning.fix(format!(
                "ethtool -l {name}    # it has only one: give it more, where it is made"
            )),
            _ => warning.fix(format!("ethtool -L {name} {kind} {possible}")),
        };
    }
    if let Some(finding) = spread(name, now, &interface.rss) {
        return finding;
    }
    if let Some(finding) = interrupts(name, interface, cpus) {
        return finding;
    }
    found(Outcome::Pass, format!("{now} receive queues for {cpus} CPUs"))
}

/// Receive queues that receive-side scaling (RSS) leaves without packets, or gives too many. The
/// card looks up the queue of a packet by its hash in the table.
fn spread(name: &str, queues: u32, table: &[u32]) -> Option<Finding> {
    let entries = u32::try_from(table.len()).ok()?;
    let shares = table.iter().fold(BTreeMap::new(), |mut shares, queue| {
        *shares.entry(queue).or_insert(0_u32) += 1;
        shares
    });
    let (busiest, most) = shares.iter().max_by_key(|(_, share)| **share)?;
    let served = u32::try_from(shares.len()).ok()?;
    let words = if served < queues.min(entries) {
        format!("its RSS table sends packets to {served} of {queues} receive queues")
    } else if *most > UNEVEN * entries.div_ceil(queues) {
        format!("its RSS table sends {most} of {entries} parts of the packets to queue {busiest}")
    } else {
        return None;
    };
    let finding = Finding::seen(Check::Queues, Outcome::Warn, words);
    Some(finding.fix(format!("ethtool -X {name} equal {queues}")))
}

/// Interrupts that all go to the same CPU.
fn interrupts(name: &str, interface: &InterfaceFacts, cpus: usize) -> Option<Finding> {
    let all: BTreeSet<u32> = interface.interrupts.values().flatten().copied().collect();
    let (Some(cpu), 2.., 2..) = (all.first(), interface.interrupts.len(), cpus) else {
        return None;
    };
    if all.len() != 1 {
        return None;
    }
    let numbers = interface.interrupts.keys();
    let fixes = numbers
        .clone()
        .zip((0..cpus).cycle())
        .map(|(number, cpu)| format!("echo {cpu} > /proc/irq/{number}/smp_affinity_list"));
    let words = format!("all {} interrupts of {name} go to CPU {cpu}", numbers.len());
    let fix = fixes.collect::<Vec<_>>().join("\n");
    Some(Finding::seen(Check::Queues, Outcome::Warn, words).fix(fix))
}
