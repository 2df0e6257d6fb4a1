//! Clients that exist only as segments: a program in the kernel makes them and gives each to the program
//! under test, a million a second. Nothing is sent: what the program under test counts and writes into
//! its maps is all that comes of them.

use std::{
    net::SocketAddrV4,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, PerCpuArray, PerCpuValues, ProgramArray},
    programs::{
        TestRun as _, TestRunOptions, Xdp,
        links::{FdLink, PinnedLink},
        loaded_programs,
    },
    util::nr_cpus,
};
use elb_common::{
    addr::Be16,
    flow::{FlowKeyV4, Ports},
};
use elb_tests_ebpf::{
    STEPS,
    bench::{FRAME, NEXT, ROLES, TEMPLATES, Template, WRAPPER, flow},
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    environment::bpf_dir,
    netns::NetNs,
    record::{Record, array},
};

/// Clients that there are, each an address of 198.18.0.0/16 (RFC 2544) and a port.
pub const CLIENTS: u32 = 1 << 30;
/// Clients of a stream whose turn it is at the same time: few enough that the flow table remembers them
/// all between two segments of theirs.
const BATCH: u32 = 1 << 14;

const NETWORK: [u8; 4] = [198, 18, 0, 0];
const IP: usize = 14;
const TCP: usize = IP + 20;

/// What a segment is, as its flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The first of a connection.
    Syn = 0x02,
    /// One of an established connection.
    Ack = 0x10,
    /// The client's last.
    Fin = 0x11,
}

/// Plays clients, at a program in the kernel.
pub struct Generator {
    wrapper: Ebpf,
}

impl Generator {
    /// For the program that a pinned link runs now.
    pub fn at_link(pin: &Path) -> Result<Self> {
        let link = PinnedLink::from_pin(pin).with_context(|| pin.display().to_string())?;
        let id = FdLink::from(link).info()?.program_id();
        let found = loaded_programs().find_map(|info| info.ok().filter(|info| info.id() == id));
        let program = found.with_context(|| format!("no program {id}"))?.fd()?;
        let path = bpf_dir()?.join("bench-wrapper");
        let mut wrapper = EbpfLoader::new()
            .load_file(&path)
            .with_context(|| format!("cannot load {}", path.display()))?;
        let wrap: &mut Xdp = wrapper.program_mut(WRAPPER).context("no wrapper")?.try_into()?;
        wrap.load().context("the kernel refuses the wrapper")?;
        let next = wrapper.map_mut(NEXT).context("no program array")?;
        ProgramArray::<&mut MapData>::try_from(next)?.set(0, &program, 0)?;
        Ok(Self { wrapper })
    }

    /// One segment from each of these clients to `target`. The calling thread stays on its CPU from now
    /// on.
    pub fn send(
        &mut self,
        target: SocketAddrV4,
        segment: Segment,
        clients: Range<u32>,
    ) -> Result<()> {
        let mut templates = array(&mut self.wrapper, TEMPLATES)?;
        for role in 0..ROLES {
            templates.set(role, Record(template(target, segment)), 0)?;
        }
        self.begin_at(clients.start)?;
        stay_on_one_cpu()?;
        let wrap: &Xdp = self.wrapper.program(WRAPPER).context("no wrapper")?.try_into()?;
        let options = TestRunOptions {
            data_in: Some(&[0; FRAME]),
            repeat: clients.end - clients.start,
            ..TestRunOptions::default()
        };
        wrap.test_run(options).context("cannot run the program").map(drop)
    }

    /// All of `segments`, one after the other, from each of these clients, some thousand at a time.
    pub fn play(
        &mut self,
        target: SocketAddrV4,
        segments: &[Segment],
        clients: Range<u32>,
    ) -> Result<()> {
        for start in clients.clone().step_by(BATCH as usize) {
            let batch = start..clients.end.min(start.saturating_add(BATCH));
            for segment in segments {
                self.send(target, *segment, batch.clone())?;
            }
        }
        Ok(())
    }

    /// The next frame is the first of this client, whatever CPU makes it.
    fn begin_at(&mut self, client: u32) -> Result<()> {
        let possible = nr_cpus().map_err(|(file, error)| anyhow::anyhow!("{file}: {error}"))?;
        let map = self.wrapper.map_mut(STEPS).context("no steps")?;
        let mut steps: PerCpuArray<_, Record<u32>> = map.try_into()?;
        for (counter, value) in [(0, client), (1, 0)] {
            steps.set(counter, PerCpuValues::try_from(vec![Record(value); possible])?, 0)?;
        }
        Ok(())
    }
}

