//! Which source address and port a flow has whose members do not see its client: that of its
//! [binding](crate::binding), which is found among a few candidates, or claimed by the packet that opens it.

use super::{Stop, Tables, Transport};
use crate::binding::{Binding, Course, Owner, fit, says, stage};
use crate::reason::Reason;
use crate::snat::{CHOICES, Snat, WAYS};

/// A packet that looks for the binding of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Whose the binding is.
    pub owner: Owner,
    /// Id of the backend that the packet goes to.
    pub backend: u16,
    /// Id of the backend's pool.
    pub pool: u16,
    /// Bits of [`says`].
    pub says: u32,
}

/// What a client's packet says of its flow.
#[inline(always)]
pub(super) const fn says_of(transport: &Transport) -> u32 {
    if transport.is_quoted() {
        return says::QUOTED;
    }
    if transport.is_udp() {
        return says::DATAGRAM;
    }
    let opens = if transport.opens() { says::OPENS } else { 0 };
    let resets = if transport.resets() { says::RESETS } else { 0 };
    let closes = if transport.closes() { says::CLOSES } else { 0 };
    opens | resets | closes
}

/// The number of the binding of a packet's flow, see [`Snat::number`].
#[inline(always)]
pub(super) fn number<T: Tables>(tables: &T, bearer: Bearer) -> Result<u32, Stop> {
    let snat = tables.snat().filter(|_| bearer.owner.is_one()).ok_or(Stop(Reason::NoSourcePort))?;
    let now = tables.now();
    let hash = snat.hash(bearer.owner.0);
    for choice in 0..CHOICES {
        let bucket = snat.bucket(hash, choice);
        if let Some(way) = tables.find_owner(bucket, bearer.owner) {
            return goes_on(tables, bearer, bucket * WAYS + way, now);
        }
    }
    if !bearer.begins() {
        return Err(Stop(Reason::NotOpen));
    }
    let wanted = Course::opening(bearer.backend, bearer.says, idle(tables, bearer.pool), now);
    // Another packet may take the one that this one found: then it looks again, once.
    for _ in 0..2 {
        let number = vacant(tables, snat, hash, now).ok_or(Stop(Reason::NoSourcePort))?;
        if taken(tables, bearer.owner, number, wanted, now) {
            return Ok(number);
        }
    }
    Err(Stop(Reason::NoSourcePort))
}

impl Bearer {
    /// Whether it may begin a flow.
    #[inline(always)]
    const fn begins(&self) -> bool {
        self.says & (says::OPENS | says::DATAGRAM) != 0
    }

    /// Whether it begins another flow than the one that its binding is of.
    #[inline(always)]
    const fn begins_anew(&self, course: Course, now: u32) -> bool {
        let uses_again = self.says & says::OPENS != 0 && course.stage() != stage::OPEN;
        course.is_over(now) || course.backend() != self.backend || uses_again
    }
}

/// A packet of a flow that has a binding.
#[inline(always)]
fn goes_on<T: Tables>(tables: &T, bearer: Bearer, number: u32, now: u32) -> Result<u32, Stop> {
    let Binding { course, .. } = tables.binding(number).ok_or(Stop(Reason::NotOpen))?;
    if bearer.begins() && bearer.begins_anew(course, now) {
        let wanted = Course::opening(bearer.backend, bearer.says, idle(tables, bearer.pool), now);
        tables.claim(number, bearer.owner, Binding { owner: bearer.owner, course: wanted });
        return Ok(number);
    }
    if course.is_over(now) || course.backend() != bearer.backend {
        return Err(Stop(Reason::NotOpen));
    }
    if bearer.says & says::QUOTED == 0 && course.changes(bearer.says, now) {
        let idle = idle(tables, bearer.pool);
        tables.set_course(number, course.after_client(bearer.says, idle, now));
    }
    Ok(number)
}

/// Seconds that flows of a pool may be idle.
#[inline(always)]
fn idle<T: Tables>(tables: &T, pool: u16) -> u32 {
    tables.pool(pool).map_or(0, |pool| pool.idle_timeout)
}

/// What is vacant in a bucket, in a word: how well the best suits (see [`fit`]), which it is, and how many are free.
#[inline(always)]
pub fn vacancy(at: impl Fn(u32) -> Binding, now: u32) -> u32 {
    let (mut best, mut free) = (0, 0);
    for way in 0..WAYS {
        let fit = at(way).fit(now);
        free += u32::from(fit >= fit::OVER);
        let suits = fit << WAY_BITS | way;
        if suits > best {
            best = suits;
        }
    }
    best | free << FREE_SHIFT
}

const WAY_BITS: u32 = WAYS.trailing_zeros();
const FREE_SHIFT: u32 = 8;
const SUITS: u32 = (1 << FREE_SHIFT) - 1;

/// The number of a binding that a flow may take: in its first bucket, unless that has hardly any room; otherwise in the
/// one that has the most.
#[inline(always)]
fn vacant<T: Tables>(tables: &T, snat: &Snat, hash: u64, now: u32) -> Option<u32> {
    let (mut best, mut number) = (0, 0);
    for choice in 0..CHOICES {
        let bucket = snat.bucket(hash, choice);
        let vacancy = tables.vacancy(bucket, now);
        let is_better = vacancy & SUITS >= fit::UNANSWERED << WAY_BITS && vacancy > best;
        if is_better {
            (best, number) = (vacancy, bucket * WAYS + vacancy % WAYS);
        }
        if choice == 0 && vacancy >> FREE_SHIFT > 1 {
            break;
        }
    }
    (best != 0).then_some(number)
}

/// Takes a binding, if it is still vacant.
#[inline(always)]
fn taken<T: Tables>(tables: &T, owner: Owner, number: u32, course: Course, now: u32) -> bool {
    let before = tables.binding(number).filter(|before| before.fit(now) != fit::NONE);
    before.is_some_and(|before| tables.claim(number, before.owner, Binding { owner, course }))
}
