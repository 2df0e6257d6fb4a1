//! What policy promises to flows, in the plainest words; nothing of how it is kept.
//!
//! - An established flow that is never silent for longer than the idle timeout stays with its
//!   member, for as long as that serves the flows that it has, whatever pool its listener serves.
//! - For UDP that goes, after a change, for flows that speak within the hold time; and after its
//!   listener went to another pool, for one idle timeout.
//! - A member serves its flows until `connection_drain` is over after it left, or, where the pool
//!   rehashes, it fails; from then on it gets nothing.
//! - A new flow goes to a member that takes new ones, if there is any in the pool that its listener
//!   serves: one with a weight that is neither sick, drained nor removed; backup members take new ones
//!   while fewer of the others than `backup_below` do, and do not leave when they go back into reserve.
//! - A listener with a fallback pool is served by that while too few members of its own take new flows.
//! - Where the pool remembers its clients, a new connection of a client goes to the member of its last one, if
//!   that takes new ones all the time, and the client was not away.
//! - A connection that its client closed is served for some seconds of silence.
//! - A member with a limit gets no connection more than that while those that it has go on. A connection of which
//!   only the first packet came is none yet: it may be refused by then.
//! - A flow that found no room for a record is not promised to stay, and may be refused.
//! - Of two flows that a member could not tell apart, one goes there at a time. No more is promised to the other.

use std::collections::{BTreeMap, BTreeSet};

use elb_common::limits::HALF_OPEN_TIMEOUT;
use elb_userspace::model::Protocol;
use proptest::prelude::*;

use crate::script::{
    Change, MEMBERS, POOLS, Packet, REMEMBERED_FOR, Wanted, client_of, listener_of, pool_of,
    twin_of,
};
use crate::world::CLOSED_FOR;

/// Between two looks at the clock, in milliseconds. In the kernel it goes on while things happen.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

const SECOND: u64 = 1000;

pub struct Oracle {
    wanted: Wanted,
    flows: BTreeMap<u8, Flow>,
    /// When the flows of members that left are cut: not before, and not after. Clocks are read in
    /// whole seconds, so that it may be one later.
    cuts: BTreeMap<u8, Span>,
    /// Members that serve nothing, for sure.
    gone: BTreeSet<u8>,
    /// Until when UDP flows without a record may go to former owners.
    held_until: u64,
    /// When each listener went to another pool, and its least idle timeout since, unless that is long over.
    moved: [Option<(u64, u64)>; POOLS],
    /// The member that last got a packet of a flow, promised or not.
    last: BTreeMap<u8, u8>,
    /// When the counts of connections were corrected last.
    swept: Option<u64>,
    /// By pool and client: the member that all of the client's flows there are at.
    known: BTreeMap<(usize, u8), Known>,
    /// Where packets of flows with a twin were translated to, so that the twin may be refused.
    translated: BTreeMap<u8, Translated>,
    /// Which of them was translated last, and how often they took a member from each other.
    holder: Option<u8>,
    taken: u32,
}

/// The last packet of a flow that was translated.
#[derive(Clone, Copy)]
struct Translated {
    member: u8,
    at: u64,
    /// Its client has closed the connection, and opened none since.
    is_closed: bool,
}

/// What a pool is sure to remember of a client.
#[derive(Clone, Copy)]
struct Known {
    member: u8,
    /// When a packet last said so.
    spoke: u64,
}

/// A flow, since its last packet.
struct Flow {
    member: u8,
    spoke: u64,
    /// The least idle timeout since.
    idle: u64,
    /// Changes do not matter to it: it is of TCP, or was recorded whatever the slot.
    is_recorded: bool,
    /// Until when it must speak otherwise, after the first change since.
    held_until: Option<u64>,
    /// Its member never ceased to serve it.
    is_served: bool,
    /// It found no room for a record once, or clashed with its twin.
    is_refused: bool,
    /// Its client closed it. It still acknowledges what it gets.
    is_closed: bool,
    /// No packet of it came before the one that opened it, so that no record is left of it.
    is_first: bool,
    /// More than its first packet came, so that it is a connection.
    is_connection: bool,
    /// As which it counts until its client closes it, in a pool that counts them.
    is_counted: bool,
    /// Whether its pool counted connections when it opened: one that was there before is not refused, and may not be
    /// known to the count.
    opened_counted: bool,
}

