//! From what the packet path asked its tables to the explanation.

use std::cell::RefCell;
use std::net::IpAddr;

use elb_common::backend::{self, mode};
use elb_common::flow::Stage;
use elb_common::listener::{self, algorithm, listener_flags as flags};
use elb_common::path::wire::Udp;
use elb_common::path::{Asked, Frame, Outcome, Tables, Witness, process};
use elb_common::reason::{Fate, Reason};
use elb_common::{client, hash};

use super::translation::Translation;
use super::{
    Admission, Backend, ConnectionId, Decision, ExplainedPacket, Explanation, FlowEntry,
    KnownClient, MatchedListener, Reply, Slot, binding, frame,
};
use crate::control::flow_key::Key;
use crate::model::transport::TransportProtocol;
use crate::observe::names::{BackendMember, Names};
use crate::observe::packet::{SeenFrame, Translated, mac};

/// Room behind the frame; nothing grows at its end.
const TAIL: usize = 64;

/// Lets the packet path decide, and reports what it asked for.
pub(super) fn of(
    mut packet: ExplainedPacket,
    bytes: &[u8],
    ingress: u32,
    tables: &impl Tables,
    names: &Names,
) -> (Explanation, Option<Key>) {
    let mut buffer = buffer(bytes);
    let mut frame = Frame::new(&mut buffer, bytes, ingress).expect("the buffer has room");
    let asked = RefCell::new(Vec::new());
    let outcome = process(&mut frame, &Witness::new(tables, &asked));
    let asked = asked.into_inner();

    let received = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    packet.length = received - u32::try_from(ETHERNET).unwrap_or(0);
    let (egress, answer) = match outcome {
        Outcome::Pass(_) | Outcome::Drop(_) | Outcome::HandOver => (None, None),
        Outcome::Answer(_) => (None, Reply::read(&frame, packet.source.is_ipv4())),
        Outcome::Transmit => (Some(ingress), None),
        Outcome::Redirect(index) => (Some(index), None),
    };
    let sent = frame.bytes();
    let seen = SeenFrame { bytes: sent, length: u32::try_from(sent.len()).unwrap_or(u32::MAX) };
    let translation = Translation { asked: &asked, names, is_v4: packet.source.is_ipv4() };
    let received_frame = SeenFrame { bytes, length: received };
    let outer = received_frame.outer(seen);
    let is_handed_over = outcome == Outcome::HandOver;
    let is_translated = (egress.is_some() || is_handed_over) && outer == 0;
    let testimony = Testimony { asked: &asked, reason: outcome.reason(), names };
    let listener = testimony.listener();
    let (flow, key) = testimony.flow().unzip();
    let (named, decides) = testimony.named().unzip();
    let decides = decides.unwrap_or(false);
    let explanation = Explanation {
        decision: if is_handed_over { handed_over() } else { decision(outcome.reason()) },
        admission: listener
            .map(|(.., record)| Admission::new(&asked, testimony.reason, record, names)),
        connection_id: listener
            .filter(|(.., record)| goes_by_id(&packet, record))
            .map(|(.., record)| ConnectionId::new(packet.cid, record.cid, decides)),
        slot: listener
            .filter(|_| !decides)
            .and_then(|(.., record)| testimony.slot(hash(&packet, bytes, tables, record), record)),
        listener: listener.map(|found| testimony.described(&packet, found)),
        named,
        flow,
        client: testimony.client(),
        backend: testimony.backend(),
        endpoint: translation.endpoint(packet.source),
        noted: translation.noted(),
        bound: binding::of(&asked, names),
        way_back: translation.way(),
        translated: is_translated
            .then(|| Translated::between(received_frame.carried(), seen.carried()))
            .flatten(),
        sent: egress.map(|index| seen.sent(names.interface(index), outer)),
        answer,
        packet,
    };
    (explanation, key.flatten())
}

/// Whether a connection id may show which flow the packet belongs to.
fn goes_by_id(packet: &ExplainedPacket, listener: &listener::Listener) -> bool {
    listener.algorithm == algorithm::CONNECTION_ID && packet.protocol == TransportProtocol::Udp
}

/// What chooses the packet's slot: the hash of the connection id that it was received with, if the
/// listener goes by it, or of its addresses and ports.
fn hash(
    packet: &ExplainedPacket,
    bytes: &[u8],
    tables: &impl Tables,
    listener: &listener::Listener,
) -> u32 {
    let mut buffer = buffer(bytes);
    let frame = Frame::new(&mut buffer, bytes, 0).filter(|_| goes_by_id(packet, listener));
    let datagram = frame::transport_offset(packet) + size_of::<Udp>();
    let digest = frame.and_then(|frame| tables.connection_id(&frame, datagram, listener.cid));
    let key = Key::new(packet.source, packet.destination, packet.protocol.number());
    digest.map_or_else(|| key.hash(listener.algorithm), hash::digest)
}

