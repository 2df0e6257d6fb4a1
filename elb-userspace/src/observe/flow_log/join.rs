//! Connections from their opens and ends. Those that are open are remembered, the latest of them only.

use std::collections::{HashMap, VecDeque};

use elb_common::flow::Ports;
use elb_common::flow_log::{FlowEvent, Kind, known};
use schemars::JsonSchema;
use serde::Serialize;

/// How a connection ended, if that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The client closed it.
    Fin,
    /// The client reset it.
    Rst,
    /// The client opened another one with the same addresses and ports.
    Reopened,
    /// More were open than are remembered: nothing is known of its end.
    Evicted,
    /// The log was turned off before it ended.
    Stopped,
}

impl Ended {
    /// By a segment that ends one.
    pub(super) const fn by(event: &FlowEvent) -> Self {
        const RST: u32 = 0x04;
        if event.flags & RST != 0 { Self::Rst } else { Self::Fin }
    }
}

/// A connection of which no more will be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// When that was so.
    pub(super) time: u64,
    /// What opened it, if that was seen.
    pub(super) open: Option<FlowEvent>,
    /// What ended it, if that was seen.
    pub(super) end: Option<FlowEvent>,
    pub(super) ended: Ended,
}

impl Connection {
    /// Bytes that the client sent, modulo 2³²: from the sequence numbers of its first and its last segment.
    pub(super) fn bytes_in(&self) -> Option<u32> {
        let (open, end) = self.open.zip(self.end)?;
        // A reset of a client that knows of no connection has none (RFC 9293 §3.5.2).
        let is_known = self.ended == Ended::Fin || end.sequence != 0;
        let sent = end.sequence.wrapping_add(end.data).wrapping_sub(open.sequence);
        Some(sent.wrapping_sub(1)).filter(|_| is_known && sent != 0)
    }
}

/// Connections that are open.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    known: HashMap<Key, Remembered>,
    /// In the order of their opens, the last of which counts.
    order: VecDeque<(u64, Key)>,
    serial: u64,
}

type Key = ([u64; 2], [u64; 2], Ports);

#[derive(Clone, Copy, Debug)]
struct Remembered {
    serial: u64,
    open: Option<FlowEvent>,
    /// The sequence number of its end, if that was seen.
    over: Option<u32>,
}

impl Connections {
    /// At most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: HashMap::new(), order: VecDeque::new(), serial: 0 }
    }

    /// Takes an open or an end; what is known no more is for `each`.
    pub(super) fn note(&mut self, event: &FlowEvent, mut each: impl FnMut(&Connection)) {
        let key = (event.source, event.destination, event.ports);
        let remembered = self.known.get(&key).copied();
        if event.known & known::PORTS == 0 {
            return;
        }
        match FlowEvent::kind(event.reason, event.flags) {
            Kind::Open => {
                let is_same = |one: &Remembered| {
                    let same = |open: FlowEvent| open.sequence == event.sequence;
                    one.over.is_none() && one.open.is_some_and(same)
                };
                if remembered.as_ref().is_some_and(is_same) {
                    return;
                }
                if let Some(one) = remembered.filter(|one| one.over.is_none()) {
                    each(&one.without_end(event.time, Ended::Reopened));
                }
                self.remember(key, (Some(*event), None), event.time, &mut each);
            }
            Kind::End => match remembered {
                Some(one) if one.repeats(event) => {}
                Some(one) if one.over.is_none() => {
                    each(&ended(one.open, event));
                    self.known.insert(key, Remembered { over: Some(event.sequence), ..one });
                }
                Some(_) | None => {
                    each(&ended(None, event));
                    self.remember(key, (None, Some(event.sequence)), event.time, &mut each);
                }
            },
            Kind::Refusal => {}
        }
    }

    /// Nothing more will be known of any.
    pub(super) fn end(&mut self, mut each: impl FnMut(&Connection)) {
        for (serial, key) in std::mem::take(&mut self.order) {
            // The key may have been remembered again since, further on in the order.
            let found = self.known.get(&key).filter(|one| one.serial == serial);
            if let Some(one) = found.filter(|one| one.over.is_none()) {
                each(&one.without_end(one.open.map_or(0, |open| open.time), Ended::Stopped));
            }
        }
        self.known.clear();
    }

    fn remember(
        &mut self,
        key: Key,
        (open, over): (Option<FlowEvent>, Option<u32>),
        now: u64,
        each: &mut impl FnMut(&Connection),
    ) {
        self.serial += 1;
        let serial = self.serial;
        self.known.insert(key, Remembered { serial, open, over });
        self.order.push_back((serial, key));
        while self.order.len() > self.most {
            let Some((serial, key)) = self.order.pop_front() else { return };
            if self.known.get(&key).is_none_or(|one| one.serial != serial) {
                continue;
            }
            let gone = self.known.remove(&key).filter(|one| one.over.is_none());
            if let Some(one) = gone {
                each(&one.without_end(now, Ended::Evicted));
            }
        }
    }
}