/// Seconds after a sweep for which counts of connections are believed.
const BELIEVED: u64 = 60 * SECOND;

impl Oracle {
    pub fn new(wanted: Wanted) -> Self {
        let (flows, cuts, gone, last, known, translated) = Default::default();
        let (held_until, moved, swept) = (0, [None; POOLS], None);
        let (holder, taken) = (None, 0);
        Self {
            wanted,
            flows,
            cuts,
            gone,
            held_until,
            moved,
            last,
            swept,
            known,
            translated,
            holder,
            taken,
        }
    }

    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub fn change(&mut self, change: Change, span: Span) {
        let drains = self.wanted.pools.each_ref().map(|pool| pool.drain);
        let pools = self.wanted.listeners.map(|listener| listener.pool);
        self.wanted.apply(change);
        if matches!(change, Change::Algorithm(..) | Change::Remember(..) | Change::Present(..)) {
            self.known.clear();
        }
        let known = std::mem::take(&mut self.known);
        self.known = known.into_iter().filter(|(_, one)| self.takes_new(one.member)).collect();
        let now = self.wanted.listeners.map(|listener| listener.pool);
        for (moved, (now, before)) in self.moved.iter_mut().zip(now.iter().zip(pools)) {
            if *now != before {
                moved.get_or_insert((second(span.from), u64::MAX));
            }
        }
        for (moved, listener) in self.moved.iter_mut().zip(self.wanted.listeners) {
            *moved = moved.map(|(at, idle)| (at, idle.min(milliseconds(listener.idle))));
        }
        for member in 1..=2 * MEMBERS {
            let pool = &self.wanted.pools[pool_of(member)];
            // A pool that goes leaves the delay that it had.
            let drain = if pool.present { pool.drain } else { drains[pool_of(member)] };
            let delay = drain.filter(|_| !self.may_take_new(member)).map(milliseconds);
            let Some(delay) = delay else {
                self.cuts.remove(&member);
                continue;
            };
            let (from, to) = (span.from + delay, span.to + delay + SECOND);
            let cut = self.cuts.entry(member).or_insert(Span { from, to });
            *cut = Span { from: cut.from.min(from), to: cut.to.min(to) };
        }
        let holds = self.wanted.pools.each_ref().map(|pool| milliseconds(pool.udp_hold));
        let [least, most] = [holds[0].min(holds[1]), holds[0].max(holds[1])];
        self.held_until = self.held_until.max(second(span.to) + most);
        let idle = self.wanted.listeners.map(|listener| milliseconds(listener.idle));
        for (number, flow) in &mut self.flows {
            flow.idle = flow.idle.min(idle[listener_of(*number)]);
            if !flow.is_recorded {
                flow.held_until.get_or_insert(second(span.from) + least);
            }
        }
    }

    /// The agent swept: what moved longer ago than any timeout is over.
    pub fn swept(&mut self, span: Span) {
        self.swept = Some(span.from);
        let idle = self.wanted.listeners.iter().map(|listener| milliseconds(listener.idle)).max();
        let over = |at: &u64| span.from >= at + idle.unwrap_or(0) + 3 * SECOND;
        for moved in &mut self.moved {
            *moved = moved.filter(|(at, _)| !over(at));
        }
    }

    /// Time passed, and the agent did what is due.
    pub fn look(&mut self, span: Span) {
        let is_sick = |member: u8| self.wanted.member(member).is_some_and(|member| member.sick);
        let rehashes = |member: u8| self.wanted.pools[pool_of(member)].rehash;
        let rehashed = |member: &u8| rehashes(*member) && is_sick(*member);
        let gone = |cut: fn(&Span) -> u64, at: u64| -> BTreeSet<u8> {
            let is_cut = |member: &u8| self.cuts.get(member).is_some_and(|span| cut(span) <= at);
            let leaves = |member: &u8| !self.may_take_new(*member);
            (1..=2 * MEMBERS).filter(leaves).filter(|m| rehashed(m) || is_cut(m)).collect()
        };
        let perhaps = gone(|cut| cut.from, span.to);
        self.gone = gone(|cut| cut.to, span.from);
        for flow in self.flows.values_mut().filter(|flow| perhaps.contains(&flow.member)) {
            flow.is_served = false;
        }
    }