/// Room for a frame.
fn buffer(bytes: &[u8]) -> Vec<u16> {
    vec![0; (Frame::HEADROOM + bytes.len() + TAIL).div_ceil(2)]
}

const ETHERNET: usize = size_of::<elb_common::path::wire::Ethernet>();

/// Whether a backend was chosen for a packet that met this, or went on.
pub(crate) const fn chose_backend(reason: Option<Reason>) -> bool {
    use Reason::{
        Hairpin, Joined, NoDevice, NoNextHop, NoRoom, TooBig, TooBigAnswered, TtlExpired,
        TupleClash, UnknownBackend,
    };
    matches!(
        reason,
        None | Some(
            UnknownBackend
                | NoNextHop
                | TtlExpired
                | TooBig
                | TooBigAnswered
                | Joined
                | Hairpin
                | TupleClash
                | NoRoom
                | NoDevice
        )
    )
}

fn decision(reason: Option<Reason>) -> Decision {
    Decision {
        fate: fate(reason).to_owned(),
        reason: reason.map(|reason| reason.name().to_owned()),
        meaning: reason.map(|reason| reason.meaning().to_owned()),
        fix: reason.map(|reason| reason.fix().to_owned()).filter(|fix| !fix.is_empty()),
    }
}

/// Of a packet that was translated, and whose way the kernel finds.
fn handed_over() -> Decision {
    let meaning = "it is translated, and left to the kernel, which finds the way to its receiver";
    Decision { meaning: Some(meaning.to_owned()), ..decision(None) }
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

struct Testimony<'a, 't> {
    asked: &'a [Asked<'t>],
    reason: Option<Reason>,
    names: &'a Names,
}

/// Address, port and record of a listener; of one for a range of ports, neither address nor port.
type Found<'t> = (Option<(IpAddr, u16)>, &'t listener::Listener);

