//! The line: three namespaces, two cables, and the three programs on them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use elb_tests::netns::NetNs;
use elb_tests::statistics::Statistics;
use elb_tests::veth::{self, End};
use elb_tests::xdp::XdpPass;
use elb_tests_ebpf::kind::Kind;
use elb_tests_ebpf::traffic::Traffic;

use crate::audit::{self, Audit};
use crate::balancer::Balancer;
use crate::generator::Generator;
use crate::sent::Sent;
use crate::sink::Sink;
use crate::world::{self, World};

const QUIET_LIMIT: Duration = Duration::from_secs(10);
const QUIET_INTERVAL: Duration = Duration::from_millis(50);

/// A running line; dropping it removes all of it.
pub struct Lab {
    generator: Generator,
    balancer: Balancer,
    sink: Sink,
    _pass: XdpPass,
    ends: [End; 4],
    world: World,
    traffic: Traffic,
    sent: Sent,
}

/// What the four devices say, in the order packets pass them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    pub gen0: Statistics,
    pub lb0: Statistics,
    pub lb1: Statistics,
    pub sink0: Statistics,
}

/// Two tests that want all of the machine each take turns.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lab {
    /// Lays the cables and attaches the programs.
    pub fn start(world: World) -> Result<Self> {
        let [generator, balancer, sink] =
            [NetNs::quiet("generator")?, NetNs::quiet("lb")?, NetNs::quiet("sink")?];
        let ends = [
            end(&generator, "gen0", world::GENERATOR_MAC),
            end(&balancer, "lb0", world::FRONT_MAC),
            end(&balancer, "lb1", world::BACK_MAC),
            end(&sink, "sink0", world::SINK_MAC),
        ];
        veth::join(&ends[0], &ends[1])?;
        veth::join(&ends[2], &ends[3])?;
        let memory = world.memory(balancer.index_of("lb1")?);
        Ok(Self {
            sink: Sink::attach(&sink, "sink0", &memory)?,
            balancer: Balancer::attach(&balancer, &["lb0", "lb1"], &memory)?,
            _pass: XdpPass::attach(&generator, &["gen0"])?,
            generator: Generator::load(&generator, "gen0")?,
            traffic: world.traffic(&[(Kind::TcpV4, 1)]),
            sent: Sent::default(),
            ends,
            world,
        })
    }

    /// Sends `packets` from each CPU, kinds mixed by their weights, and waits until all have come
    /// through.
    pub fn send(&mut self, kinds: &[(Kind, u8)], packets: u32) -> Result<()> {
        self.traffic = self.world.traffic(kinds);
        self.sink.expect(&self.traffic)?;
        let run = self.generator.run(&self.traffic, packets)?;
        self.wait_until_quiet()?;
        self.sent.add(&self.traffic, &run.steps);
        let total: u64 = run.steps.iter().sum();
        println!(
            "{total} packets in {:.2} s: {:.2} million packets/s",
            run.duration.as_secs_f64(),
            total as f64 / run.duration.as_secs_f64() / 1e6
        );
        Ok(())
    }

    /// Makes `device` refuse packets that are longer than `mtu` by more than a VLAN tag.
    pub fn narrow(&self, device: &str, mtu: u32) -> Result<()> {
        let end = self.ends.iter().find(|end| end.name == device).context("no such device")?;
        end.netns.ip(&format!("link set {device} mtu {mtu}")).map(drop)
    }

    /// Frames that the devices before and behind the load balancer could not hand over.
    pub fn lost(&self) -> Result<(u64, u64)> {
        let devices = self.devices()?;
        Ok((devices.lost_before()?, devices.lost_behind()?))
    }

    /// Checks every account; fails with all that do not balance.
    pub fn audit(&self) -> Result<()> {
        let devices = self.devices()?;
        let mut audit = Audit::default();
        let (before, behind) = self.lost()?;
        println!("refused by devices: {before} before the load balancer, {behind} behind");
        audit::generated(&mut audit, &self.sent, &self.generator, &devices)?;
        audit::balanced(&mut audit, &self.sent, &self.balancer, &devices)?;
        audit::delivered(&mut audit, &self.balancer, &self.sink, &devices)?;
        let owner = |kind, flow| self.world.owner(&self.traffic, kind, flow);
        audit::placed(&mut audit, &self.sent, owner, &self.balancer, &self.sink, &devices)?;
        audit.finish()
    }

    /// Waits until no frame is on its way: each device got what the one before it sent, and
    /// nothing changes. If that does not come, the audit will say what is missing.
    fn wait_until_quiet(&self) -> Result<()> {
        let deadline = Instant::now() + QUIET_LIMIT;
        let mut before = self.devices()?;
        while Instant::now() < deadline {
            thread::sleep(QUIET_INTERVAL);
            let now = self.devices()?;
            if now == before && now.have_received_all()? {
                break;
            }
            before = now;
        }
        Ok(())
    }

    fn devices(&self) -> Result<Devices> {
        let read = |end: &End| Statistics::read(&end.netns, &end.name);
        let [gen0, lb0, lb1, sink0] = &self.ends;
        Ok(Devices { gen0: read(gen0)?, lb0: read(lb0)?, lb1: read(lb1)?, sink0: read(sink0)? })
    }
}

impl Devices {
    /// Frames that lb0 did not take from gen0.
    pub fn lost_before(&self) -> Result<u64> {
        self.gen0.get("tx_xdp_xmit_errors")
    }

    /// Frames that sink0 did not take from lb1.
    pub fn lost_behind(&self) -> Result<u64> {
        self.lb1.get("tx_xdp_xmit_errors")
    }

    fn have_received_all(&self) -> Result<bool> {
        let front = self.gen0.get("tx_xdp_xmit")? == self.lb0.get("rx_xdp_packets")?;
        let back = self.lb1.get("tx_xdp_xmit")? == self.sink0.get("rx_xdp_packets")?;
        Ok(front && back)
    }
}

fn end(netns: &NetNs, name: &str, mac: [u8; 6]) -> End {
    let (netns, name, mtu) = (netns.clone(), name.to_owned(), u32::from(world::MTU));
    End { netns, name, mac, mtu, addresses: Vec::new() }
}