    /// Whether a client would send such a packet.
    pub fn may_send(&self, flow: u8, packet: Packet) -> bool {
        self.is_udp() || packet == Packet::Opening || self.flows.contains_key(&flow)
    }

    /// A packet was answered by a member, or by none; perhaps it was refused a record.
    pub fn sent(
        &mut self,
        (flow, packet): (u8, Packet),
        member: Option<u8>,
        refused: bool,
        span: Span,
    ) -> Result<(), TestCaseError> {
        let before = self.flows.remove(&flow);
        let refused = refused || before.as_ref().is_some_and(|before| before.is_refused);
        let clash = self.clashes(flow, packet, member, span)?;
        let refused = clash.is_some() || refused;
        if let Some(member) = member {
            prop_assert!(!self.gone.contains(&member), "member {member} serves nothing any more");
        }
        let last = self.last.remove(&flow);
        // A packet that was refused a record, or a place at its member, leaves the flow where it was.
        let is_limited = |before: &Flow| {
            !before.is_connection && member.is_none() && self.wanted.most(before.member) > 0
        };
        let stays = refused || before.as_ref().is_some_and(is_limited);
        let opens = !self.is_udp() && packet == Packet::Opening;
        // It was to be the twin's member's, which is remembered of the first packet.
        let at = member.or(last.filter(|_| stays)).or(clash.filter(|_| opens));
        self.last.extend(at.map(|member| (flow, member)));
        let is_promised =
            !opens && before.as_ref().is_some_and(|before| self.is_promised(flow, before, span));
        match &before {
            Some(before) if is_promised && is_limited(before) => {}
            Some(before) if is_promised && !refused => {
                prop_assert_eq!(member, Some(before.member), "flow {} moved", flow);
            }
            _ if opens || self.is_udp() => {
                self.opened(flow, last, member, refused, span)?;
            }
            // It was refused a record, and is again until it gets one, also where it opens anew.
            _ if is_promised => {}
            _ => return Ok(()), // nothing is promised, and a broken connection does not go on
        }
        self.remember(flow, (opens, last), member, refused, span)?;
        let ends = !self.is_udp() && packet == Packet::Rst;
        let goes_on = before.as_ref().filter(|before| is_promised && Some(before.member) == member);
        let is_new =
            |before: &&Flow| before.is_first && !before.is_connection && before.opened_counted;
        // Limits are those of the pool that serves the listener.
        let is_own = pool_of(member.unwrap_or(1)) == self.wanted.listeners[listener_of(flow)].pool;
        if let Some(member) = goes_on.filter(is_new).and(member).filter(|_| is_own) {
            self.has_room(member, packet, span)?;
        }
        let after = match member {
            Some(member) => (!ends).then(|| {
                let spoke = self.spoke((flow, packet), (member, refused), goes_on, span);
                let is_first = goes_on.map_or(last.is_none(), |before| before.is_first);
                Flow { is_first, ..spoke }
            }),
            // It may go on, should its member serve again.
            None => before.map(|before| Flow { is_served: false, is_refused: refused, ..before }),
        };
        self.flows.extend(after.map(|after| (flow, after)));
        Ok(())
    }

