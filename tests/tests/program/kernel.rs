//! The program in the kernel: loaded, its maps filled from a `Memory`, run on one frame at a time.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, xdp::DevMapHash};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use elb_common::counter::Counter;
use elb_common::flow::Flow;
use elb_common::path::Memory;
use elb_common::reason::Reason;
use elb_common::ring::{CHUNK, Chunk, Slot};
use elb_common::{limits, names};

/// A record of elb-common as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Record<T>(pub T);

// SAFETY: `T: bytemuck::Pod` has no padding and no invalid values, which is all that aya asks for.
unsafe impl<T: bytemuck::Pod> aya::Pod for Record<T> {}

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
    out: Vec<u8>,
}

/// Where `cargo xtask build-ebpf` put an object.
pub fn object(name: &str) -> Result<PathBuf> {
    let directory = std::env::var_os("ELB_BPF_DIR")
        .ok_or_else(|| anyhow!("ELB_BPF_DIR is not set: run the tests with `cargo xtask test`"))?;
    let path = PathBuf::from(directory).join(name);
    ensure!(path.exists(), "{} is missing: run `cargo xtask build-ebpf`", path.display());
    Ok(path)
}

impl Kernel {
    /// Loads the program in a network namespace of this thread's own, so that interface 1 is its
    /// loopback and interface 2 one that takes redirected frames.
    pub fn new(memory: &Memory) -> Self {
        Self::try_new(memory).expect("load the program; this test needs root")
    }

    fn try_new(memory: &Memory) -> Result<Self> {
        enter_namespace()?;
        let slots = memory.slots.len() as u32;
        let chunks = slots.div_ceil(CHUNK).max(1);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(names::RINGS, chunks)
            .map_max_entries(names::RINGS_SEEN, chunks)
            .load_file(object("elb-xdp")?)
            .context("load elb-xdp")?;
        let program: &mut Xdp = ebpf.program_mut(names::PROGRAM).context("program")?.try_into()?;
        program.load().context("verify the program")?;
        let mut kernel = Self { ebpf, out: vec![0; 4096] };
        kernel.fill(memory)?;
        Ok(kernel)
    }

    fn hash<K: bytemuck::Pod, V: bytemuck::Pod>(
        &mut self,
        name: &str,
    ) -> Result<HashMap<&mut MapData, Record<K>, Record<V>>> {
        Ok(HashMap::try_from(self.ebpf.map_mut(name).context("map")?)?)
    }

    fn array<V: bytemuck::Pod>(&mut self, name: &str) -> Result<Array<&mut MapData, Record<V>>> {
        Ok(Array::try_from(self.ebpf.map_mut(name).context("map")?)?)
    }

    /// Writes what a test changed; entries it removed stay.
    pub fn fill(&mut self, memory: &Memory) -> Result<()> {
        for (key, value) in &memory.listeners_v4 {
            self.hash(names::LISTENERS_V4)?.insert(Record(*key), Record(*value), 0)?;
        }
        for (key, value) in &memory.listeners_v6 {
            self.hash(names::LISTENERS_V6)?.insert(Record(*key), Record(*value), 0)?;
        }
        for (key, value) in &memory.vips_v4 {
            self.hash(names::VIPS_V4)?.insert(Record(key.raw()), Record(*value), 0)?;
        }
        for (key, value) in &memory.vips_v6 {
            self.hash(names::VIPS_V6)?.insert(Record(key.raw()), Record(*value), 0)?;
        }
        for (index, chunk) in memory.slots.chunks(CHUNK as usize).enumerate() {
            let chunk: Chunk =
                std::array::from_fn(|i| chunk.get(i).map_or(0, |slot: &Slot| slot.0));
            self.array(names::RINGS)?.set(index as u32, Record(chunk), 0)?;
        }
        for (id, pool) in &memory.pools {
            self.array(names::POOLS)?.set(u32::from(*id), Record(*pool), 0)?;
        }
        for (id, backend) in &memory.backends {
            if u32::from(*id) < limits::MAX_BACKENDS {
                self.array(names::BACKENDS)?.set(u32::from(*id), Record(*backend), 0)?;
            }
        }
        for (index, interface) in &memory.interfaces {
            self.hash(names::INTERFACES)?.insert(Record(*index), Record(*interface), 0)?;
        }
        for device in &memory.devices {
            let mut map: DevMapHash<_> =
                self.ebpf.map_mut(names::DEVMAP).context("map")?.try_into()?;
            map.insert(*device, *device, None, 0)?;
        }
        Ok(())
    }

    /// Runs the program once. XDP wants at least an Ethernet header in a test run.
    pub fn run(&mut self, frame: &[u8]) -> Ran {
        let program: &Xdp = self.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).expect("test run");
        let length = result.data_size_out as usize;
        Ran { action: result.return_value, bytes: self.out[..length].to_vec() }
    }

    pub fn counter(&self, name: &str, index: u32) -> Counter {
        let map: PerCpuArray<_, Record<Counter>> = self.ebpf.map(name).unwrap().try_into().unwrap();
        map.get(&index, 0).unwrap().iter().map(|counter| counter.0).sum()
    }

    pub fn reasons(&self) -> Vec<Counter> {
        Reason::ALL.iter().map(|r| self.counter(names::REASON_COUNTERS, *r as u32)).collect()
    }

    pub fn slot_seen(&self, index: u32) -> u32 {
        let map: Array<_, Record<Chunk>> =
            self.ebpf.map(names::RINGS_SEEN).unwrap().try_into().unwrap();
        map.get(&(index / CHUNK), 0).unwrap().0[(index % CHUNK) as usize]
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
