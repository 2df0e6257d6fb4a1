//! `nat` and the kernel's destination NAT (nft) by turns, over virtual Ethernet devices, all work on one CPU.
//!
//! ```text
//!   generator ── gen0 ═ lb0 ── elb ─────────── lb1 ═ far1, which drops
//!                          └── the kernel, nft ── lb2 ═ far2, which drops
//! ```
//!
//! Packets come to one device, whose program takes turns: elb translates and sends them on, or they are passed to the
//! kernel, which does the same by a rule. Generator, translation and what drops run one after the other, so
//! the time of a turn is that of all three; a program that drops at once shows what of it is no translation.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::xdp::DevMapHash;
use aya::programs::XdpMode;
use elb_common::names;
use elb_tests::datapath;
use elb_tests::netns::NetNs;
use elb_tests::process;
use elb_tests::statistics::Statistics;
use elb_tests::veth::{self, End};
use elb_tests::wait::STUCK;
use elb_tests_ebpf::bench::{NOTHING, ROLES, SEND, TAKE_TURNS, TURN};

use crate::cpu;
use crate::cycles::{self, Counted, Cycles, Means};
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};
use crate::turns::{self, CYCLES, Turns, handle};
use crate::world::{self, To};

/// Flows of IPv4 differ in their ports only, since the kernel looks at the header's checksum.
const CASES: [(To, u32, &str); 4] = [
    (To::Nat, 1, "IPv4, one flow"),
    (To::Nat, 1 << 14, "IPv4, 16,384 flows"),
    (To::NatV6, 1, "IPv6, one flow"),
    (To::NatV6, 1 << 16, "IPv6, 65,536 flows"),
];
const RECORDS: u32 = 1 << 16;
/// How many times the packets of nft elb must translate in the same time.
const BAR: f64 = 5.0;
/// Object and program that pass all to the kernel.
const PASS: (&str, &str) = ("xdp-pass", "pass");

/// Places among the programs that templates name.
#[derive(Clone, Copy)]
enum Program {
    Elb,
    Kernel,
    Bare,
}

pub fn section(effort: Effort) -> Result<Section> {
    let (loads, rounds) = effort.of((2, 3), (5, 10));
    let mut found = CASES.map(|_| Vec::new());
    for _ in 0..loads {
        let mut pair = Pair::new()?;
        let cycles = cpu::alone(|| pair.measure(rounds))?;
        for (loads, cycles) in found.iter_mut().zip(cycles) {
            loads.push(cycles);
        }
    }
    let notes = vec![format!(
        "Medians of {loads} loads of the programs, which take turns of {TURN} packets with the kernel. nft translates \
         to one member by one rule; elb chooses among 100. A packet that is dropped at once costs what making and \
         delivering it does; `beyond` that is what comes after, with the device that it leaves by."
    )];
    let rows = CASES.iter().zip(&found).flat_map(|((.., case), loads)| rows(case, loads));
    Ok(Section { name: "nat", rows: rows.collect(), notes })
}

struct Pair {
    turns: Turns,
    balancer: NetNs,
    // Whatever is attached goes with its object, and devices with their namespaces.
    _programs: [Ebpf; 2],
    others: [NetNs; 2],
}

impl Pair {
    fn new() -> Result<Self> {
        let (generator, far) = (NetNs::quiet("generator")?, NetNs::quiet("far")?);
        let balancer = NetNs::new("lb")?;
        // The generator's frames are for this Ethernet address.
        veth::join(&end(&generator, "gen0", 9), &end(&balancer, "lb0", 1))?;
        veth::join(&end(&balancer, "lb1", 2), &end(&far, "far1", 3))?;
        veth::join(&end(&balancer, "lb2", 4), &end(&far, "far2", 5))?;
        let mut turns = Turns::load(&[SEND, TAKE_TURNS, NOTHING])?;
        let index = generator.index_of("gen0")?;
        generator.run(|| turns.send_by(index))??;
        attach(&mut turns, TAKE_TURNS, &balancer, "lb0")?;
        attach(&mut turns, NOTHING, &far, "far1")?;
        translate_by_kernel(&balancer)?;

        let (arrive, leave) = (balancer.index_of("lb0")?, balancer.index_of("lb1")?);
        let mut memory = world::memory(leave, RECORDS);
        let ours = memory.interfaces[&leave];
        memory.interfaces.insert(arrive, ours);
        let mut elb = datapath::load(&memory, RECORDS)?;
        let devices = elb.map_mut(names::DEVMAP).context("no device map")?;
        balancer.run(|| -> Result<()> {
            Ok(DevMapHash::try_from(devices)?.insert(leave, leave, None, 0)?)
        })??;
        let pass = turns::load(PASS.0, &[PASS.1])?;
        let bare = turns.program(NOTHING)?.fd()?.try_clone()?;
        turns.name(&[handle(&elb, names::PROGRAM)?, handle(&pass, PASS.1)?, bare])?;
        Ok(Self { turns, balancer, _programs: [elb, pass], others: [generator, far] })
    }