    /// The member of the flow's twin, if a packet was perhaps refused because of that. Where it was not, the twin may be
    /// from now on.
    ///
    /// Where both listeners have come to share a member's endpoint, what was there before is not noted: each of the two
    /// may take the member from the other once.
    fn clashes(
        &mut self,
        flow: u8,
        packet: Packet,
        member: Option<u8>,
        span: Span,
    ) -> Result<Option<u8>, TestCaseError> {
        let Some(twin) = twin_of(flow) else { return Ok(None) };
        let other = self.translated.get(&twin).copied();
        let Some(member) = member else { return Ok(other.map(|other| other.member)) };
        if !self.wanted.translates(member) {
            return Ok(None);
        }
        let is_live = |other: &Translated| {
            let is_silent = self.is_udp() && span.to - other.at > milliseconds(HALF_OPEN_TIMEOUT);
            other.member == member && !other.is_closed && !is_silent
        };
        if !other.as_ref().is_some_and(is_live) {
            self.taken = 0;
        } else if self.holder.replace(flow) != Some(flow) {
            self.taken += 1;
            prop_assert!(self.taken <= 2, "flows {} and {} share member {}", flow, twin, member);
        }
        self.holder = Some(flow);
        let own = self.translated.get(&flow).filter(|own| own.member == member);
        let closes = !self.is_udp() && matches!(packet, Packet::Fin | Packet::Rst);
        let was_closed = own.is_some_and(|own| own.is_closed) && packet != Packet::Opening;
        let is_closed = closes || was_closed;
        self.translated.insert(flow, Translated { member, at: span.from, is_closed });
        if let Some(twin) = self.flows.get_mut(&twin).filter(|twin| twin.member == member) {
            twin.is_refused = true;
        }
        Ok(None)
    }

    /// Where the pool remembers its clients: all flows of one are at one member, for as long as that takes new
    /// ones and the client is not away, unless one was opened elsewhere before.
    fn remember(
        &mut self,
        flow: u8,
        (opens, last): (bool, Option<u8>),
        member: Option<u8>,
        refused: bool,
        span: Span,
    ) -> Result<(), TestCaseError> {
        let pool = self.wanted.listeners[listener_of(flow)].pool;
        let key = (pool, client_of(flow));
        let known = self.known.remove(&key);
        let Some(member) = member.filter(|_| self.wanted.remembers(pool) && !refused) else {
            return Ok(());
        };
        let Some(known) = known else {
            // A first packet that is repeated goes where the first one went, and says nothing new.
            let is_new = opens && last.is_none();
            if is_new && pool_of(member) == pool && self.takes_new(member) {
                self.known.insert(key, Known { member, spoke: span.from });
            }
            return Ok(());
        };
        let in_time = span.to - known.spoke <= milliseconds(REMEMBERED_FOR);
        // One with a limit may have as many as it may.
        let has_limit = self.wanted.most(known.member) > 0;
        if opens && in_time && last.is_none() && !has_limit {
            prop_assert_eq!(member, known.member, "client of flow {} is known", flow);
        }
        if known.member == member {
            // Another packet than the first of a flow may say so, but need not.
            let spoke = if opens && last.is_none() { span.from } else { known.spoke };
            self.known.insert(key, Known { spoke, ..known });
        }
        Ok(())
    }

    /// A flow becomes a connection of a member that may have only so many.
    fn has_room(&self, member: u8, packet: Packet, span: Span) -> Result<(), TestCaseError> {
        let most = self.wanted.most(member) as usize;
        // Datagrams that are held after a change are noted, and not counted.
        let is_data = !self.is_udp() && packet == Packet::Data;
        let is_believed = self.swept.is_some_and(|swept| span.to + SECOND < swept + BELIEVED);
        if most == 0 || !is_data || !is_believed {
            return Ok(());
        }
        let of = self.flows.iter().filter(|(_, flow)| flow.member == member && flow.is_counted);
        let live = of.filter(|(number, flow)| self.is_promised(**number, flow, span)).count();
        prop_assert!(live < most, "member {member} has {live} connections and gets one more");
        Ok(())
    }

    /// Whether the pool of a flow counts connections.
    fn counts(&self, flow: u8) -> bool {
        self.wanted.pools[self.wanted.listeners[listener_of(flow)].pool].algorithm.is_tracked()
    }

