//! A flood of segments at a program in the kernel, as many as the CPUs run it on. Nothing is sent: what
//! the program writes into its maps is all that changes.

use std::{
    net::SocketAddrV4,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, PerCpuArray, PerCpuValues, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp, links::PinnedLink, loaded_programs},
    util::nr_cpus,
};
use elb_tests_ebpf::{
    STEPS,
    bench::{FRAME, NEXT, ROLES, TEMPLATES, TURN, Template, WRAPPER},
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    environment::bpf_dir,
    record::{Record, array},
};

/// Clients, by address and port, of all CPUs; a power of two.
const CLIENTS: u32 = 1 << 24;
/// Segments that a CPU makes at a time.
const BATCH: u32 = 1 << 12;

/// What segments of a flood say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// They open a connection.
    Opening,
    /// They belong to a connection, which no one opened.
    Acknowledgement,
}

/// One of the floods that come at once: its target and its segments.
pub type Stream = (SocketAddrV4, Segment);

/// A flood at a program.
pub struct Flood {
    wrapper: Ebpf,
}

/// What a flood was.
#[derive(Clone, Copy, Debug)]
pub struct Flooded {
    /// Segments, each of a client of its own as long as there are as many clients.
    pub segments: u64,
    /// How long it took.
    pub duration: Duration,
}

impl Flood {
    /// Will flood the program that a pinned link runs.
    pub fn at_link(pin: &Path) -> Result<Self> {
        let link = PinnedLink::from_pin(pin).with_context(|| pin.display().to_string())?;
        let id = aya::programs::links::FdLink::from(link).info()?.program_id();
        let found = loaded_programs().find_map(|info| info.ok().filter(|info| info.id() == id));
        let program = found.with_context(|| format!("no program {id}"))?.fd()?;
        Self::at(&program)
    }

    /// Will flood this program.
    pub fn at(program: &ProgramFd) -> Result<Self> {
        let path = bpf_dir()?.join("bench-wrapper");
        let mut wrapper = EbpfLoader::new()
            .load_file(&path)
            .with_context(|| format!("cannot load {}", path.display()))?;
        let wrap: &mut Xdp = wrapper.program_mut(WRAPPER).context("no wrapper")?.try_into()?;
        wrap.load().context("the kernel refuses the wrapper")?;
        let next = wrapper.map_mut(NEXT).context("no program array")?;
        ProgramArray::<&mut MapData>::try_from(next)?.set(0, program, 0)?;
        Ok(Self { wrapper })
    }

    /// Opening segments to `target` from all CPUs: at least `each` on each, for at least `duration`.
    pub fn run(&mut self, target: SocketAddrV4, each: u32, duration: Duration) -> Result<Flooded> {
        self.spread([(target, Segment::Opening); ROLES as usize], CLIENTS, each, duration)
    }

    /// Segments of four streams from so many clients, a power of two: each client is one of a stream, and
    /// sends so many segments; some more, where the number of CPUs is no power of two.
    pub fn streams(
        &mut self,
        streams: [Stream; ROLES as usize],
        clients: u32,
        times: u32,
    ) -> Result<Flooded> {
        let apart = apart(clients, cpus()?.len())?;
        self.spread(streams, clients, apart * times, Duration::ZERO)
    }

    fn spread(
        &mut self,
        streams: [Stream; ROLES as usize],
        clients: u32,
        each: u32,
        duration: Duration,
    ) -> Result<Flooded> {
        let mut templates = array(&mut self.wrapper, TEMPLATES)?;
        for (role, stream) in (0..).zip(streams) {
            templates.set(role, Record(template(stream, clients)), 0)?;
        }
        let cpus = cpus()?;
        self.spread_clients(clients, cpus.len())?;
        let wrap: &Xdp = self.wrapper.program(WRAPPER).context("no wrapper")?.try_into()?;
        let begun = Instant::now();
        let segments = thread::scope(|scope| {
            let flood = |cpu: usize| move || flood(wrap, cpu, each, begun + duration);
            let threads: Vec<_> = cpus.iter().map(|cpu| scope.spawn(flood(*cpu))).collect();
            let all = threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            all.sum::<Result<u64>>()
        })?;
        Ok(Flooded { segments, duration: begun.elapsed() })
    }

    /// Gives each CPU clients of its own.
    fn spread_clients(&mut self, clients: u32, cpus: usize) -> Result<()> {
        let possible = nr_cpus().map_err(|(file, error)| anyhow::anyhow!("{file}: {error}"))?;
        let apart = apart(clients, cpus)?;
        let starts = (0..u32::try_from(possible)?).map(|cpu| Record(cpu.wrapping_mul(apart)));
        let map = self.wrapper.map_mut(STEPS).context("no steps")?;
        let mut steps: PerCpuArray<_, Record<u32>> = map.try_into()?;
        steps.set(0, PerCpuValues::try_from(starts.collect::<Vec<_>>())?, 0)?;
        steps.set(1, PerCpuValues::try_from(vec![Record(0); possible])?, 0)?;
        Ok(())
    }
}

/// How far apart the clients are that CPUs begin with: whole rounds of turns, so that a client that comes
/// again is in the turn of its stream.
fn apart(clients: u32, cpus: usize) -> Result<u32> {
    Ok((clients / u32::try_from(cpus)?).next_multiple_of(TURN * ROLES))
}

fn flood(wrap: &Xdp, cpu: usize, each: u32, until: Instant) -> Result<u64> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on one CPU")?;
    let mut segments = 0;
    while segments < u64::from(each) || Instant::now() < until {
        let options = TestRunOptions {
            data_in: Some(&[0; FRAME]),
            repeat: BATCH,
            ..TestRunOptions::default()
        };
        wrap.test_run(options).context("cannot run the program")?;
        segments += u64::from(BATCH);
    }
    Ok(segments)
}

fn cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for allowed CPUs")?;
    Ok((0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect())
}

/// A segment from 198.18.0.0 (RFC 2544), and where the client's number goes.
fn template((target, segment): Stream, clients: u32) -> Template {
    const IP: usize = 14;
    const TCP: usize = IP + 20;
    let length = (FRAME - IP).to_be_bytes();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xc1, 8, 0];
    frame.extend([0x45, 0, length[6], length[7], 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend([198, 18, 0, 0]);
    frame.extend(target.ip().octets());
    frame.extend([4, 0]);
    frame.extend(target.port().to_be_bytes());
    let flags = match segment {
        Segment::Opening => 0x02,
        Segment::Acknowledgement => 0x10,
    };
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame.resize(FRAME, 0);
    let frame = frame.try_into().expect("it has this size");
    Template { mask: clients - 1, ..Template::new(frame, IP + 12, [IP + 14, TCP]) }
}
