//! CPU time of a program, net of the wrapper that prepares its packets.

use std::thread::available_parallelism;
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
    FLOOR, FLOOR_BACKENDS, FLOOR_LISTENERS, FLOOR_RINGS, FRAME, NEXT, NOTHING, TEMPLATE, Template,
    WRAPPER,
};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::Effort;
use crate::cases::{Case, Kind, To};
use crate::world;

/// What is measured: a program, its packets, and what it must answer.
struct Subject {
    program: ProgramFd,
    template: Template,
    action: u32,
}

pub struct Bench {
    wrapper: Ebpf,
    datapath: Ebpf,
    floor: Ebpf,
    rounds: usize,
    packets: u32,
}

impl Bench {
    /// Loads all programs and stays on one CPU.
    pub fn new(effort: &Effort) -> Result<Self> {
        // The second, if there is one: interrupts tend to go to the first.
        let mut cpus = CpuSet::new();
        cpus.set(usize::from(available_parallelism()?.get() > 1))?;
        sched_setaffinity(Pid::from_raw(0), &cpus).context("cannot stay on one CPU")?;
        let wrapper = load("bench-wrapper", &[WRAPPER, NOTHING])?;
        let floor = load_floor()?;
        let datapath = datapath::load(&world::memory(), effort.records)?;
        Ok(Self { wrapper, datapath, floor, rounds: effort.rounds, packets: effort.packets })
    }

    /// Nanoseconds of the floor, and of each case.
    ///
    /// Each round measures the wrapper alone, the floor and every case, one right after the other:
    /// a machine that is slow for a while is slow for all of them. Then the interquartile mean over
    /// the rounds.
    pub fn run(&mut self, cases: &[Case]) -> Result<(f64, Vec<f64>)> {
        let one_flow = world::template_of(Kind::Data, To::Ipip, 1)?;
        let nothing = fd(&self.wrapper, NOTHING)?;
        let nothing = Subject { program: nothing, template: one_flow, action: DROP };
        let floor = fd(&self.floor, FLOOR)?;
        let mut subjects = vec![Subject { program: floor, template: one_flow, action: TX }];
        for case in cases {
            subjects.push(self.subject(case).with_context(|| case.name)?);
        }
        let mut net: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
        for round in 0..=self.rounds {
            for (subject, net) in subjects.iter().zip(&mut net) {
                let gross = self.measure(subject, self.packets)?;
                let wrapper = self.measure(&nothing, self.packets)?;
                // The first round warms up.
                if round > 0 {
                    net.push(gross - wrapper);
                }
            }
        }
        let mut means = net.iter_mut().map(|trials| interquartile_mean(trials));
        Ok((means.next().context("the floor")?, means.collect()))
    }

    /// What a case needs before it is measured: its flows are recorded.
    fn subject(&mut self, case: &Case) -> Result<Subject> {
        let program = fd(&self.datapath, names::PROGRAM)?;
        if case.recorded {
            let template = world::template_of(Kind::Syn, case.to, case.flows)?;
            let syns = Subject { program: program.try_clone()?, template, action: TX };
            self.measure(&syns, case.flows.max(1000))?;
        }
        let action = if case.to == To::Foreign { PASS } else { TX };
        Ok(Subject { program, template: world::template(case)?, action })
    }

    /// CPU nanoseconds a packet, of the wrapper and what it calls.
    fn measure(&mut self, subject: &Subject, packets: u32) -> Result<f64> {
        array(&mut self.wrapper, TEMPLATE)?.set(0, Record(subject.template), 0)?;
        let map = self.wrapper.map_mut(NEXT).context("no program array")?;
        ProgramArray::<&mut MapData>::try_from(map)?.set(0, &subject.program, 0)?;
        let wrapper: &Xdp = self.wrapper.program(WRAPPER).context("no wrapper")?.try_into()?;
        let options = TestRunOptions {
            data_in: Some(&[0; FRAME]),
            repeat: packets,
            ..TestRunOptions::default()
        };
        let before = cpu_time()?;
        let result = wrapper.test_run(options)?;
        let took = cpu_time()? - before;
        ensure!(
            result.return_value == subject.action,
            "the program answered {}, not {}: it does not do what is measured",
            result.return_value,
            subject.action
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
