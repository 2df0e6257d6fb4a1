//! The accounts: what one place counted must be what the next one did.
//!
//! Two places may lose a frame, and count it: gen0 and lb1, where the far end does not take it, since
//! its ring is full. What is missing behind one of them must add up to exactly that number.

use std::fmt::{Debug, Display};

use anyhow::{Result, bail};
use elb_common::counter::Counter;
use elb_common::reason::{Fate, Reason};
use elb_tests_ebpf::BACKENDS;
use elb_tests_ebpf::inspect::Fault;
use elb_tests_ebpf::kind::{FORWARDED, Kind};
use elb_tests_ebpf::traffic::frame_length;

use crate::balancer::Balancer;
use crate::generator::Generator;
use crate::lab::Devices;
use crate::sent::{Sent, forwarded_flows};
use crate::sink::{Received, Sink};
use crate::world::LISTENERS;

const SHOWN: usize = 20;

/// Accounts that do not balance.
#[derive(Debug, Default)]
pub struct Audit(Vec<String>);

impl Audit {
    fn equal<T: PartialEq + Debug>(&mut self, what: impl Display, one: T, other: T) {
        if one != other {
            self.0.push(format!("{what}: {one:?} is not {other:?}"));
        }
    }

    /// How much of `whole` is missing in `part`.
    fn missing(&mut self, what: impl Display, whole: u64, part: u64) -> u64 {
        if part > whole {
            self.0.push(format!("{what}: {part} of {whole}, which is too many"));
        }
        whole.saturating_sub(part)
    }

    /// Fails with what does not balance.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let shown = &self.0[..self.0.len().min(SHOWN)];
        bail!("{} accounts do not balance, such as\n{}", self.0.len(), shown.join("\n"))
    }
}

/// The generator counted what it was to send; its device took that or counted an error.
pub fn generated(
    audit: &mut Audit,
    sent: &Sent,
    generator: &Generator,
    devices: &Devices,
) -> Result<()> {
    for kind in Kind::ALL {
        let counted = generator.sent(*kind)?;
        audit.equal(format_args!("{kind:?} planned, generated"), sent.kind(*kind), counted);
    }
    let taken = devices.gen0.get("tx_xdp_xmit")? + devices.lost_before()?;
    audit.equal("generated, taken by gen0", sent.total(), taken);
    let left = devices.gen0.get("tx_xdp_xmit")?;
    audit.equal("sent by gen0, received by lb0", left, devices.lb0.get("rx_xdp_packets")?);
    Ok(())
}

/// The load balancer forwarded every packet or had the reason that its kind gives, and no other.
pub fn balanced(
    audit: &mut Audit,
    sent: &Sent,
    balancer: &Balancer,
    devices: &Devices,
) -> Result<()> {
    let (mut missing, mut met) = (0, 0);
    for (id, v6, protocol) in LISTENERS {
        let of = |kind: &&Kind| kind.is_v6() == v6 && kind.protocol() == protocol;
        let kinds: Vec<_> = Kind::ALL[..FORWARDED as usize].iter().filter(of).collect();
        let (wanted, counter) =
            (kinds.iter().map(|kind| sent.kind(**kind)).sum(), balancer.listener(id)?);
        missing +=
            audit.missing(format_args!("forwarded by listener {id}"), wanted, counter.packets);
        met += counter.packets;
        let bytes = counter.packets * frame_length(*kinds[0]) as u64;
        audit.equal(format_args!("bytes of listener {id}"), counter.bytes, bytes);
    }
    let mut dropped = 0;
    for reason in Reason::ALL {
        let kind = Kind::ALL.iter().find(|kind| kind.reason() == Some(*reason));
        let counter = balancer.reason(*reason)?;
        let wanted = kind.map_or(0, |kind| sent.kind(*kind));
        missing += audit.missing(reason.name(), wanted, counter.packets);
        met += counter.packets;
        let bytes = counter.packets * kind.map_or(0, |kind| frame_length(*kind) as u64);
        audit.equal(format_args!("bytes of {}", reason.name()), counter.bytes, bytes);
        dropped += if reason.fate() == Fate::Dropped { counter.packets } else { 0 };
    }
    let lost = devices.lost_before()?;
    audit.equal("missing in the load balancer, lost by gen0", missing, lost);
    audit.equal("met by the load balancer, sent", met + lost, sent.total());
    audit.equal("reasons to drop, dropped by lb0", dropped, devices.lb0.get("rx_xdp_drops")?);
    Ok(())
}

