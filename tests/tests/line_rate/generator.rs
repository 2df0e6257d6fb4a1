//! The generator: the XDP program that sends, and the threads that run it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::xdp::DevMap;
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use elb_tests::{environment, netns::NetNs};
use elb_tests_ebpf::kind::Kind;
use elb_tests_ebpf::traffic::{MAX_LENGTH, Traffic};
use elb_tests_ebpf::{DEVICE, GENERATOR, QUEUES, SENT, STEPS, TRAFFIC};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use elb_tests::record;

/// Frames that the kernel runs the program on before it sends them.
const BATCH: u32 = 64;

pub struct Generator {
    object: Ebpf,
    netns: NetNs,
}

/// What a run sent.
pub struct Run {
    /// Packets of each CPU.
    pub steps: Vec<u64>,
    /// How long it took.
    pub duration: Duration,
}

impl Generator {
    /// Will send by `device` of `netns`.
    pub fn load(netns: &NetNs, device: &str) -> Result<Self> {
        let path = environment::bpf_dir()?.join("generator");
        let mut object = Ebpf::load_file(&path)
            .with_context(|| format!("cannot load the BPF object {}", path.display()))?;
        let program: &mut Xdp =
            object.program_mut(GENERATOR).context("no program in generator")?.try_into()?;
        program.load().context("the kernel refuses the generator")?;
        let index = netns.index_of(device)?;
        let map = object.map_mut(DEVICE).context("no device map in generator")?;
        netns.run(|| -> Result<()> {
            DevMap::try_from(map)?.set(0, index, None, 0)?;
            Ok(())
        })??;
        Ok(Self { object, netns: netns.clone() })
    }

    /// Sends `packets` from each CPU, one thread on each, as fast as they can.
    pub fn run(&mut self, traffic: &Traffic, packets: u32) -> Result<Run> {
        record::array(&mut self.object, TRAFFIC)?.set(0, record::Record(*traffic), 0)?;
        record::clear::<u64>(&mut self.object, STEPS, 0)?;
        let program: &Xdp =
            self.object.program(GENERATOR).context("no program in generator")?.try_into()?;
        let cpus = cpus()?;
        let start = Instant::now();
        thread::scope(|scope| -> Result<()> {
            let send = |cpu| self.netns.run(move || send(program, cpu, packets));
            let threads: Vec<_> = cpus.iter().map(|cpu| scope.spawn(move || send(*cpu))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?
            })
        })?;
        let duration = start.elapsed();
        let steps: Vec<u64> = record::per_cpu(&self.object, STEPS, 0)?;
        let wanted = u64::from(packets) * cpus.len() as u64;
        let done: u64 = steps.iter().sum();
        ensure!(done == wanted, "the generator ran {done} times, not {wanted}");
        Ok(Run { steps, duration })
    }

    /// Packets of a kind that the program counted, in all runs.
    pub fn sent(&self, kind: Kind) -> Result<u64> {
        Ok(record::per_cpu::<u64>(&self.object, SENT, kind as u32)?.iter().sum())
    }
}

fn send(program: &Xdp, cpu: usize, packets: u32) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on one CPU")?;
    let options = TestRunOptions {
        data_in: Some(&[0; MAX_LENGTH]),
        repeat: packets,
        attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::default()
    };
    program.test_run(options).context("cannot run the generator on live frames")?;
    Ok(())
}

/// CPUs to send from: one for each queue of the devices. Two on one queue would overflow its ring,
/// and the driver, which counts without locks, would not count all of that.
fn cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for allowed CPUs")?;
    let is_allowed = |cpu: &usize| allowed.is_set(*cpu).unwrap_or(false);
    let queues = 0..QUEUES as usize;
    let cpu_of = |queue| (queue..CpuSet::count()).step_by(QUEUES as usize).find(is_allowed);
    Ok(queues.filter_map(cpu_of).collect())
}
