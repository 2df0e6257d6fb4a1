//! The program in the kernel: loaded, its maps filled from a `Memory`, run on one frame at a time.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::{
    Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues, RingBuf, xdp::DevMapHash,
};
use aya::programs::{
    ProgramFd, RawTracePoint, RawTracePointRunOptions, TestRun as _, TestRunOptions, Xdp,
};
use elb_common::admission::{BackendState, ListenerState};
use elb_common::counter::{Counter, ListenerEvents};
use elb_common::cut::{self, Cut};
use elb_common::error_limit::{ErrorsSent, kind};
use elb_common::exception::Exception;
use elb_common::flow::{Flow, FlowKeyV4};
use elb_common::flow_log::{FlowEvent, FlowLog};
use elb_common::fragment::Fragment;
use elb_common::names;
use elb_common::path::Memory;
use elb_common::pool::PoolState;
use elb_common::reason::Reason;
use elb_common::ring::{CHUNK, Chunk};
use elb_common::room::{self, FlowTable};
use elb_common::sweep::{self, Sweep};
use elb_common::trace::Trace;
use elb_tests::datapath;
use elb_tests::record::{Record, array, hash};

pub use crate::action::{DROP, PASS, REDIRECT, TX};
use crate::world::FLOWS;

/// What came out of one run.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub action: u32,
    pub bytes: Vec<u8>,
}

pub struct Kernel {
    ebpf: Ebpf,
    pub program: &'static str,
    out: Vec<u8>,
}

/// All programs that forward; they must not differ in what they do.
pub const PROGRAMS: [&str; 3] = [names::PROGRAM, names::TRACED_PROGRAM, names::LOGGED_PROGRAM];

impl Kernel {
    /// Loads the program in a network namespace of this thread's own, so that interface 1 is its
    /// loopback and interface 2 one that takes redirected frames.
    pub fn new(memory: &Memory) -> Self {
        Self::with(names::PROGRAM, memory)
    }