/// What was forwarded left by lb1 and arrived intact; what was answered left by lb0.
pub fn delivered(
    audit: &mut Audit,
    balancer: &Balancer,
    sink: &Sink,
    devices: &Devices,
) -> Result<()> {
    let forwarded = by_listeners(balancer)?.packets;
    let redirected = devices.lb0.get("rx_xdp_redirect")?;
    audit.equal("forwarded, redirected by lb0", forwarded, redirected);
    let left = devices.lb1.get("tx_xdp_xmit")?;
    let lost = devices.lost_behind()?;
    audit.equal("forwarded, taken by lb1", forwarded, left + lost);
    audit.equal("sent by lb1, received by sink0", left, devices.sink0.get("rx_xdp_packets")?);
    audit.equal("sent by lb1, intact at the sink", left, sink.intact()?);
    for fault in Fault::ALL {
        audit.equal(format_args!("frames at the sink with {fault:?}"), sink.faulty(fault)?, 0);
    }
    let echoed = balancer.reason(Reason::EchoAnswered)?.packets;
    let sent_back = devices.lb0.get("rx_xdp_tx")?;
    let refused = devices.lb0.get("rx_xdp_tx_errors")?;
    audit.equal("answered, taken by lb0", echoed, sent_back + refused);
    audit.equal("answers, received by gen0", sent_back, devices.gen0.get("rx_xdp_packets")?);
    Ok(())
}

/// Packets arrived for the one backend that owns their flow, as many as were sent.
pub fn placed(
    audit: &mut Audit,
    sent: &Sent,
    owner: impl Fn(Kind, u32) -> u16,
    balancer: &Balancer,
    sink: &Sink,
    devices: &Devices,
) -> Result<()> {
    let received = sink.received(forwarded_flows())?;
    let mut missing = 0;
    for ((kind, flow), packets) in forwarded_flows().zip(&received) {
        let owner = usize::from(owner(kind, flow));
        let what = format_args!("{kind:?} flow {flow} at backend {owner}");
        missing += audit.missing(what, sent.flow(kind, flow), packets[owner].into());
        for (id, packets) in packets.iter().enumerate().filter(|(id, _)| *id != owner) {
            let what = format_args!("{kind:?} flow {flow} of backend {owner} at backend {id}");
            audit.equal(what, *packets, 0);
        }
    }
    let all: u64 = Kind::ALL[..FORWARDED as usize].iter().map(|kind| sent.kind(*kind)).sum();
    audit.equal("missing of flows and received, sent", missing + sink.intact()?, all);
    shared(audit, &received, balancer, devices)
}

/// The load balancer counted for each backend what arrived for it.
fn shared(
    audit: &mut Audit,
    received: &[Received],
    balancer: &Balancer,
    devices: &Devices,
) -> Result<()> {
    let (mut missing, mut forwarded) = (0, Counter::default());
    let total: u64 = received.iter().flatten().map(|packets| u64::from(*packets)).sum();
    for id in 0..BACKENDS as usize {
        let arrived: u64 = received.iter().map(|packets| u64::from(packets[id])).sum();
        let counter = balancer.backend(id as u16)?;
        missing += audit.missing(format_args!("packets of backend {id}"), counter.packets, arrived);
        forwarded = [forwarded, counter].into_iter().sum();
        if arrived > 0 {
            println!("backend {id}: {:.2} %", arrived as f64 / total as f64 * 100.0);
        }
    }
    let lost = devices.lost_behind()?;
    audit.equal("missing packets of backends, lost by lb1", missing, lost);
    audit.equal("forwarded by backend, by listener", forwarded, by_listeners(balancer)?);
    Ok(())
}

fn by_listeners(balancer: &Balancer) -> Result<Counter> {
    LISTENERS.iter().map(|(id, ..)| balancer.listener(*id)).sum()
}
