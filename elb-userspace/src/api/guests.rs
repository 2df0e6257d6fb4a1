//! Who may be served at once: clients that showed credentials have places that others cannot take, and those that did
//! not yet share the rest, each network a part of it. While others wait, who shows none soon gives the place up.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// Connections of known clients that are served at once, and of others; more of them wait.
const KNOWN: usize = 128;
const STRANGERS: usize = 128;
/// Of the latter, those of one network.
const OF_NETWORK: usize = 32;
/// Connections of a network that are taken at all; it is cut off what it has beyond that.
const TAKEN_OF_NETWORK: usize = 64;
/// Connections of all strangers that are taken at all.
const TAKEN: usize = 512;
/// For so long after it showed credentials, a network is that of a known client.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Networks that are remembered.
const NETWORKS: usize = 10_000;
/// How long a connection without credentials is served while others wait, and how often it is asked whether any do.
const GRACE: Duration = Duration::from_secs(1);
const ASKED: Duration = Duration::from_millis(200);

/// An address, or the network that one who has an IPv6 address has all addresses of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        const HOSTS: u128 = (1 << 64) - 1;
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !HOSTS).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// All connections that are taken. Its clones are the same one.
#[derive(Clone)]
pub(super) struct Guests(Arc<House>);

struct House {
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// How many wait, of known networks and of others.
    waiting: [AtomicUsize; 2],
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    /// When a network showed credentials last.
    known: HashMap<Network, Instant>,
    /// How many connections strangers have of each, and their places.
    strangers: HashMap<Network, (usize, Arc<Semaphore>)>,
    taken: usize,
}

impl Default for Guests {
    fn default() -> Self {
        let (known, strangers) = (Semaphore::new(KNOWN), Semaphore::new(STRANGERS));
        let lists = Mutex::default();
        let (known, strangers) = (Arc::new(known), Arc::new(strangers));
        Self(Arc::new(House { known, strangers, waiting: Default::default(), lists }))
    }
}

impl Guests {
    /// A connection comes; none: there are too many of its network, or of strangers, and it is to be cut off.
    pub(super) fn arrive(&self, from: IpAddr, now: Instant) -> Option<Guest> {
        let network = Network::of(from);
        let mut lists = self.0.lists();
        let is_known = lists.known.get(&network).is_some_and(|last| now < *last + REMEMBERED);
        let own = if is_known { None } else { Some(lists.enter(network)?) };
        let place = Place { own, permits: Vec::new(), is_proven: false };
        Some(Guest { house: self.0.clone(), network, place: Mutex::new(place) })
    }
}

/// One more that waits, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl House {
    const fn waiting_like(&self, is_stranger: bool) -> &AtomicUsize {
        let [known, strangers] = &self.waiting;
        if is_stranger { strangers } else { known }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    /// One more of a stranger's network: its places.
    fn enter(&mut self, network: Network) -> Option<Arc<Semaphore>> {
        let new = || (0, Arc::new(Semaphore::new(OF_NETWORK)));
        let has = self.strangers.get(&network).map_or(0, |(count, _)| *count);
        if self.taken >= TAKEN || has >= TAKEN_OF_NETWORK {
            return None;
        }
        self.taken += 1;
        let (count, places) = self.strangers.entry(network).or_insert_with(new);
        *count += 1;
        Some(places.clone())
    }

    fn leave(&mut self, network: Network) {
        self.taken -= 1;
        if let Some((count, _)) = self.strangers.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.strangers.remove(&network);
            }
        }
    }

    fn remember(&mut self, network: Network, now: Instant) {
        if self.known.len() >= NETWORKS && !self.known.contains_key(&network) {
            self.known.retain(|_, last| now < *last + REMEMBERED);
        }
        if self.known.len() < NETWORKS || self.known.contains_key(&network) {
            self.known.insert(network, now);
        }
    }
}

/// A connection. Its place is free again when it is dropped.
pub(super) struct Guest {
    house: Arc<House>,
    network: Network,
    place: Mutex<Place>,
}

struct Place {
    /// The places of its network, while it is a stranger.
    own: Option<Arc<Semaphore>>,
    permits: Vec<OwnedSemaphorePermit>,
    /// It showed credentials itself.
    is_proven: bool,
}

impl Guest {
    /// Waits for a place.
    pub(super) async fn be_seated(&self) {
        let own = self.place().own.clone();
        let waiting = self.house.waiting_like(own.is_some());
        let wanted = match own {
            Some(own) => vec![own, self.house.strangers.clone()],
            None => vec![self.house.known.clone()],
        };
        let _waits = Waits::new(waiting);
        for one in wanted {
            // They are never closed.
            if let Ok(permit) = one.acquire_owned().await {
                self.place().permits.push(permit);
            }
        }
    }

    /// Returns when it has its place without credentials for long enough, and others wait for it.
    pub(super) async fn overstays(&self) {
        sleep(GRACE).await;
        loop {
            let (is_proven, is_stranger) = {
                let place = self.place();
                (place.is_proven, place.own.is_some())
            };
            let waiting = self.house.waiting_like(is_stranger);
            if !is_proven && waiting.load(Ordering::Relaxed) > 0 {
                return;
            }
            sleep(ASKED).await;
        }
    }

    /// It showed credentials that are right: it takes no place of strangers any more, if there is another one.
    pub(super) fn prove(&self, now: Instant) {
        self.house.lists().remember(self.network, now);
        let mut place = self.place();
        place.is_proven = true;
        if place.own.is_none() {
            return;
        }
        if let Ok(permit) = self.house.known.clone().try_acquire_owned() {
            (place.own, place.permits) = (None, vec![permit]);
            self.house.lists().leave(self.network);
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.place().own.is_some() {
            self.house.lists().leave(self.network);
        }
    }
}

#[cfg(test)]
mod tests;