    /// Cycles of each case.
    fn measure(&mut self, rounds: usize) -> Result<[Cycles; CASES.len()]> {
        let mut found = CASES.map(|_| Cycles::new());
        for _ in 0..rounds {
            for ((to, flows, case), cycles) in CASES.iter().zip(&mut found) {
                let frame = world::summed_template(*to, *flows)?;
                let role = |program| {
                    let mut role = frame;
                    role.program = program as u32;
                    role
                };
                let roles = [Program::Elb, Program::Kernel, Program::Bare, Program::Bare].map(role);
                // Some more, since the last frames of a batch end no turn.
                let packets = turns::packets(CYCLES) + ROLES * TURN;
                let before = self.left()?;
                self.turns.send(SEND, roles, packets).context(*case)?;
                let after = self.left()?;
                let part = u64::from(packets / ROLES);
                let each = [after[0] - before[0], after[1] - before[1]];
                ensure!(
                    each.iter().all(|left| *left >= part - u64::from(2 * TURN)),
                    "{case}: of {part} packets, elb sent on {} and nft {}",
                    each[0],
                    each[1]
                );
                cycles.extend(self.turns.cycles(CYCLES)?);
            }
        }
        Ok(found)
    }

    /// Packets that left by each way, so far.
    fn left(&self) -> Result<[u64; 2]> {
        let [_, far] = &self.others;
        let elb = Statistics::read(far, "far1")?.get("rx_xdp_drops")?;
        let devices = self.balancer.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("lb2:"));
        // Eight figures of what came, and then bytes and packets of what was sent.
        let sent = line.and_then(|line| line.split_whitespace().nth(9)).context("no lb2")?;
        Ok([elb, sent.parse()?])
    }
}

/// One rule for each version of IP, and nothing to ask on the way.
fn translate_by_kernel(balancer: &NetNs) -> Result<()> {
    let rules = "table inet nat { chain prerouting { type nat hook prerouting priority dstnat; \
                 ip daddr 192.0.2.10 tcp dport 87 dnat ip to 10.0.0.7:8080; \
                 ip6 daddr 2001:db8::10 tcp dport 88 dnat ip6 to [fd00::7]:8080; }; }";
    let mut nft = balancer.command("nft");
    nft.arg(rules);
    process::output(nft, STUCK)?;
    for (key, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/lb0/rp_filter", "0"),
        // Frames of the bench have no checksum of TCP.
        ("netfilter/nf_conntrack_checksum", "0"),
    ] {
        balancer.sysctl(key, value)?;
    }
    balancer
        .ip("addr add 10.0.255.1/16 dev lb2\naddr add fd00::ffff/64 dev lb2 nodad\n\
             neigh add 10.0.0.7 lladdr 02:00:00:01:00:07 dev lb2 nud permanent\n\
             neigh add fd00::7 lladdr 02:00:00:01:00:07 dev lb2 nud permanent")
        .map(drop)
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

fn rows(case: &str, loads: &[Cycles]) -> [Row; 3] {
    let counted = Counted::of(loads, &cycles::limits(loads));
    let beyond = |turn: fn(&Means) -> f64| move |of: &Means| turn(of) - of.floor;
    let row = |name: &str, turn: fn(&Means) -> f64, bars| {
        let beyond = beyond(turn);
        let times = counted.trials(|of| (of.against - of.floor) / beyond(of));
        let is_more = counted.median(beyond) > 0.0;
        let only = |figure: f64| if is_more { figure } else { f64::NAN };
        let figures = vec![
            Figure::new("ns_a_packet", 0, counted.median(turn)),
            Figure::new("of_nft", 2, counted.median(|of| of.against / turn(of))),
            Figure::new("ns_beyond_a_drop", 0, only(counted.median(beyond))),
            Figure::new("beyond,_of_nft", 2, only(times.median())),
            Figure::new("spread", 0, only(times.spread() * 100.0)),
            Figure::new("quiet", 0, counted.quiet as f64),
        ];
        Row { case: format!("{name}, {case}"), figures, bars }
    };
    // All of it, with what both have in common; the column `beyond` has it without.
    let of_nft = counted.median(|of| of.against / of.subject);
    [
        row("dropped at once", |of| of.floor, Vec::new()),
        row("nft, DNAT", |of| of.against, Vec::new()),
        row("elb, nat", |of| of.subject, vec![Bar::at_least(of_nft, BAR, "× nft")]),
    ]
}
