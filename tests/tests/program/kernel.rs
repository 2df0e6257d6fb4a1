//! The program in the kernel: loaded, its maps filled from a `Memory`, run on one frame at a time.

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::{
    Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues, RingBuf, xdp::DevMapHash,
};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use elb_common::counter::Counter;
use elb_common::flow::{Flow, FlowKeyV4};
use elb_common::fragment::Fragment;
use elb_common::names;
use elb_common::path::Memory;
use elb_common::reason::Reason;
use elb_common::ring::{CHUNK, Chunk};
use elb_common::told::Told;
use elb_common::trace::Trace;
use elb_tests::datapath;
use elb_tests::record::Record;

/// What came out of one run.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub action: u32,
    pub bytes: Vec<u8>,
}

pub const PASS: u32 = 2;
pub const DROP: u32 = 1;
pub const TX: u32 = 3;
pub const REDIRECT: u32 = 4;

pub struct Kernel {
    ebpf: Ebpf,
    pub program: &'static str,
    out: Vec<u8>,
}

/// Both programs that forward; they must not differ in what they do.
pub const PROGRAMS: [&str; 2] = [names::PROGRAM, names::TRACED_PROGRAM];

impl Kernel {
    /// Loads the program in a network namespace of this thread's own, so that interface 1 is its
    /// loopback and interface 2 one that takes redirected frames.
    pub fn new(memory: &Memory) -> Self {
        Self::with(names::PROGRAM, memory)
    }

    /// As [`Kernel::new`], with another of the [`PROGRAMS`].
    pub fn with(program: &'static str, memory: &Memory) -> Self {
        Self::try_new(program, memory, 1 << 20).expect("load the program; this test needs root")
    }

    /// As [`Kernel::new`], with tables for so many flows of each version.
    pub fn with_flows(memory: &Memory, flows: u32) -> Self {
        let kernel = Self::try_new(names::PROGRAM, memory, flows);
        kernel.expect("load the program; this test needs root")
    }

    fn try_new(program: &'static str, memory: &Memory, flows: u32) -> Result<Self> {
        enter_namespace()?;
        let mut ebpf = datapath::load_program(program, memory, flows)?;
        for device in &memory.devices {
            let map = ebpf.map_mut(names::DEVMAP).context("map")?;
            DevMapHash::try_from(map)?.insert(*device, *device, None, 0)?;
        }
        Ok(Self { ebpf, program, out: vec![0; 4096] })
    }

    /// Writes what a `Memory` holds into the maps, beside what is there.
    pub fn fill(&mut self, memory: &Memory) {
        datapath::fill(&mut self.ebpf, memory).unwrap();
    }

