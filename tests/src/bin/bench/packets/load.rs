//! The programs that are measured, loaded once: code and maps then have their places, and keep them.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::Array;
use aya::programs::Xdp;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::flow_log::FlowLog;
use elb_common::limits::FLOWS_PER_OPENING;
use elb_common::names;
use elb_common::room::{self, FlowTable};
use elb_tests::datapath;
use elb_tests::record::{Record, array, hash};
use elb_tests_ebpf::bench::{FLOOR, NOTHING, ROLES, Template, UNCOUNTED, WRAPPER};

use super::cases::{Against, CASES, Case, Records};
use super::sources;
use crate::cycles::Cycles;
use crate::floor;
use crate::turns::{self, Turns, handle};
use crate::world::{self, Kind, To};

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Scale {
    /// In each trial.
    pub cycles: u32,
    /// In each case but those in which nearly every packet makes a record; a power of two.
    pub most_flows: u32,
    /// Records of the flow tables where none should be made.
    pub few_records: u32,
    /// The same where every packet makes one.
    pub usual_records: u32,
    /// The same for each kind of listener whose flows are recorded before: more than twice as many as there are,
    /// since a listener gets half of a table.
    pub many_records: u32,
}

const PASS: u32 = 2;
const TX: u32 = 3;

/// Places among the programs that templates name.
#[derive(Clone, Copy)]
enum Program {
    Nothing,
    Floor,
    /// elb, with flow tables of its own for each kind of [`Records`], and of listener where flows are recorded
    /// before: in a table for both, the records that were made last are in front of the others.
    Settled,
    Moving,
    InTurn,
    Recording,
    /// That which writes the flow log, with the maps of the first.
    Logged,
    /// elb without the counters of connections, with maps of its own.
    Uncounted,
    /// elb with ports of source addresses that clients' flows got, and with those that answers are sent to.
    Bound,
    Answered,
}

pub struct Load {
    turns: Turns,
    settled: Ebpf,
    scale: Scale,
}

impl Load {
    /// Loads the programs, and records the flows of the cases that want it.
    pub fn new(scale: Scale) -> Result<Self> {
        let mut turns = Turns::load(&[WRAPPER, NOTHING])?;
        let load = |places| datapath::load(&world::memory(world::LOOPBACK, places), places);
        let mut settled = load(scale.few_records)?;
        log_flows(&mut settled)?;
        let recorded = [load(scale.many_records)?, load(scale.many_records)?];
        let most = CASES.iter().filter(|case| case.records == Records::Bound);
        let most = most.map(|case| case.flows.min(scale.most_flows)).max().unwrap_or(1);
        let bound = [sources::opened(scale, most)?, sources::answered(scale, most)?];
        let programs = [
            turns.program(NOTHING)?.fd()?.try_clone()?,
            handle(&floor::load()?, FLOOR)?,
            handle(&settled, names::PROGRAM)?,
            handle(&recorded[0], names::PROGRAM)?,
            handle(&recorded[1], names::PROGRAM)?,
            handle(&load(scale.usual_records)?, names::PROGRAM)?,
            handle(&settled, names::LOGGED_PROGRAM)?,
            handle(&uncounted(scale.few_records)?, UNCOUNTED)?,
            handle(&bound[0], names::PROGRAM)?,
            handle(&bound[1], names::PROGRAM)?,
        ];
        turns.name(&programs)?;
        let mut load = Self { turns, settled, scale };
        let mut flows = HashMap::new();
        let opens = |case: &&Case| match case.records {
            Records::Before => true,
            Records::Bound => case.to == To::FullNat,
            Records::None | Records::Created => false,
        };
        for case in CASES.iter().filter(opens) {
            load.connect(case)?;
            let most: &mut u32 = flows.entry(case.to).or_default();
            *most = (*most).max(case.flows.min(scale.most_flows));
        }
        for (object, to) in recorded.iter().zip([To::Moving, To::InTurn]) {
            let (live, wanted) = (table(object, room::V4)?.records, flows[&to]);
            ensure!(live == u64::from(wanted), "{live} flows live, not {wanted}");
        }
        bound.iter().try_for_each(|object| sources::check(object, most))?;
        Ok(load)
    }

