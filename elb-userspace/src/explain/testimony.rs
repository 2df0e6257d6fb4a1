//! From what the packet path asked its tables to the explanation.

use std::cell::RefCell;
use std::net::IpAddr;

use elb_common::backend::{self, mode};
use elb_common::listener::{self, listener_flags};
use elb_common::path::{Asked, Frame, Outcome, Tables, Witness, process};
use elb_common::reason::{Fate, Reason};

use super::{Admission, Backend, Explanation, FlowEntry, Listener, Packet, Slot, Verdict};
use crate::flows::Key;
use crate::names::{Member, Names};
use crate::packet::{Seen, mac};

/// Room behind the frame; nothing grows at its end.
const TAIL: usize = 64;

/// Lets the packet path decide, and tells what it asked for.
pub(super) fn of(
    mut packet: Packet,
    bytes: &[u8],
    ingress: u32,
    tables: &impl Tables,
    names: &Names,
) -> Explanation {
    let mut buffer = vec![0u16; (Frame::HEADROOM + bytes.len() + TAIL).div_ceil(2)];
    let mut frame = Frame::new(&mut buffer, bytes, ingress).expect("the buffer has room");
    let asked = RefCell::new(Vec::new());
    let outcome = process(&mut frame, &Witness::new(tables, &asked));
    let asked = asked.into_inner();

    let received = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    packet.length = received - u32::try_from(ETHERNET).unwrap_or(0);
    let egress = match outcome {
        Outcome::Pass(_) | Outcome::Drop(_) => None,
        Outcome::Answer(_) | Outcome::Transmit => Some(ingress),
        Outcome::Redirect(index) => Some(index),
    };
    let sent = frame.bytes();
    let seen = Seen { bytes: sent, length: u32::try_from(sent.len()).unwrap_or(u32::MAX) };
    let testimony = Testimony { asked: &asked, reason: outcome.reason(), names };
    let listener = testimony.listener();
    Explanation {
        verdict: verdict(outcome.reason()),
        admission: listener.as_ref().and_then(|_| admission(outcome.reason())),
        slot: listener.and_then(|(_, _, record)| testimony.slot(&packet, record)),
        listener: listener.map(|found| testimony.described(found)),
        flow: testimony.flow(),
        backend: testimony.backend(),
        sent: egress.map(|index| seen.sent(names.interface(index), received)),
        packet,
    }
}

const ETHERNET: usize = size_of::<elb_common::path::wire::Ethernet>();

/// Whether a backend was chosen for a packet that met this, or went on.
pub(crate) const fn chose_backend(reason: Option<Reason>) -> bool {
    use Reason::{NoDevice, NoNextHop, NoRoom, TooBig, UnknownBackend};
    matches!(reason, None | Some(UnknownBackend | NoNextHop | TooBig | NoRoom | NoDevice))
}

fn verdict(reason: Option<Reason>) -> Verdict {
    Verdict {
        fate: fate(reason).to_owned(),
        reason: reason.map(|reason| reason.name().to_owned()),
        meaning: reason.map(|reason| reason.meaning().to_owned()),
        fix: reason.map(|reason| reason.fix().to_owned()).filter(|fix| !fix.is_empty()),
    }
}

/// What becomes of a packet that meets this, or nothing.
pub(crate) const fn fate(reason: Option<Reason>) -> &'static str {
    match reason {
        None => "forwarded",
        Some(reason) => match reason.fate() {
            Fate::Passed => "passed",
            Fate::Dropped => "dropped",
            Fate::Answered => "answered",
        },
    }
}

/// What a listener that was found says, if it was asked.
fn admission(reason: Option<Reason>) -> Option<Admission> {
    use Reason::{AccessDenied, ConnectionLimit, Disabled, RateLimited};
    match reason {
        Some(Disabled | AccessDenied | RateLimited | ConnectionLimit) => Some(Admission::Refused),
        Some(_) | None => Some(Admission::Admitted),
    }
}

struct Testimony<'a, 't> {
    asked: &'a [Asked<'t>],
    reason: Option<Reason>,
    names: &'a Names,
}

type Found<'t> = (IpAddr, u16, &'t listener::Listener);

#[allow(clippy::wildcard_enum_match_arm, reason = "each method looks for some of the questions")]
impl<'t> Testimony<'_, 't> {
    fn last<T>(&self, found: impl Fn(&Asked<'t>) -> Option<T>) -> Option<T> {
        self.asked.iter().rev().find_map(found)
    }

    fn listener(&self) -> Option<Found<'t>> {
        self.last(|asked| match asked {
            Asked::ListenerV4(key, Some(listener)) => {
                let [a, b, c, d, high, low, ..]: [u8; 8] = bytemuck::cast(*key);
                Some(([a, b, c, d].into(), u16::from_be_bytes([high, low]), *listener))
            }
            Asked::ListenerV6(key, Some(listener)) => {
                let [high, low, rest]: [u64; 3] = bytemuck::cast(*key);
                let address: [u8; 16] = bytemuck::cast([high, low]);
                let [high, low, ..] = rest.to_ne_bytes();
                Some((address.into(), u16::from_be_bytes([high, low]), *listener))
            }
            _ => None,
        })
    }

    fn described(&self, (address, port, listener): Found<'t>) -> Listener {
        Listener {
            id: listener.id,
            name: self.names.listener(listener.id),
            address,
            port,
            disabled: listener.flags & listener_flags::DISABLED != 0,
            pool: self.names.pool(listener.pool),
        }
    }

    fn slot(&self, packet: &Packet, listener: &listener::Listener) -> Option<Slot> {
        let (index, slot) = self.last(|asked| match asked {
            Asked::Slot(index, Some(slot)) => Some((*index, *slot)),
            _ => None,
        })?;
        Some(Slot {
            hash: Key::new(packet.source, packet.destination, packet.protocol.number()).hash(),
            index: index.wrapping_sub(listener.ring_base),
            of: listener.ring_size,
            moving: !slot.is_settled(),
            owner: self.member(slot.cur()),
            former_owner: self.member(slot.prev()),
        })
    }

    fn flow(&self) -> Option<FlowEntry> {
        let looked_up = self.last(|asked| match asked {
            Asked::FlowV4(_, found) | Asked::FlowV6(_, found) => Some(*found),
            _ => None,
        });
        let records = self.last(|asked| match asked {
            Asked::RecordV4(_, flow) | Asked::RecordV6(_, flow) => Some(flow.backend),
            _ => None,
        });
        looked_up.or(records.map(|_| None)).map(|recorded| FlowEntry {
            recorded: recorded.and_then(|id| self.member(id)),
            idle: None,
            records: records.and_then(|id| self.member(u16::try_from(id).ok()?)),
        })
    }

    fn backend(&self) -> Option<Backend> {
        let (id, record) = self.last(|asked| match asked {
            Asked::Backend(id, record) => Some((*id, record.copied().unwrap_or_default())),
            _ => None,
        })?;
        chose_backend(self.reason).then(|| Backend {
            member: self.names.member(id),
            forwarding: forwarding(&record),
            reachable: record.is_reachable(),
            interface: self.names.interface(record.ifindex),
            next_hop_mac: mac(&record.next_hop.bytes()),
            mtu: record.mtu,
        })
    }

    fn member(&self, id: u16) -> Option<Member> {
        (id != 0).then(|| self.names.member(id))
    }
}

fn forwarding(backend: &backend::Backend) -> String {
    match backend.mode {
        mode::L2 => "l2".to_owned(),
        mode::IPIP_V4 | mode::IPIP_V6 => "ipip".to_owned(),
        other => format!("#{other}"),
    }
}