/// What a stream of clients does.
#[derive(Clone, Debug)]
pub struct Play {
    /// Where to.
    pub target: SocketAddrV4,
    /// What each client sends.
    pub segments: Vec<Segment>,
    /// The first client; more follow, one after the other.
    pub first: u32,
    /// Clients a second, if not as many as there can be.
    pub rate: Option<u32>,
}

/// Clients that come one after the other, until they are stopped.
#[derive(Debug)]
pub struct Stream {
    ends: Arc<AtomicBool>,
    played: Arc<AtomicU32>,
    begun: Instant,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Stream {
    /// Lets them come, to the program of a pinned link in `netns`.
    pub fn start(netns: &NetNs, link: PathBuf, play: Play) -> Self {
        let (ends, played) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (messages, counted) = (ends.clone(), played.clone());
        let thread = netns.spawn(move || come(&link, &play, &messages, &counted));
        Self { ends, played, begun: Instant::now(), thread: Some(thread) }
    }

    /// How many have sent all that they send.
    pub fn played(&self) -> u32 {
        self.played.load(Ordering::Relaxed)
    }

    /// How many a second.
    pub fn rate(&self) -> f64 {
        f64::from(self.played()) / self.begun.elapsed().as_secs_f64()
    }

    /// Lets no more come; how many there were.
    pub fn stop(mut self) -> Result<u32> {
        self.ends.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it is stopped once")?;
        let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ended.and_then(|played| played).context("no clients can be played")?;
        Ok(self.played())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("a generator of segments panicked");
        }
    }
}

fn come(link: &Path, play: &Play, ends: &AtomicBool, played: &AtomicU32) -> Result<()> {
    // Each run of a program waits for the kernel for some tens of milliseconds (`synchronize_rcu`).
    const PARTS: u32 = 5;
    let mut generator = Generator::at_link(link)?;
    let batch = play.rate.map_or(BATCH, |rate| (rate / PARTS).max(1));
    let begun = Instant::now();
    let mut next = play.first;
    while !ends.load(Ordering::Relaxed) {
        generator.play(play.target, &play.segments, next..next + batch)?;
        next += batch;
        let all = played.fetch_add(batch, Ordering::Relaxed) + batch;
        if let Some(rate) = play.rate {
            let due = begun + Duration::from_secs_f64(f64::from(all) / f64::from(rate));
            sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    Ok(())
}

/// The key of a client's connection to `target` in the flow table.
pub fn key(client: u32, target: SocketAddrV4) -> FlowKeyV4 {
    let flow = flow(client, CLIENTS - 1);
    let [a, b, ..] = NETWORK;
    let [.., c, d] = (flow >> 14).to_be_bytes();
    let [.., high, low] = (1024 + (flow & 0x3fff)).to_be_bytes();
    let ports = Ports {
        source: Be16::new(u16::from_be_bytes([high, low])),
        destination: Be16::new(target.port()),
    };
    // The wrapper stores the number of the client's address as the processor does.
    let source = if cfg!(target_endian = "little") { [a, b, d, c] } else { [a, b, c, d] };
    FlowKeyV4::new(bytemuck::cast(source), bytemuck::cast(target.ip().octets()), ports, 6)
}

fn template(target: SocketAddrV4, segment: Segment) -> Template {
    let length = (FRAME - IP).to_be_bytes();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xc1, 8, 0];
    frame.extend([0x45, 0, length[6], length[7], 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(NETWORK);
    frame.extend(target.ip().octets());
    frame.extend([4, 0]);
    frame.extend(target.port().to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, segment as u8, 0xff, 0xff, 0, 0, 0, 0]);
    frame.resize(FRAME, 0);
    let frame = frame.try_into().expect("it has this size");
    Template { mask: CLIENTS - 1, ..Template::new(frame, IP + 12, [IP + 14, TCP]) }
}

/// A CPU's frames are numbered, so all of a call must be made by one.
fn stay_on_one_cpu() -> Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for allowed CPUs")?;
    let all = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    if all.clone().count() == 1 {
        return Ok(());
    }
    let here = nix::sched::sched_getcpu().context("cannot find out the CPU")?;
    let mut set = CpuSet::new();
    set.set(here)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on one CPU")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_apart() {
        let target = "192.0.2.10:80".parse().unwrap();
        let keys: std::collections::BTreeSet<_> =
            (0..1 << 16).map(|client| key(client, target).words()).collect();
        assert_eq!(keys.len(), 1 << 16);
    }
}
