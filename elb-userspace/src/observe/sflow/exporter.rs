//! Sends samples to the collector. What it does not take is counted, and nothing waits for it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use elb_common::flow_log::{FlowEvent, known};
use elb_common::reason::Reason;
use elb_common::trace::FORWARDED;

use super::datagram::{DiscardedPacket, FlowSample, Frame, HEAD, Head, MOST, datagram};
use super::reason;
use crate::source::file::SflowSettings;

/// What became of samples, since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SflowSent {
    /// Sampled packets that were sent.
    pub flows: u64,
    /// Refused packets that were.
    pub discards: u64,
    /// Refused packets beyond those of a second.
    pub limited: u64,
    /// Both, that could not be sent, or were sent and refused by the collector's host.
    pub unsent: u64,
    /// Why the last were not, if so.
    pub why: Option<String>,
}

/// Sends samples.
pub struct SflowExporter {
    settings: SflowSettings,
    began: Instant,
    socket: Option<UdpSocket>,
    sequence: u32,
    sources: BTreeMap<u32, Source>,
    limit: Limit,
    /// Whole samples that wait for the end of the datagram: refused and sampled packets.
    waiting: Vec<u8>,
    counts: [u32; 2],
    /// The same of the datagram before.
    before: [u32; 2],
    /// Refusals and samples that the kernel lost: in all, and since the last sample that could say so.
    lost: [u64; 2],
    unsaid: [u32; 2],
}

/// What is counted of an interface. Numbers of sFlow begin again at zero.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    flows: u32,
    pool: u32,
    flow_drops: u32,
    discards: u32,
    discard_drops: u32,
}

/// How many refused packets were taken in a second.
#[derive(Clone, Copy, Debug)]
struct Limit {
    since: Instant,
    taken: u32,
}

impl SflowExporter {
    /// Sends by these settings. So many refusals and samples were lost in the kernel before.
    pub fn new(settings: SflowSettings, lost: [u64; 2], now: Instant) -> Self {
        Self {
            settings,
            began: now,
            socket: None,
            sequence: 0,
            sources: BTreeMap::new(),
            limit: Limit { since: now, taken: 0 },
            waiting: Vec::new(),
            counts: [0; 2],
            before: [0; 2],
            lost,
            unsaid: [0; 2],
        }
    }

    /// So many refusals and samples were lost in the kernel by now.
    pub fn lost(&mut self, lost: [u64; 2]) {
        for (kind, now) in lost.into_iter().enumerate() {
            let more = now.saturating_sub(self.lost[kind]);
            self.unsaid[kind] = self.unsaid[kind].wrapping_add(low(more));
        }
        self.lost = lost;
    }

    /// Losses in the kernel begin at so many: its maps are others.
    pub const fn restart(&mut self, lost: [u64; 2]) {
        self.lost = lost;
    }

    /// Takes a sample or a refusal, with the first bytes of its frame.
    pub fn note(&mut self, event: &FlowEvent, header: &[u8], now: Instant, sent: &mut SflowSent) {
        let frame = Frame { length: event.length, bytes: header };
        let mut sample = Vec::new();
        let is_flow = event.known & known::SAMPLE != 0;
        let most_discards = self.settings.discards_per_second.get();
        if !is_flow && most_discards == 0 {
            return;
        }
        let [discards_lost, flows_lost] = &mut self.unsaid;
        let source = self.sources.entry(event.ingress).or_default();
        if is_flow {
            source.flows = source.flows.wrapping_add(1);
            source.pool = source.pool.wrapping_add(event.data);
            source.flow_drops = source.flow_drops.wrapping_add(std::mem::take(flows_lost));
            let Source { flows: sequence, pool, flow_drops: drops, .. } = *source;
            let (interface, rate) = (event.ingress, self.settings.sampling_rate.get());
            FlowSample { interface, sequence, rate, pool, drops, frame }.add(&mut sample);
        } else if self.limit.takes(most_discards, now) {
            source.discards = source.discards.wrapping_add(1);
            source.discard_drops = source.discard_drops.wrapping_add(std::mem::take(discards_lost));
            let frame = Some(frame).filter(|_| !header.is_empty());
            let Source { discards: sequence, discard_drops: drops, .. } = *source;
            let (interface, reason) = (event.ingress, reason::number(why(event)));
            DiscardedPacket { interface, sequence, drops, reason, frame }.add(&mut sample);
        } else {
            source.discard_drops = source.discard_drops.wrapping_add(1);
            sent.limited += 1;
            return;
        }
        if HEAD + self.waiting.len() + sample.len() > MOST {
            self.flush(now, sent);
        }
        self.waiting.append(&mut sample);
        self.counts[usize::from(is_flow)] += 1;
    }

    /// Sends what waits.
    pub fn flush(&mut self, now: Instant, sent: &mut SflowSent) {
        let counts = std::mem::take(&mut self.counts);
        let all = counts.iter().sum();
        if all == 0 {
            return;
        }
        let samples = std::mem::take(&mut self.waiting);
        match self.send(&samples, all, now) {
            Ok(refused) => {
                if refused.is_some() {
                    sent.unsent += self.before.map(u64::from).iter().sum::<u64>();
                }
                let [discards, flows] = counts.map(u64::from);
                (sent.discards, sent.flows) = (sent.discards + discards, sent.flows + flows);
                sent.why = refused.map(|error| error.to_string());
                self.before = counts;
            }
            Err(error) => {
                sent.unsent += u64::from(all);
                sent.why = Some(error.to_string());
                self.before = [0; 2];
            }
        }
    }

    /// Sends a datagram; why the one before it did not arrive, if the collector's host said so.
    fn send(&mut self, samples: &[u8], count: u32, now: Instant) -> io::Result<Option<io::Error>> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connected(self.settings.collector)?,
        };
        let agent = match self.settings.agent_address {
            Some(address) => address,
            None => socket.local_addr()?.ip(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        let uptime = now.saturating_duration_since(self.began).as_millis();
        let uptime = low(u64::try_from(uptime).unwrap_or(u64::MAX));
        let head = Head { agent, sequence: self.sequence, uptime };
        let datagram = datagram(head, samples, count);
        let refused = match socket.send(&datagram) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                socket.send(&datagram)?;
                Some(error)
            }
            sent => sent.map(|_| None)?,
        };
        // Where sending failed, this host may have another address: another socket is tried.
        self.socket = Some(socket);
        Ok(refused)
    }
}

impl Limit {
    fn takes(&mut self, most: u32, now: Instant) -> bool {
        const SECOND: Duration = Duration::from_secs(1);
        if now.saturating_duration_since(self.since) >= SECOND {
            *self = Self { since: now, taken: 0 };
        }
        let is_within = self.taken < most;
        self.taken += u32::from(is_within);
        is_within
    }
}

fn why(event: &FlowEvent) -> Option<Reason> {
    let number = u8::try_from(event.reason).ok().filter(|_| event.reason != FORWARDED)?;
    Reason::new(number)
}

fn connected(collector: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match collector {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(collector)?;
    Ok(socket)
}

/// Numbers of sFlow begin again at zero.
const fn low(value: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let low = value as u32;
    low
}

#[cfg(test)]
mod tests;
