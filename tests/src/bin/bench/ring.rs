//! What it takes to build a ring, and how much of it moves when a member goes.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use elb_userspace::control::ring::identity;
use elb_userspace::control::ring::maglev::{RingMember, build};

use crate::cpu;
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};
use crate::trials::Trials;

const SIZES: [u32; 2] = [65_537, 655_373];
const MEMBERS: [u32; 4] = [10, 100, 1_000, 10_000];
/// Members that go, one at a time.
const REMOVALS: u32 = 20;

pub fn section(effort: Effort) -> Result<Section> {
    let mut rows = Vec::new();
    for size in SIZES {
        for members in MEMBERS {
            let row = cpu::alone(|| row(members, size, effort.of(9, 25)))?;
            rows.push(row);
        }
    }
    let notes = vec![
        "Medians. `share`: slots of the member that has most, and least, as parts of a fair share. \
         `moved`: when one member goes, the part of the ring that moves among the others; no more \
         than its own part had to move."
            .to_owned(),
    ];
    Ok(Section { name: "ring", rows, notes })
}

fn row(count: u32, size: u32, builds: u32) -> Result<Row> {
    let members: Vec<RingMember> = (0..count).map(member).collect();
    let mut times = Vec::new();
    for _ in 0..builds {
        let (_, took) = cpu::time(|| Ok(build(&members, size)))?;
        times.push(took.as_secs_f64() * 1e3);
    }
    let table = build(&members, size);
    let mut shares = vec![0_u32; members.len()];
    table.iter().for_each(|owner| shares[usize::from(*owner)] += 1);
    let fair = f64::from(size) / f64::from(count);
    let share = |slots: Option<&u32>| f64::from(*slots.unwrap_or(&0)) / fair;
    let moved = (0..REMOVALS).map(|n| moved(&members, &table, n * count / REMOVALS));
    let (times, moved): (Trials, Trials) = (times.into_iter().collect(), moved.collect());
    let mut bars = Vec::new();
    if (count, size) == (1_000, 65_537) {
        bars.push(Bar::at_most(times.median(), 1.5, "ms"));
    }
    if (count, size) == (100, 65_537) {
        bars.push(Bar::at_most(moved.median(), 0.6, "% moved"));
    }
    let figures = vec![
        Figure::new("build_ms", 2, times.median()),
        Figure::new("spread", 0, times.spread() * 100.0),
        Figure::new("least_share", 3, share(shares.iter().min())),
        Figure::new("greatest_share", 3, share(shares.iter().max())),
        Figure::new("moved_percent", 2, moved.median()),
    ];
    Ok(Row { case: format!("{count} members, {size} slots"), figures, bars })
}

/// The part of the slots, in percent, that move among the others when a member goes.
fn moved(members: &[RingMember], table: &[u16], gone: u32) -> f64 {
    let gone = gone as usize;
    let mut rest = members.to_vec();
    rest.remove(gone);
    let after = build(&rest, u32::try_from(table.len()).unwrap_or(u32::MAX));
    let owner = |index: u16| usize::from(index);
    // The number among all members of a member of the rest.
    let number = |index: usize| index + usize::from(index >= gone);
    let pairs = table.iter().zip(&after).map(|(before, after)| (owner(*before), owner(*after)));
    let moved = pairs.filter(|(before, after)| *before != gone && *before != number(*after));
    moved.count() as f64 / table.len() as f64 * 100.0
}

/// Member number `n`, of weight 1.
fn member(n: u32) -> RingMember {
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + n + 1);
    RingMember { identity: identity(IpAddr::V4(address), 80), weight: 1 }
}