    /// Opens all connections of a case, and goes on with them: few at a time, since those that open
    /// have a table of their own, which is smaller.
    fn connect(&mut self, case: &Case) -> Result<()> {
        let flows = case.flows.min(self.scale.most_flows);
        let few = flows.min(self.scale.many_records / FLOWS_PER_OPENING / 2);
        for part in 0..flows / few {
            for kind in [Kind::Syn, Kind::Data] {
                let template = self.of(&Case { kind, flows: few, ..*case })?.part(part);
                let template = template.context("too few flows at a time")?;
                self.run([template; ROLES as usize], few, TX)?;
            }
        }
        Ok(())
    }

    /// Lets a case, what its bar refers to, the floor, and nothing take turns.
    pub fn trial(&mut self, case: &Case) -> Result<Cycles> {
        let floor = template(Program::Floor, Kind::Data, To::Ipip, 1)?;
        let nothing = template(Program::Nothing, Kind::Data, To::Ipip, 1)?;
        let against = match case.bar {
            Some((_, Against::Case(name))) => {
                self.of(CASES.iter().find(|case| case.name == name).context("no such case")?)?
            }
            Some((_, Against::Uncounted)) => {
                Template { program: Program::Uncounted as u32, ..self.of(case)? }
            }
            Some((_, Against::Floor)) | None => floor,
        };
        // The last packet is the first role's.
        let answer = if matches!(case.to, To::Foreign | To::MembersOwn) { PASS } else { TX };
        let cycles = self.scale.cycles;
        self.run([self.of(case)?, against, floor, nothing], turns::packets(cycles), answer)?;
        self.turns.cycles(cycles)
    }

    /// Records, of either stage, of the program that serves cases without recorded flows.
    pub fn records_on_settled_rings(&mut self) -> Result<usize> {
        let mut count = 0;
        for name in [names::OPENINGS_V4, names::FLOWS_V4] {
            count += hash::<FlowKeyV4, Flow>(&mut self.settled, name)?.keys().count();
        }
        for name in [names::OPENINGS_V6, names::FLOWS_V6] {
            count += hash::<FlowKeyV6, Flow>(&mut self.settled, name)?.keys().count();
        }
        Ok(count)
    }

    fn of(&self, case: &Case) -> Result<Template> {
        let most = self.scale.most_flows;
        let (program, flows) = match case.records {
            Records::None if case.is_logged => (Program::Logged, case.flows.min(most)),
            Records::None => (Program::Settled, case.flows.min(most)),
            Records::Before if case.to == To::InTurn => (Program::InTurn, case.flows.min(most)),
            Records::Before => (Program::Moving, case.flows.min(most)),
            Records::Created => (Program::Recording, case.flows),
            Records::Bound if case.to == To::FullBack => (Program::Answered, case.flows.min(most)),
            Records::Bound => (Program::Bound, case.flows.min(most)),
        };
        template(program, case.kind, case.to, flows)
    }

    fn run(&mut self, roles: [Template; ROLES as usize], packets: u32, wanted: u32) -> Result<()> {
        let answer = self.turns.run(WRAPPER, roles, packets)?;
        ensure!(answer == wanted, "the program answered {answer}, not {wanted}");
        Ok(())
    }
}

/// The object without counters of connections.
fn uncounted(places: u32) -> Result<Ebpf> {
    let memory = world::memory(world::LOOPBACK, places);
    datapath::load_from("bench-uncounted", UNCOUNTED, &memory, places)
}

/// Loads the program that writes the flow log, with the usual budget for one CPU of two. It is not read.
fn log_flows(object: &mut Ebpf) -> Result<()> {
    let program = object.program_mut(names::LOGGED_PROGRAM).context("no such program")?;
    <&mut Xdp>::try_from(program)?.load().context("the kernel refuses the program")?;
    let log = FlowLog { budget: 5_000, until: u32::MAX, logged: 1, ..FlowLog::default() };
    Ok(array(object, names::FLOW_LOG)?.set(0, Record(log), 0)?)
}

/// What `FLOW_TABLES` says of an IP version.
fn table(object: &Ebpf, version: usize) -> Result<FlowTable> {
    let map = object.map(names::FLOW_TABLES).context("no FLOW_TABLES")?;
    let map: Array<_, Record<FlowTable>> = map.try_into()?;
    Ok(map.get(&u32::try_from(version)?, 0)?.0)
}

fn template(program: Program, kind: Kind, to: To, flows: u32) -> Result<Template> {
    Ok(Template { program: program as u32, ..world::template(kind, to, flows)? })
}