    /// Runs the program once. XDP wants at least an Ethernet header in a test run.
    pub fn run(&mut self, frame: &[u8]) -> Ran {
        let program: &Xdp = self.ebpf.program(self.program).unwrap().try_into().unwrap();
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).expect("test run");
        let length = result.data_size_out as usize;
        Ran { action: result.return_value, bytes: self.out[..length].to_vec() }
    }

    /// Says which packets to tell of.
    pub fn trace(&mut self, trace: Trace) {
        let map: &mut Map = self.ebpf.map_mut(names::TRACE).unwrap();
        let mut map: Array<_, Record<Trace>> = map.try_into().unwrap();
        map.set(0, Record(trace), 0).unwrap();
    }

    /// The events that nobody took yet.
    pub fn events(&mut self) -> Vec<Vec<u8>> {
        let mut ring = RingBuf::try_from(self.ebpf.map_mut(names::EVENTS).unwrap()).unwrap();
        std::iter::from_fn(|| ring.next().map(|event| event.to_vec())).collect()
    }

    /// A counter of `TRACE_COUNTERS`.
    pub fn traced(&self, index: u32) -> u64 {
        let map: PerCpuArray<_, u64> =
            self.ebpf.map(names::TRACE_COUNTERS).unwrap().try_into().unwrap();
        map.get(&index, 0).unwrap().iter().sum()
    }

    /// The program, for others to call.
    pub fn program(&self) -> ProgramFd {
        let program: &Xdp = self.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
        program.fd().unwrap().try_clone().unwrap()
    }

    pub fn counter(&self, name: &str, index: u32) -> Counter {
        datapath::counter(&self.ebpf, name, index).unwrap()
    }

    pub fn reasons(&self) -> Vec<Counter> {
        Reason::ALL.iter().map(|r| self.counter(names::REASON_COUNTERS, *r as u32)).collect()
    }

    /// No sender was told of an error in this second.
    pub fn forget_errors(&mut self) {
        let map = self.ebpf.map_mut(names::ERRORS_TOLD).unwrap();
        let mut map: PerCpuArray<_, Record<Told>> = map.try_into().unwrap();
        let none = vec![Record(Told::default()); aya::util::nr_cpus().unwrap()];
        map.set(0, PerCpuValues::try_from(none).unwrap(), 0).unwrap();
    }

    /// No first fragment came.
    pub fn forget_fragments(&mut self) {
        let map = self.ebpf.map_mut(names::FRAGMENTS_V4).unwrap();
        clear::<[u64; 2]>(map.try_into().unwrap());
        let map = self.ebpf.map_mut(names::FRAGMENTS_V6).unwrap();
        clear::<[u64; 5]>(map.try_into().unwrap());
    }

    /// Makes all first fragments that came so many seconds older.
    pub fn age_fragments(&mut self, seconds: u32) {
        let map = self.ebpf.map_mut(names::FRAGMENTS_V4).unwrap();
        let v4 = age::<[u64; 2]>(map.try_into().unwrap(), seconds);
        let map = self.ebpf.map_mut(names::FRAGMENTS_V6).unwrap();
        let v6 = age::<[u64; 5]>(map.try_into().unwrap(), seconds);
        assert!(v4 + v6 > 0, "no first fragment came");
    }

    pub fn slot_seen(&self, index: u32) -> u32 {
        let map: Array<_, Record<Chunk>> =
            self.ebpf.map(names::RINGS_SEEN).unwrap().try_into().unwrap();
        map.get(&(index / CHUNK), 0).unwrap().0[(index % CHUNK) as usize]
    }

    /// Whether an IPv4 flow is recorded. Asking does not make it look used.
    pub fn is_recorded(&self, key: FlowKeyV4) -> bool {
        let map: HashMap<_, Record<FlowKeyV4>, Record<Flow>> =
            self.ebpf.map(names::FLOWS_V4).unwrap().try_into().unwrap();
        map.get(&Record(key), 0).is_ok()
    }

    /// Recorded flows of both versions: the raw key and the record.
    pub fn flows(&self) -> Vec<(Vec<u8>, Flow)> {
        let v4: HashMap<_, Record<[u64; 2]>, Record<Flow>> =
            self.ebpf.map(names::FLOWS_V4).unwrap().try_into().unwrap();
        let v6: HashMap<_, Record<[u64; 5]>, Record<Flow>> =
            self.ebpf.map(names::FLOWS_V6).unwrap().try_into().unwrap();
        let v4 =
            v4.iter().map(|e| e.unwrap()).map(|(k, f)| (bytemuck::bytes_of(&k.0).to_vec(), f.0));
        let v6 =
            v6.iter().map(|e| e.unwrap()).map(|(k, f)| (bytemuck::bytes_of(&k.0).to_vec(), f.0));
        v4.chain(v6).collect()
    }
}

type Fragments<'a, K> = HashMap<&'a mut MapData, Record<K>, Record<Fragment>>;

fn clear<K: bytemuck::Pod>(mut map: Fragments<'_, K>) {
    let keys: Vec<_> = map.keys().map(|key| key.unwrap()).collect();
    keys.iter().for_each(|key| map.remove(key).unwrap());
}

fn age<K: bytemuck::Pod>(mut map: Fragments<'_, K>, seconds: u32) -> usize {
    let all: Vec<_> = map.iter().map(|entry| entry.unwrap()).collect();
    for (key, Record(fragment)) in &all {
        let older = Fragment { seen: fragment.seen - seconds, ..*fragment };
        map.insert(key, Record(older), 0).unwrap();
    }
    all.len()
}

/// Seconds of the clock that the program reads.
pub fn now() -> u32 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).unwrap();
    time.tv_sec() as u32
}

/// Gives the calling thread a network namespace with loopback (1) and a veth pair (2, 3). It goes
/// with the thread.
fn enter_namespace() -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .context("unshare the network namespace; run as root")?;
    let status = std::process::Command::new("ip")
        .args(["link", "add", "elb0", "type", "veth", "peer", "name", "elb1"])
        .status()
        .context("run ip(8); `cargo xtask setup` installs it")?;
    ensure!(status.success(), "ip link add failed: {status}");
    Ok(())
}
