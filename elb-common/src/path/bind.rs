//! Which source address and port a flow has whose members do not see its client: that of its
//! [binding], which is found among a few candidates, or claimed by the packet that opens it.

use core::hint::black_box;

use super::verifier::forgotten;
use super::{Stop, Tables, Transport};
use crate::backend::mode;
use crate::binding::{self, Binding, Course, Owner, Vacancies, says, stage};
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
    /// What its header says, see `Transport::flags`. What that says of the flow is found out late: the verifier would walk
    /// what follows once for each answer.
    pub flags: u32,
}

/// A packet of which it is to be found out what its flow has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passenger {
    /// Whose the binding would be.
    pub owner: Owner,
    /// Id of the backend that the packet goes to.
    pub backend: u16,
    /// Id of the backend's pool.
    pub pool: u16,
    /// What its header says, see `Transport::flags`.
    pub flags: u32,
    /// The hash of its flow, which stays where it has no binding.
    pub hash: u32,
}

/// What a client's packet says of its flow.
#[inline(always)]
const fn says_of(flags: u32) -> u32 {
    let transport = Transport::of_flags(flags);
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

/// The number of the binding of a packet's flow, see [`Snat::number`]; its hash, where it has none: the flow may be older than
/// its listener's move to a pool whose members see source addresses, or the listener may have left such a pool.
#[inline(always)]
pub(super) fn number<T: Tables>(tables: &T, passenger: Passenger) -> Result<u32, Stop> {
    let Passenger { owner, backend, pool, flags, hash } = passenger;
    let hides_client = |id| tables.backend(id).is_some_and(|one| one.mode == mode::FULLNAT);
    if !hides_client(backend) {
        return Ok(hash);
    }
    bound(tables, Bearer { owner, backend, pool, flags })
}

/// The number of the binding of a packet's flow.
#[inline(always)]
fn bound<T: Tables>(tables: &T, bearer: Bearer) -> Result<u32, Stop> {
    let snat = tables.snat().filter(|_| bearer.owner.is_one()).ok_or(Stop(Reason::NoSourcePort))?;
    let hash = snat.hash(bearer.owner.0);
    match own(tables, snat, hash, bearer.owner) {
        // It may be found at many places.
        Some(number) => goes_on(tables, bearer, forgotten(u64::from(number), hash) as u32),
        None => tables.open(bearer),
    }
}

/// The number of a binding for a flow that a packet opens.
#[inline(always)]
pub(super) fn open<T: Tables>(tables: &T, bearer: Bearer) -> Result<u32, Stop> {
    if !begins(says_of(bearer.flags)) {
        return Err(Stop(Reason::NotOpen));
    }
    let snat = tables.snat().ok_or(Stop(Reason::NoSourcePort))?;
    let now = tables.now();
    let hash = snat.hash(bearer.owner.0);
    let number = vacant(tables, snat, hash, now).ok_or(Stop(Reason::NoSourcePort))?;
    let says = says_of(black_box(bearer.flags));
    let wanted = Course::opening(bearer.backend, says, idle(tables, bearer.pool), now);
    // Another CPU may take the same one in this moment: then the sender repeats its packet.
    let is_taken = taken(tables, bearer.owner, number, wanted, now);
    if is_taken { Ok(number) } else { Err(Stop(Reason::NoSourcePort)) }
}

/// The number of an owner's binding.
#[inline(always)]
fn own<T: Tables>(tables: &T, snat: &Snat, hash: u64, owner: Owner) -> Option<u32> {
    for choice in 0..CHOICES {
        let bucket = snat.bucket(hash, choice);
        if let Some(way) = tables.find_owner(bucket, owner) {
            return Some(bucket * WAYS + way);
        }
    }
    None
}

/// Whether a packet that says this may begin a flow.
#[inline(always)]
const fn begins(says: u32) -> bool {
    says & (says::OPENS | says::DATAGRAM) != 0
}

/// A packet of a flow that has a binding.
#[inline(always)]
fn goes_on<T: Tables>(tables: &T, bearer: Bearer, number: u32) -> Result<u32, Stop> {
    let now = tables.now();
    let Binding { course, .. } = tables.binding(number).ok_or(Stop(Reason::NotOpen))?;
    let says = forgotten(u64::from(says_of(bearer.flags)), course.0) as u32;
    let is_over = course.is_over(now) || course.backend() != bearer.backend;
    let uses_again = says & says::OPENS != 0 && course.stage() != stage::OPEN;
    if begins(says) && (is_over || uses_again) {
        let wanted = Course::opening(bearer.backend, says, idle(tables, bearer.pool), now);
        tables.claim(number, bearer.owner, Binding { owner: bearer.owner, course: wanted });
        return Ok(number);
    }
    if is_over {
        return Err(Stop(Reason::NotOpen));
    }
    if says & says::QUOTED == 0 && course.changes(says, now) {
        let idle = idle(tables, bearer.pool);
        tables.set_course(number, course.after_client(says, idle, now));
    }
    Ok(number)
}

/// Seconds that flows of a pool may be idle.
#[inline(always)]
fn idle<T: Tables>(tables: &T, pool: u16) -> u32 {
    tables.pool(pool).map_or(0, |pool| pool.idle_timeout)
}

/// Which of a bucket's bindings is its owner's.
#[inline(always)]
pub fn find_owner(at: impl Fn(u32) -> Owner, owner: Owner) -> Option<u32> {
    (0..WAYS).find(|way| at(*way) == owner)
}

/// What is vacant in a bucket, in a word: how many, and which may be taken, if any may.
#[inline(always)]
pub fn vacancy(at: impl Fn(u32) -> Binding, now: u32) -> u32 {
    let mut all = Vacancies::default();
    for way in 0..WAYS {
        all = all.and(at(way), way, now);
    }
    if all.vacant | all.unanswered == 0 {
        return 0;
    }
    binding::count(all.vacant) << COUNT_SHIFT | MAY_BE_TAKEN | all.any()
}

const MAY_BE_TAKEN: u32 = WAYS;
const COUNT_SHIFT: u32 = 8;
/// Vacant bindings of its first bucket that a flow leaves for others. With fewer than three, now and then a flow finds no
/// port where seven of ten are in use (a simulation of ten million).
const ENOUGH: u32 = 3;

/// The number of a binding that a flow may take: in its first bucket, unless that has hardly any room; otherwise in the
/// one that has the most.
#[inline(always)]
fn vacant<T: Tables>(tables: &T, snat: &Snat, hash: u64, now: u32) -> Option<u32> {
    let (mut most, mut number) = (0, 0);
    for choice in 0..CHOICES {
        let bucket = snat.bucket(hash, choice);
        let vacancy = tables.vacancy(bucket, now);
        if vacancy > most {
            (most, number) = (vacancy, bucket * WAYS + vacancy % WAYS);
        }
        if choice == 0 && vacancy >> COUNT_SHIFT > ENOUGH {
            break;
        }
    }
    (most != 0).then_some(number)
}

/// Takes a binding, if it is still vacant.
#[inline(always)]
fn taken<T: Tables>(tables: &T, owner: Owner, number: u32, course: Course, now: u32) -> bool {
    let before = tables.binding(number).unwrap_or_default();
    let Vacancies { vacant, unanswered } = Vacancies::default().and(before, 0, now);
    vacant | unanswered != 0 && tables.claim(number, before.owner, Binding { owner, course })
}

#[cfg(test)]
mod tests;