#[allow(clippy::wildcard_enum_match_arm, reason = "each method looks for some of the questions")]
impl<'t> Testimony<'_, 't> {
    fn first<T>(&self, found: impl Fn(&Asked<'t>) -> Option<T>) -> Option<T> {
        self.asked.iter().find_map(found)
    }

    fn last<T>(&self, found: impl Fn(&Asked<'t>) -> Option<T>) -> Option<T> {
        self.asked.iter().rev().find_map(found)
    }

    fn listener(&self) -> Option<Found<'t>> {
        self.last(|asked| match asked {
            Asked::ListenerV4(key, Some(listener)) => {
                let [a, b, c, d, high, low, ..]: [u8; 8] = bytemuck::cast(*key);
                Some((Some(([a, b, c, d].into(), u16::from_be_bytes([high, low]))), *listener))
            }
            Asked::ListenerV6(key, Some(listener)) => {
                let [a, b, rest]: [u64; 3] = bytemuck::cast(*key);
                let address: [u8; 16] = bytemuck::cast([a, b]);
                let [high, low, ..] = rest.to_ne_bytes();
                Some((Some((address.into(), u16::from_be_bytes([high, low]))), *listener))
            }
            Asked::Range(_, Some(listener)) => Some((None, *listener)),
            _ => None,
        })
    }

    fn described(&self, packet: &ExplainedPacket, (key, listener): Found<'t>) -> MatchedListener {
        let (address, port) = key.unwrap_or((packet.destination.ip(), 0));
        MatchedListener {
            id: listener.id,
            name: self.names.listener(listener.id),
            address,
            port,
            disabled: listener.flags & flags::DISABLED != 0,
            pool: self.names.pool(listener.pool),
            algorithm: algorithm_name(listener.algorithm),
            tracked: listener.flags & flags::TRACKED != 0,
        }
    }

    fn slot(&self, hash: u32, listener: &listener::Listener) -> Option<Slot> {
        let (index, slot) = self.first(|asked| match asked {
            Asked::Slot(index, Some(slot)) => Some((*index, *slot)),
            _ => None,
        })?;
        Some(Slot {
            hash,
            index: index.wrapping_sub(listener.ring_base),
            of: listener.ring_size,
            moving: slot.is_moving(),
            exceptions: slot.has_exceptions(),
            owner: self.member(slot.cur()),
            former_owner: slot.is_moving().then(|| self.member(slot.prev())).flatten(),
        })
    }

    /// What the flow table says, and the key of the record that it has.
    fn flow(&self) -> Option<(FlowEntry, Option<Key>)> {
        let looked_up = |asked: &Asked<'t>| match asked {
            Asked::FindV4(_, key, found) => Some((Key::V4(*key), *found)),
            Asked::FindV6(_, key, found) => Some((Key::V6(*key), *found)),
            _ => None,
        };
        let records = self.last(|asked| match asked {
            Asked::RecordV4(.., flow) | Asked::RecordV6(.., flow) => Some(flow.backend),
            _ => None,
        });
        let has_room = self.last(|asked| match asked {
            Asked::HasRoom(.., has) => Some(*has),
            _ => None,
        });
        let carried_over = self.last(|asked| match asked {
            Asked::IsCarried(is_carried) => Some(*is_carried),
            _ => None,
        });
        // A flow is looked for among those that live and among those that open, and a connection
        // whose id was seen otherwise before by that, too.
        let found = self.first(|asked| looked_up(asked).filter(|(_, flow)| flow.is_some()));
        let (key, flow) = found.or_else(|| self.first(looked_up))?;
        let entry = FlowEntry {
            recorded: flow.and_then(|flow| self.member(flow.backend)),
            idle: None,
            records: records.and_then(|id| self.member(id)),
            no_room: has_room == Some(false),
            carried_over: carried_over == Some(true),
        };
        Some((entry, flow.map(|_| key)))
    }

    /// What the pool remembers of the client of a new connection. A client that had none is remembered apart.
    fn client(&self) -> Option<KnownClient> {
        let now = self.first(|asked| match asked {
            Asked::Now(now) => Some(*now),
            _ => None,
        })?;
        let pool = self.first(|asked| match asked {
            Asked::Pool(_, found) => *found,
            _ => None,
        })?;
        let asked = |asked: &Asked<'t>| match asked {
            Asked::Client(stage, _, found) => Some((*stage, *found)),
            _ => None,
        };
        // With a later packet it is only noted that the client came.
        self.first(|all| asked(all).filter(|_| self.opens()))?;
        let known = |client: &client::Client| client.is_known(client.pool, pool.persistence, now);
        let by =
            |stage| self.first(|all| asked(all).filter(|(one, _)| *one == stage))?.1.filter(known);
        let both = [Stage::Live, Stage::Opening].map(by);
        let chosen = self.last(|asked| match asked {
            Asked::RecordV4(_, _, flow) | Asked::RecordV6(_, _, flow) => Some(flow.backend),
            _ => None,
        });
        let all = || both.into_iter().flatten();
        let found = all().find(|client| chosen == Some(client.backend)).or_else(|| all().next());
        Some(KnownClient {
            served_by: found.and_then(|client| self.member(client.backend)),
            ago: found.map(|client| now.saturating_sub(client.seen)),
            timeout: pool.persistence.seconds(),
            decides: found.is_some_and(|client| chosen == Some(client.backend))
                && !self.took_turn(),
        })
    }

    /// Whether the packet is the first of a flow.
    fn opens(&self) -> bool {
        let records = |asked: &Asked<'t>| match asked {
            Asked::RecordV4(stage, ..) | Asked::RecordV6(stage, ..) => Some(*stage),
            _ => None,
        };
        self.first(records) == Some(Stage::Opening)
    }

    fn took_turn(&self) -> bool {
        self.asked.iter().any(|asked| matches!(asked, Asked::Turn(..)))
    }

    /// The member that the connection id names, and whether that decides: it must serve the flows
    /// that it has.
    fn named(&self) -> Option<(BackendMember, bool)> {
        let id = self.last(|asked| match asked {
            Asked::Server(_, found) => *found,
            _ => None,
        })?;
        let serves = self.first(|asked| match asked {
            Asked::Backend(asked, record) if *asked == id => Some(*record),
            _ => None,
        });
        let decides = serves.flatten().is_some_and(backend::Backend::serves_established);
        self.member(id).map(|member| (member, decides))
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
            mtu: record.mtu(),
        })
    }

    fn member(&self, id: u16) -> Option<BackendMember> {
        (id != 0).then(|| self.names.member(id))
    }
}

fn forwarding(backend: &backend::Backend) -> String {
    match backend.mode {
        mode::L2 => "l2".to_owned(),
        mode::NAT => "nat".to_owned(),
        mode::FULLNAT => "fullnat".to_owned(),
        mode::NAT46 => "nat46".to_owned(),
        mode::IPIP_V4 | mode::IPIP_V6 => "ipip".to_owned(),
        mode::GUE_V4 | mode::GUE_V6 => "gue".to_owned(),
        other => format!("#{other}"),
    }
}

fn algorithm_name(number: u16) -> String {
    let name = match number {
        algorithm::FIVE_TUPLE => "5_TUPLE_HASH",
        algorithm::THREE_TUPLE => "3_TUPLE_HASH",
        algorithm::TWO_TUPLE => "2_TUPLE_HASH",
        algorithm::SOURCE => "SOURCE_IP",
        algorithm::CONNECTION_ID => "QUIC_CID",
        algorithm::ROUND_ROBIN => "ROUND_ROBIN",
        algorithm::LEAST_CONNECTIONS => "LEAST_CONNECTIONS",
        other => return format!("#{other}"),
    };
    name.to_owned()
}