    /// A flow that a packet came of, which may go on as it was before.
    fn spoke(
        &self,
        (flow, packet): (u8, Packet),
        (member, refused): (u8, bool),
        before: Option<&Flow>,
        span: Span,
    ) -> Flow {
        let listener = self.wanted.listeners[listener_of(flow)];
        let idle = milliseconds(listener.idle);
        let closes = !self.is_udp() && packet == Packet::Fin;
        let is_closed = closes || before.is_some_and(|before| before.is_closed);
        let is_connection = before
            .is_some_and(|before| before.is_connection || self.is_udp() || packet == Packet::Data);
        let is_counted = before.is_some_and(|before| match before.is_connection {
            true => before.is_counted && !closes,
            false => before.opened_counted && self.counts(flow),
        });
        Flow {
            member,
            spoke: span.from,
            idle: if is_closed { idle.min(milliseconds(CLOSED_FOR) - SECOND) } else { idle },
            is_recorded: !self.is_udp() || self.wanted.pools[listener.pool].algorithm.is_tracked(),
            held_until: None,
            is_served: !refused,
            is_refused: refused,
            is_closed,
            is_first: false,
            is_connection,
            is_counted: is_connection && is_counted && !is_closed,
            opened_counted: before
                .map_or_else(|| self.counts(flow), |before| before.opened_counted),
        }
    }

    /// A packet opened a flow, for all that is promised.
    fn opened(
        &self,
        flow: u8,
        last: Option<u8>,
        member: Option<u8>,
        refused: bool,
        span: Span,
    ) -> Result<(), TestCaseError> {
        let pool = self.wanted.listeners[listener_of(flow)].pool;
        let is_welcome = |member: u8| pool_of(member) == pool && self.takes_new(member);
        let is_held = self.is_udp() && second(span.from) < self.held_until;
        let Some(member) = member else {
            // Of members that have limits, all may have as many as they may, and one that has not may be hard to find.
            let has_limit = |member: &u8| self.wanted.most(*member) > 0;
            let mut welcome = (1..=2 * MEMBERS).filter(|member| is_welcome(*member));
            let served = welcome.clone().next().is_some() && !welcome.any(|one| has_limit(&one));
            let stays = last.is_some_and(|last| has_limit(&last));
            prop_assert!(!served || refused || stays, "no member takes a new flow");
            return Ok(());
        };
        // A client that opens a connection again without having closed it may go on where it was, and a
        // flow without room for a record where flows were before.
        let goes_on = last == Some(member) && (self.is_udp() || self.takes_new(member));
        let may_stay = refused && self.takes_new(member);
        prop_assert!(
            is_welcome(member) || is_held || goes_on || may_stay,
            "member {member} takes no new flows"
        );
        Ok(())
    }

    fn is_promised(&self, number: u8, flow: &Flow, span: Span) -> bool {
        let listener = listener_of(number);
        let in_time = flow.held_until.is_none_or(|until| second(span.to) < until);
        let follows = self.is_udp() && pool_of(flow.member) != self.wanted.listeners[listener].pool;
        let is_left = |(at, idle)| span.to < at + idle;
        let stays = !follows || self.moved[listener].is_some_and(is_left);
        flow.is_served && in_time && stays && span.to - flow.spoke <= flow.idle
    }

    fn is_udp(&self) -> bool {
        self.wanted.protocol == Protocol::Udp
    }

    fn takes_new(&self, member: u8) -> bool {
        self.may_take_new(member) && (!self.is_backup(member) || self.is_short(pool_of(member)))
    }

    /// Whether it would, if it were needed.
    fn may_take_new(&self, member: u8) -> bool {
        let member = self.wanted.member(member);
        member.is_some_and(|member| member.weight > 0 && !member.sick && !member.drained)
    }

    fn is_backup(&self, member: u8) -> bool {
        self.wanted.member(member).is_some_and(|member| member.backup)
    }

    /// Whether too few members of a pool that are no backup can take new flows.
    fn is_short(&self, pool: usize) -> bool {
        let others = self.wanted.pools[pool].members.keys().filter(|one| !self.is_backup(**one));
        let serving = others.filter(|one| self.may_take_new(**one)).count();
        serving < self.wanted.pools[pool].backup_below as usize
    }
}

fn milliseconds(seconds: u32) -> u64 {
    u64::from(seconds) * SECOND
}

/// When the second began that it is: so clocks are read.
fn second(time: u64) -> u64 {
    time / SECOND * SECOND
}