impl Remembered {
    /// Whether a segment ends it again: its number lies within a window of what was the end.
    fn repeats(&self, end: &FlowEvent) -> bool {
        const WINDOW: u32 = 1 << 20;
        let is_near = |over: u32| end.sequence == 0 || end.sequence.wrapping_sub(over) < WINDOW;
        self.over.is_some_and(is_near)
    }

    const fn without_end(&self, time: u64, ended: Ended) -> Connection {
        Connection { time, open: self.open, end: None, ended }
    }
}

const fn ended(open: Option<FlowEvent>, end: &FlowEvent) -> Connection {
    Connection { time: end.time, open, end: Some(*end), ended: Ended::by(end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elb_common::addr::Be16;
    use elb_common::trace::FORWARDED;
    use proptest::prelude::*;

    const SYN: u32 = 2;
    const FIN: u32 = 0x11;
    const RST: u32 = 4;

    fn event(port: u16, flags: u32, sequence: u32, data: u32) -> FlowEvent {
        let ports = Ports { source: Be16::new(port), destination: Be16::new(80) };
        let known = known::ENDS | known::PORTS | known::SEGMENT;
        FlowEvent { ports, flags, sequence, data, known, reason: FORWARDED, ..Default::default() }
    }

    fn follow(most: usize, events: &[FlowEvent]) -> Vec<(Option<u32>, Ended)> {
        let (mut connections, mut all) = (Connections::new(most), Vec::new());
        for event in events {
            connections.note(event, |one| all.push((one.bytes_in(), one.ended)));
        }
        all
    }

    #[test]
    fn bytes_are_what_lies_between_open_and_end() {
        let all = [event(1, SYN, u32::MAX - 1, 0), event(1, FIN, 4, 6)];
        assert_eq!(follow(9, &all), [(Some(11), Ended::Fin)]);
        let nothing = [event(1, SYN, 7, 0), event(1, RST, 8, 0)];
        assert_eq!(follow(9, &nothing), [(Some(0), Ended::Rst)]);
        let without_number = [event(1, SYN, 7, 0), event(1, RST, 0, 0)];
        assert_eq!(follow(9, &without_number), [(None, Ended::Rst)]);
        assert_eq!(follow(9, &[event(1, FIN, 8, 0)]), [(None, Ended::Fin)], "no open was seen");
    }

    #[test]
    fn what_is_repeated_counts_once() {
        let syn = event(1, SYN, 7, 0);
        let fin = event(1, FIN, 10, 0);
        let all =
            [syn, syn, fin, fin, event(1, RST, 11, 0), event(2, FIN, 1, 0), event(2, FIN, 1, 0)];
        assert_eq!(follow(9, &all), [(Some(2), Ended::Fin), (None, Ended::Fin)]);
        let again = [syn, fin, event(1, SYN, 500, 0), event(1, FIN, 502, 0)];
        assert_eq!(follow(9, &again), [(Some(2), Ended::Fin), (Some(1), Ended::Fin)]);
        let unseen = [syn, fin, event(1, FIN, 1 << 30, 0)];
        assert_eq!(follow(9, &unseen), [(Some(2), Ended::Fin), (None, Ended::Fin)], "another one");
        let reopened = [syn, event(1, SYN, 500, 0)];
        assert_eq!(follow(9, &reopened), [(None, Ended::Reopened)]);
    }

    #[test]
    fn the_oldest_gives_way_and_its_end_is_known_no_more() {
        let all =
            [event(1, SYN, 1, 0), event(2, SYN, 1, 0), event(3, SYN, 1, 0), event(1, FIN, 9, 0)];
        let seen = follow(2, &all);
        assert_eq!(seen[..2], [(None, Ended::Evicted), (None, Ended::Fin)]);
    }

    #[test]
    fn a_connection_after_an_end_without_its_open_is_said_at_the_end() {
        let mut connections = Connections::new(8);
        for one in [event(6, FIN, 0, 0), event(6, SYN, 0, 0)] {
            connections.note(&one, |_| ());
        }
        let mut said = Vec::new();
        connections.end(|one| said.push(one.ended));
        assert_eq!(said, [Ended::Stopped]);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_each_connection_is_said_once(
            events in proptest::collection::vec((0..12_u16, any::<bool>(), 0..3_u32), 0..300),
        ) {
            let mut connections = Connections::new(8);
            let (mut opens, mut said) = (std::collections::BTreeSet::new(), 0);
            for (turn, (port, opens_one, isn)) in events.into_iter().enumerate() {
                let event = event(port, if opens_one { SYN } else { FIN }, isn, 0);
                let event = FlowEvent { time: turn as u64, ..event };
                connections.note(&event, |one| said += usize::from(one.open.is_some()));
                prop_assert!(connections.order.len() <= 8 && connections.known.len() <= 8);
                opens.extend(connections.known.values().filter_map(|one| Some(one.open?.time)));
            }
            connections.end(|one| said += usize::from(one.open.is_some()));
            prop_assert_eq!(said, opens.len());
        }
    }

    /// docs/flow-log.md says how much memory 65,536 take.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<(Key, Remembered)>() <= 144, "{}", size_of::<(Key, Remembered)>());
        assert_eq!(size_of::<(u64, Key)>(), 48);
    }
}