    /// As [`Kernel::new`], with another of the [`PROGRAMS`].
    pub fn with(program: &'static str, memory: &Memory) -> Self {
        Self::try_new(program, memory, FLOWS).expect("load the program; this test needs root")
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

    /// Writes what a `Memory` holds into the maps, next to what is there.
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

    /// Says which packets to report.
    pub fn trace(&mut self, trace: Trace) {
        let map: &mut Map = self.ebpf.map_mut(names::TRACE).unwrap();
        let mut map: Array<_, Record<Trace>> = map.try_into().unwrap();
        map.set(0, Record(trace), 0).unwrap();
    }

    /// The events that no one took yet.
    pub fn events(&mut self) -> Vec<Vec<u8>> {
        let mut ring = RingBuf::try_from(self.ebpf.map_mut(names::EVENTS).unwrap()).unwrap();
        std::iter::from_fn(|| ring.next().map(|event| event.to_vec())).collect()
    }

    /// Says how much the flow log takes.
    pub fn flow_log(&mut self, log: FlowLog) {
        self.set(names::FLOW_LOG, 0, log);
    }

    /// The events of the flow log that no one took yet.
    pub fn flow_events(&mut self) -> Vec<FlowEvent> {
        self.flow_events_with_headers().into_iter().map(|(event, _)| event).collect()
    }

    /// The same, each with the bytes of its frame.
    pub fn flow_events_with_headers(&mut self) -> Vec<(FlowEvent, Vec<u8>)> {
        let mut ring = RingBuf::try_from(self.ebpf.map_mut(names::FLOW_EVENTS).unwrap()).unwrap();
        let next = || {
            let record = ring.next()?;
            let (event, header) = record.split_at(size_of::<FlowEvent>());
            Some((bytemuck::pod_read_unaligned(event), header.to_vec()))
        };
        std::iter::from_fn(next).collect()
    }

    /// A counter of `FLOW_COUNTERS`.
    pub fn flow_counter(&self, index: u32) -> u64 {
        let map: PerCpuArray<_, u64> =
            self.ebpf.map(names::FLOW_COUNTERS).unwrap().try_into().unwrap();
        map.get(&index, 0).unwrap().iter().sum()
    }

    /// A counter of `TRACE_COUNTERS`.
    pub fn traced(&self, index: u32) -> u64 {
        let map: PerCpuArray<_, u64> =
            self.ebpf.map(names::TRACE_COUNTERS).unwrap().try_into().unwrap();
        map.get(&index, 0).unwrap().iter().sum()
    }

    /// Lets the namespace have addresses of its own, by which its sockets reach each other.
    pub fn give(&self, addresses: &[std::net::IpAddr]) {
        let ip = |arguments: &[&str]| {
            let status = std::process::Command::new("ip").args(arguments).status().unwrap();
            assert!(status.success(), "{arguments:?}");
        };
        ip(&["link", "set", "lo", "up"]);
        for address in addresses {
            ip(&["address", "add", &address.to_string(), "dev", "lo"]);
        }
        // The kernel adds the route of an IPv6 address later, in a queue of its own.
        let is_reached = |address| UdpSocket::bind((address, 0))?.connect((address, 1));
        let limit = Instant::now() + Duration::from_secs(10);
        for address in addresses {
            while let Err(error) = is_reached(*address) {
                assert!(Instant::now() < limit, "{address}: {error}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// The program, for others to call.
    pub fn program(&self) -> ProgramFd {
        let program: &Xdp = self.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
        program.fd().unwrap().try_clone().unwrap()
    }

    pub fn counter(&self, name: &str, index: u32) -> Counter {
        datapath::counter(&self.ebpf, name, index).unwrap()
    }

    pub fn listener_events(&self, listener: u32) -> ListenerEvents {
        let map = self.ebpf.map(names::LISTENER_EVENTS).unwrap();
        let map: PerCpuArray<_, Record<ListenerEvents>> = map.try_into().unwrap();
        map.get(&listener, 0).unwrap().iter().map(|events| events.0).sum()
    }

    pub fn reasons(&self) -> Vec<Counter> {
        Reason::ALL.iter().map(|r| self.counter(names::REASON_COUNTERS, *r as u32)).collect()
    }

    /// No sender has got an error in this second.
    pub fn forget_errors(&mut self) {
        let map = self.ebpf.map_mut(names::ERRORS_SENT).unwrap();
        let mut map: PerCpuArray<_, Record<ErrorsSent>> = map.try_into().unwrap();
        let none = vec![Record(ErrorsSent::default()); aya::util::nr_cpus().unwrap()];
        for kind in [kind::ERROR, kind::RESET] {
            map.set(kind, PerCpuValues::try_from(none.clone()).unwrap(), 0).unwrap();
        }
    }

    /// No first fragment came.
    pub fn forget_fragments(&mut self) {
        let map = self.ebpf.map_mut(names::FRAGMENTS_V4).unwrap();
        clear::<[u64; 2], Fragment>(map.try_into().unwrap());
        let map = self.ebpf.map_mut(names::FRAGMENTS_V6).unwrap();
        clear::<[u64; 5], Fragment>(map.try_into().unwrap());
    }

    /// No flow is an exception at a member's endpoint.
    pub fn forget_exceptions(&mut self) {
        let map = self.ebpf.map_mut(names::EXCEPTIONS_V4).unwrap();
        clear::<[u64; 2], Exception>(map.try_into().unwrap());
        let map = self.ebpf.map_mut(names::EXCEPTIONS_V6).unwrap();
        clear::<[u64; 5], Exception>(map.try_into().unwrap());
    }

    /// Makes all first fragments that came so many seconds older.
    pub fn age_fragments(&mut self, seconds: u32) {
        let map = self.ebpf.map_mut(names::FRAGMENTS_V4).unwrap();
        let v4 = age::<[u64; 2]>(map.try_into().unwrap(), seconds);
        let map = self.ebpf.map_mut(names::FRAGMENTS_V6).unwrap();
        let v6 = age::<[u64; 5]>(map.try_into().unwrap(), seconds);
        assert!(v4 + v6 > 0, "no first fragment came");
    }

    /// What `RINGS_SEEN` says of a slot.
    pub fn slot_seen(&self, index: u32) -> u32 {
        self.element::<Chunk>(names::RINGS_SEEN, index / CHUNK)[(index % CHUNK) as usize]
    }

    /// Whether an IPv4 flow is recorded among those that live. Asking does not make it look used.
    pub fn is_recorded(&self, key: FlowKeyV4) -> bool {
        self.hash::<FlowKeyV4, Flow>(names::FLOWS_V4).get(&Record(key), 0).is_ok()
    }

    /// Flows that live, of both versions: the raw key and the record.
    pub fn flows(&self) -> Vec<(Vec<u8>, Flow)> {
        [self.records::<[u64; 2]>(names::FLOWS_V4), self.records::<[u64; 5]>(names::FLOWS_V6)]
            .concat()
    }

    /// Flows of which one packet came.
    pub fn openings(&self) -> Vec<(Vec<u8>, Flow)> {
        [self.records::<[u64; 2]>(names::OPENINGS_V4), self.records::<[u64; 5]>(names::OPENINGS_V6)]
            .concat()
    }

    /// Flows of each stage: those of which one packet came, and those that live.
    pub fn recorded(&self) -> [usize; 2] {
        [self.openings().len(), self.flows().len()]
    }

    pub fn listener_state(&self, id: u16) -> ListenerState {
        self.element(names::LISTENER_STATES, u32::from(id))
    }

    pub fn backend_state(&self, id: u16) -> BackendState {
        self.element(names::BACKEND_STATES, u32::from(id))
    }

    pub fn pool_state(&self, id: u16) -> PoolState {
        self.element(names::POOL_STATES, u32::from(id))
    }

    /// What `FLOW_TABLES` says of a version.
    pub fn table(&self, version: usize) -> FlowTable {
        self.element(names::FLOW_TABLES, version as u32)
    }

    /// The last sweep was at this second.
    pub fn set_swept(&mut self, swept: u32) {
        for version in [room::V4, room::V6] {
            let table = FlowTable { swept, ..self.table(version) };
            self.set(names::FLOW_TABLES, version as u32, table);
        }
    }

    /// Writes an element of an array.
    pub fn set<T: bytemuck::Pod>(&mut self, name: &str, index: u32, value: T) {
        array(&mut self.ebpf, name).unwrap().set(index, Record(value), 0).unwrap();
    }

    /// An element of an array.
    pub fn element<T: bytemuck::Pod>(&self, name: &str, index: u32) -> T {
        let map: Array<_, Record<T>> = self.ebpf.map(name).unwrap().try_into().unwrap();
        map.get(&index, 0).unwrap().0
    }

    /// What is in a map of records, as raw keys.
    pub fn records<K: bytemuck::Pod>(&self, name: &str) -> Vec<(Vec<u8>, Flow)> {
        let all = self.hash::<K, Flow>(name);
        let raw =
            |(key, flow): (Record<K>, Record<Flow>)| (bytemuck::bytes_of(&key.0).to_vec(), flow.0);
        all.iter().map(|entry| raw(entry.unwrap())).collect()
    }

    /// Writes a record of a flow.
    pub fn record<K: bytemuck::Pod>(&mut self, name: &str, key: K, flow: Flow) {
        hash(&mut self.ebpf, name).unwrap().insert(Record(key), Record(flow), 0).unwrap();
    }

    /// What is in a hash map.
    pub fn entries<K: bytemuck::Pod, V: bytemuck::Pod>(&self, name: &str) -> Vec<(K, V)> {
        let all = self.hash::<K, V>(name);
        all.iter().map(|entry| entry.map(|(key, value)| (key.0, value.0)).unwrap()).collect()
    }

    /// Writes an entry of a hash map.
    pub fn put<K: bytemuck::Pod, V: bytemuck::Pod>(&mut self, name: &str, key: K, value: V) {
        hash(&mut self.ebpf, name).unwrap().insert(Record(key), Record(value), 0).unwrap();
    }

    /// The kernel half of a sweep at this second.
    pub fn sweep(&mut self, now: u32, closed_for: u32) {
        for table in sweep::table::ALL {
            self.set(names::SWEEP, 0, Sweep { now, closed_for, table, reserved: 0 });
            let program = self.ebpf.program_mut(names::SWEEP_PROGRAM).unwrap();
            let program: &mut RawTracePoint = program.try_into().unwrap();
            if program.fd().is_err() {
                program.load().unwrap();
            }
            program.test_run(RawTracePointRunOptions::new()).unwrap();
        }
        self.set_swept(now);
    }

    /// Asks for a connection to be cut; whether there was one.
    pub fn cut(&mut self, cut: &Cut) -> bool {
        let program = self.ebpf.program_mut(names::CUT_PROGRAM).unwrap();
        let program: &mut RawTracePoint = program.try_into().unwrap();
        if program.fd().is_err() {
            program.load().unwrap();
        }
        let mut options = RawTracePointRunOptions::new();
        options.args[..cut::WORDS].copy_from_slice(bytemuck::cast_slice(&[*cut]));
        program.test_run(options).unwrap().return_value == cut::DONE
    }

    /// No first packets came.
    pub fn forget_openings(&mut self) {
        let map = self.ebpf.map_mut(names::OPENINGS_V4).unwrap();
        clear::<[u64; 2], Flow>(map.try_into().unwrap());
        let map = self.ebpf.map_mut(names::OPENINGS_V6).unwrap();
        clear::<[u64; 5], Flow>(map.try_into().unwrap());
    }

    fn hash<K: bytemuck::Pod, V: bytemuck::Pod>(
        &self,
        name: &str,
    ) -> HashMap<&MapData, Record<K>, Record<V>> {
        self.ebpf.map(name).unwrap().try_into().unwrap()
    }
}

type Fragments<'a, K> = HashMap<&'a mut MapData, Record<K>, Record<Fragment>>;

fn clear<K: bytemuck::Pod, V: bytemuck::Pod>(mut map: HashMap<&mut MapData, Record<K>, Record<V>>) {
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
