//! CPU time of a program, net of the wrapper that prepares its packets.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{MapData, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use elb_common::names;
use elb_common::ring::{CHUNK, Chunk};
use elb_tests::datapath;
use elb_tests::environment::bpf_dir;
use elb_tests::record::{Record, array, hash};
use elb_tests_ebpf::bench::{
    FLOOR, FLOOR_BACKENDS, FLOOR_LISTENERS, FLOOR_RINGS, FRAME, NEXT, NOTHING, TEMPLATE, WRAPPER,
};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::cases::{Case, Kind, To};
use crate::world;

/// Records of the flow tables: more than any case has flows that are recorded.
const FLOW_RECORDS: u32 = 1 << 22;

pub struct Bench {
    wrapper: Ebpf,
    datapath: Ebpf,
    floor: Ebpf,
    trials: usize,
    packets: u32,
}

impl Bench {
    /// Loads all programs and stays on one CPU.
    pub fn new(trials: usize, packets: u32) -> Result<Self> {
        let mut cpus = CpuSet::new();
        cpus.set(1).or_else(|_| cpus.set(0))?;
        sched_setaffinity(Pid::from_raw(0), &cpus).context("cannot stay on one CPU")?;
        let mut wrapper = load("bench-wrapper", &[WRAPPER, NOTHING])?;
        let floor = load_floor()?;
        let datapath = datapath::load(&world::memory(), FLOW_RECORDS)?;
        let template = world::template_of(Kind::Data, To::Ipip, 1)?;
        array(&mut wrapper, TEMPLATE)?.set(0, Record(template), 0)?;
        Ok(Self { wrapper, datapath, floor, trials, packets })
    }

    /// Nanoseconds of the floor, with one flow.
    pub fn floor(&mut self) -> Result<f64> {
        let template = world::template_of(Kind::Data, To::Ipip, 1)?;
        array(&mut self.wrapper, TEMPLATE)?.set(0, Record(template), 0)?;
        let floor = fd(&self.floor, FLOOR)?;
        self.net(&floor, TX)
    }

    /// Nanoseconds of a case.
    pub fn case(&mut self, case: &Case) -> Result<f64> {
        let program = fd(&self.datapath, names::PROGRAM)?;
        if case.recorded {
            let syns = world::template_of(Kind::Syn, case.to, case.flows)?;
            array(&mut self.wrapper, TEMPLATE)?.set(0, Record(syns), 0)?;
            self.call(&program)?;
            self.run(case.flows.max(1000), TX)?;
        }
        let template = world::template(case)?;
        array(&mut self.wrapper, TEMPLATE)?.set(0, Record(template), 0)?;
        let action = if case.to == To::Foreign { PASS } else { TX };
        self.net(&program, action).with_context(|| case.name)
    }

    /// The interquartile mean of trials, each with its own measurement of the wrapper.
    fn net(&mut self, program: &ProgramFd, action: u32) -> Result<f64> {
        let nothing = fd(&self.wrapper, NOTHING)?;
        self.call(program)?;
        self.run(self.packets, action)?;
        let mut trials = Vec::with_capacity(self.trials);
        for _ in 0..self.trials {
            self.call(program)?;
            let gross = self.run(self.packets, action)?;
            self.call(&nothing)?;
            trials.push(gross - self.run(self.packets, DROP)?);
        }
        Ok(interquartile_mean(&mut trials))
    }

    fn call(&mut self, program: &ProgramFd) -> Result<()> {
        let map = self.wrapper.map_mut(NEXT).context("no program array")?;
        let mut map: ProgramArray<&mut MapData> = map.try_into()?;
        Ok(map.set(0, program, 0)?)
    }

    /// CPU nanoseconds a packet, of the wrapper and what it calls.
    fn run(&self, packets: u32, action: u32) -> Result<f64> {
        let program: &Xdp = self.wrapper.program(WRAPPER).context("no wrapper")?.try_into()?;
        let options = TestRunOptions {
            data_in: Some(&[0; FRAME]),
            repeat: packets,
            ..TestRunOptions::default()
        };
        let before = cpu_time()?;
        let result = program.test_run(options)?;
        let took = cpu_time()? - before;
        ensure!(
            result.return_value == action,
            "the program answered {}, not {action}: it does not do what is measured",
            result.return_value
        );
        Ok(took.as_nanos() as f64 / f64::from(packets))
    }
}

const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

fn load(object: &str, programs: &[&str]) -> Result<Ebpf> {
    let path = bpf_dir()?.join(object);
    let mut ebpf = EbpfLoader::new()
        .load_file(&path)
        .with_context(|| format!("cannot load {}", path.display()))?;
    for name in programs {
        let program: &mut Xdp = ebpf.program_mut(name).context("no such program")?.try_into()?;
        program.load().with_context(|| format!("the kernel refuses {name}"))?;
    }
    Ok(ebpf)
}

fn load_floor() -> Result<Ebpf> {
    let mut floor = load("bench-floor", &[FLOOR])?;
    let world::Floor { key, listener, slots, backends } = world::floor();
    hash(&mut floor, FLOOR_LISTENERS)?.insert(Record(key), Record(listener), 0)?;
    let mut rings = array(&mut floor, FLOOR_RINGS)?;
    for (index, slots) in (0..).zip(slots.chunks(CHUNK as usize)) {
        let chunk: Chunk =
            std::array::from_fn(|i| slots.get(i).map_or(0, |slot| u32::from(slot.cur())));
        rings.set(index, Record(chunk), 0)?;
    }
    let mut records = array(&mut floor, FLOOR_BACKENDS)?;
    for (id, backend) in backends {
        records.set(u32::from(id), Record(backend), 0)?;
    }
    Ok(floor)
}

fn fd(object: &Ebpf, program: &str) -> Result<ProgramFd> {
    let program: &Xdp = object.program(program).context("no such program")?.try_into()?;
    Ok(program.fd()?.try_clone()?)
}

fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The mean of the middle half: neither a lucky trial nor a disturbed one counts.
fn interquartile_mean(trials: &mut [f64]) -> f64 {
    trials.sort_by(f64::total_cmp);
    let quarter = trials.len() / 4;
    let middle = &trials[quarter..trials.len() - quarter];
    middle.iter().sum::<f64>() / middle.len() as f64
}
