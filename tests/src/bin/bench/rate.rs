//! Packets a second over a pair of virtual Ethernet devices, all work on one CPU.
//!
//! ```text
//!   generator ── gen0 ═ lb0 ── the program whose turn it is
//!   sink      ──┘
//! ```
//!
//! The generator makes frames and sends them by gen0; the programs on lb0 take turns in sending
//! them back; the sink on gen0 drops them. Generator, program and sink run one after the other on
//! one CPU, so the time of a turn is that of all three, the device between them included.

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::programs::XdpMode;
use elb_common::names;
use elb_tests::datapath;
use elb_tests::netns::NetNs;
use elb_tests::statistics::Statistics;
use elb_tests::veth::{self, End};
use elb_tests_ebpf::bench::{BOUNCE, FLOOR, NOTHING, ROLES, SEND, TAKE_TURNS, TURN, Template};

use crate::cpu;
use crate::cycles::{self, Counted, Cycles, Means};
use crate::effort::Effort;
use crate::floor;
use crate::report::{Bar, Figure, Row, Section};
use crate::turns::{self, CYCLES, Turns, handle};
use crate::world::{self, Kind, To};

const FLOWS: [(u32, &str); 2] = [(1, "one flow"), (1 << 20, "1,048,576 flows")];
const RECORDS: u32 = 1 << 16;
/// What of the floor's rate elb must reach.
const BAR: f64 = 0.9;

/// Places among the programs that templates name.
#[derive(Clone, Copy)]
enum Program {
    Elb,
    Floor,
    Bare,
}

pub fn section(effort: Effort) -> Result<Section> {
    let (loads, rounds) = effort.of((3, 5), (7, 20));
    let mut found = [Vec::new(), Vec::new()];
    let mut lost = 0;
    for _ in 0..loads {
        let mut pair = Pair::new()?;
        let cycles = cpu::alone(|| pair.measure(rounds))?;
        for (loads, cycles) in found.iter_mut().zip(cycles) {
            loads.push(cycles);
        }
        lost += pair.lost()?;
    }
    let notes = vec![format!(
        "Medians of {loads} loads of the programs, which take turns of {TURN} packets. Frames that \
         a device lost: {lost}."
    )];
    let rows = FLOWS.iter().zip(&found).flat_map(|((_, flows), loads)| rows(flows, loads));
    Ok(Section { name: "rate", rows: rows.collect(), notes })
}

struct Pair {
    turns: Turns,
    generator: NetNs,
    sent: u64,
    _elb: Ebpf,
    _balancer: NetNs,
}

impl Pair {
    fn new() -> Result<Self> {
        let (generator, balancer) = (NetNs::quiet("generator")?, NetNs::quiet("lb")?);
        veth::join(&end(&generator, "gen0", 1), &end(&balancer, "lb0", 2))?;
        let mut turns = Turns::load(&[SEND, TAKE_TURNS, NOTHING, BOUNCE])?;
        let index = generator.index_of("gen0")?;
        generator.run(|| turns.send_by(index))??;
        attach(&mut turns, NOTHING, &generator, "gen0")?;
        attach(&mut turns, TAKE_TURNS, &balancer, "lb0")?;
        let elb = datapath::load(&world::memory(balancer.index_of("lb0")?, RECORDS), RECORDS)?;
        let bare = turns.program(BOUNCE)?.fd()?.try_clone()?;
        turns.name(&[handle(&elb, names::PROGRAM)?, handle(&floor::load()?, FLOOR)?, bare])?;
        Ok(Self { turns, generator, sent: 0, _elb: elb, _balancer: balancer })
    }

    /// Cycles for each number of flows.
    fn measure(&mut self, rounds: usize) -> Result<[Cycles; 2]> {
        let mut found = [Cycles::new(), Cycles::new()];
        for _ in 0..rounds {
            for ((flows, name), cycles) in FLOWS.iter().zip(&mut found) {
                let role = |program: Program| -> Result<Template> {
                    let frame = world::template(Kind::Data, To::Ipip, *flows)?;
                    Ok(Template { program: program as u32, ..frame })
                };
                // Each after a turn of the bare one: in a second turn in a row, a program would find
                // in the caches what of its ring it read in the first.
                let bare = role(Program::Bare)?;
                let roles = [role(Program::Elb)?, bare, role(Program::Floor)?, bare];
                // Some more, since the last frames of a batch end no turn.
                let packets = turns::packets(CYCLES) + ROLES * TURN;
                self.turns.send(SEND, roles, packets).context(*name)?;
                self.sent += u64::from(packets);
                cycles.extend(self.turns.cycles(CYCLES)?);
            }
        }
        Ok(found)
    }

    /// Frames that were sent and did not come back.
    fn lost(&self) -> Result<u64> {
        let back = Statistics::read(&self.generator, "gen0")?.get("rx_xdp_drops")?;
        ensure!(back <= self.sent, "more frames came back than were sent");
        Ok(self.sent - back)
    }
}

fn attach(turns: &mut Turns, program: &str, netns: &NetNs, device: &str) -> Result<()> {
    let attach =
        || turns.program(program)?.attach(device, XdpMode::Driver).map_err(anyhow::Error::from);
    netns.run(attach)?.with_context(|| format!("cannot attach {program} to {device}")).map(drop)
}

fn end(netns: &NetNs, name: &str, number: u8) -> End {
    let (netns, name, mac) = (netns.clone(), name.to_owned(), [2, 0, 0, 0, 0, number]);
    End { netns, name, mac, mtu: 1500, addresses: Vec::new() }
}

fn rows(flows: &str, loads: &[Cycles]) -> [Row; 3] {
    let counted = Counted::of(loads, &cycles::limits(loads));
    let row = |name: &str, turn: fn(&Means) -> f64, bars| {
        let of_bare = counted.trials(|of| of.nothing / turn(of));
        let figures = vec![
            Figure::new("million_packets_a_second", 2, counted.median(|of| 1e3 / turn(of))),
            Figure::new("of_bare_XDP_TX", 2, of_bare.median()),
            Figure::new("spread", 0, of_bare.spread() * 100.0),
            Figure::new("quiet", 0, counted.quiet as f64),
        ];
        Row { case: format!("{name}, {flows}"), figures, bars }
    };
    let of_floor = counted.median(|of| of.floor / of.subject);
    [
        row("bare XDP_TX", |of| of.nothing, Vec::new()),
        row("floor", |of| of.floor, Vec::new()),
        row("elb", |of| of.subject, vec![Bar::at_least(of_floor, BAR, "× floor")]),
    ]
}
