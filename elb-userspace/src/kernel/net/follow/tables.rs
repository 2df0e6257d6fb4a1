//! The kernel's main routing table, and this host's own addresses, as it lists them.
//!
//! A table may have a million routes, so of each message only what matters is read, without making a value of
//! the rest.

use std::net::IpAddr;

use nix::libc::{AF_INET, AF_INET6};

use super::FollowError;
use super::notices::attributes;
use super::requests::Requests;
use crate::control::network::client_routes::{ClientTable, ListedWay, RouteHop, RouteListing};
use crate::kernel::net::probe_route::is_of_probes;
use crate::model::ipgroup::Cidr;

/// What says how the kernel routes packets to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) routes: ClientTable,
    /// Rules by which the kernel may choose another table, in words.
    pub(super) other_rules: Vec<String>,
}

const MAIN: u32 = 254;
const LOCAL: u32 = 255;
const DEFAULT: u32 = 253;

/// Lists them.
///
/// # Errors
/// See [`FollowError`].
pub(super) async fn list() -> Result<Tables, FollowError> {
    let mut requests = Requests::open_strict()?;
    let mut listing = RouteListing::default();
    for family in [AF_INET, AF_INET6] {
        for table in [MAIN, LOCAL] {
            let take = |message: &[u8]| {
                if let Some((prefix, metric, way)) = route(message, family, table) {
                    listing.add(prefix, metric, way);
                }
            };
            requests.routes(family, table, take).await?;
        }
    }
    let mut other_rules = Vec::new();
    requests.rules(|message| other_rules.extend(other_rule(message))).await?;
    // Sorting a million routes takes a while, in which the network is followed.
    let routes = tokio::task::spawn_blocking(move || listing.finish()).await;
    let routes = routes.map_err(|error| FollowError::Socket(std::io::Error::other(error)))?;
    Ok(Tables { routes, other_rules })
}

/// What a route message says (struct rtmsg and its attributes), if the kernel may take that route for what it
/// forwards.
fn route(message: &[u8], wanted: i32, table: u32) -> Option<(Cidr, u32, ListedWay)> {
    const CLONED: u32 = 0x200;
    const DEAD: u32 = 1;
    const TO_HOST: u8 = 2;
    let [family, bits, source_bits, tos, short, _, _, kind] = *message.first_chunk()?;
    let flags = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
    if i32::from(family) != wanted || source_bits != 0 || tos != 0 || flags & CLONED != 0 {
        return None;
    }
    let mut read = Attributes { table: short.into(), ..Attributes::default() };
    read.read(message.get(12..)?, wanted);
    let is_own = table == LOCAL;
    if read.table != table || is_own && kind != TO_HOST {
        return None;
    }
    let unspecified =
        if wanted == AF_INET { IpAddr::from([0; 4]) } else { IpAddr::from([0_u8; 16]) };
    let prefix = Cidr::of(read.destination.unwrap_or(unspecified), bits)?;
    let way = match kind {
        1 if flags & DEAD != 0 => return None,
        1 => read.unicast()?,
        TO_HOST => ListedWay::Local,
        // Black hole, unreachable, prohibited.
        6..=8 => ListedWay::Nowhere,
        _ => ListedWay::Other,
    };
    Some((prefix, read.metric, way))
}

/// The attributes that matter, as the kernel numbers them.
#[derive(Default)]
struct Attributes<'a> {
    table: u32,
    destination: Option<IpAddr>,
    metric: u32,
    mtu: Option<u32>,
    hop: Hop,
    several: Option<&'a [u8]>,
    family: i32,
}

/// One next hop.
#[derive(Clone, Copy, Default)]
struct Hop {
    ifindex: Option<u32>,
    gateway: Option<IpAddr>,
    /// Packets get outer headers.
    is_tunnel: bool,
}

impl<'a> Attributes<'a> {
    fn read(&mut self, bytes: &'a [u8], family: i32) {
        self.family = family;
        for (kind, value) in attributes(bytes) {
            match kind & KIND {
                1 => self.destination = address(value, family),
                6 => self.metric = number(value).unwrap_or(0),
                8 => {
                    let mut metrics = attributes(value);
                    let mtu = metrics.find(|(kind, _)| kind & KIND == 2);
                    self.mtu = mtu.and_then(|(_, value)| number(value));
                }
                9 => self.several = Some(value),
                15 => self.table = number(value).unwrap_or(self.table),
                _ => self.hop.read(kind, value, family),
            }
        }
    }

    /// The way of a route by interfaces; none if no packet goes by it now.
    fn unicast(&self) -> Option<ListedWay> {
        let via = |hops| Some(ListedWay::Via { hops, mtu: self.mtu });
        let Some(several) = self.several else {
            return match self.hop {
                Hop { ifindex: Some(ifindex), gateway, is_tunnel: false } => {
                    via(vec![RouteHop { ifindex, gateway }])
                }
                // An object of next hops that the kernel does not resolve here, or a tunnel.
                Hop { .. } => Some(ListedWay::Other),
            };
        };
        const DEAD: u8 = 1;
        const LINK_DOWN: u8 = 16;
        let (mut hops, mut later, mut alive) = (Vec::new(), Vec::new(), false);
        for (flags, ifindex, bytes) in next_hops(several) {
            if flags & DEAD != 0 {
                continue;
            }
            alive = true;
            let mut hop = Hop::default();
            attributes(bytes).for_each(|(kind, value)| hop.read(kind, value, self.family));
            let list = if flags & LINK_DOWN == 0 { &mut hops } else { &mut later };
            if !hop.is_tunnel {
                list.push(RouteHop { ifindex, gateway: hop.gateway });
            }
        }
        hops.extend(later);
        alive.then_some(()).and_then(|()| via(hops))
    }
}

impl Hop {
    fn read(&mut self, kind: u16, value: &[u8], family: i32) {
        match kind & KIND {
            4 => self.ifindex = number(value),
            5 => self.gateway = address(value, family),
            // A gateway of another IP version.
            18 => {
                let family = value.first_chunk().map_or(0, |bytes| u16::from_ne_bytes(*bytes));
                self.gateway = address(value.get(2..).unwrap_or_default(), family.into());
            }
            22 => self.is_tunnel = true,
            _ => {}
        }
    }
}

/// What of an attribute's type is no flag.
const KIND: u16 = 0x3fff;

/// The elements of a list of struct rtnexthop: flags, interface, attributes.
fn next_hops(mut list: &[u8]) -> impl Iterator<Item = (u8, u32, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, flags, _, c, d, e, f] = *list.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let attributes = list.get(8..length)?;
        list = list.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((flags, u32::from_ne_bytes([c, d, e, f]), attributes))
    })
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn address(value: &[u8], family: i32) -> Option<IpAddr> {
    match family {
        AF_INET => value.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        AF_INET6 => value.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    }
}

/// A rule (struct `fib_rule_hdr` and its attributes) that is neither one of those that each host has nor one for
/// health probes.
fn other_rule(message: &[u8]) -> Option<String> {
    const TO_TABLE: u8 = 1;
    let [family, _, _, _, short, _, _, action] = *message.first_chunk()?;
    let version = match i32::from(family) {
        AF_INET => "IPv4",
        AF_INET6 => "IPv6",
        _ => return None,
    };
    let (mut table, mut priority) = (u32::from(short), 0);
    for (kind, value) in attributes(message.get(12..)?) {
        match kind & KIND {
            6 => priority = number(value).unwrap_or(0),
            15 => table = number(value).unwrap_or(table),
            _ => {}
        }
    }
    let is_usual = [MAIN, LOCAL, DEFAULT].contains(&table) || is_of_probes(table);
    (action != TO_TABLE || !is_usual).then(|| format!("{version} with priority {priority}"))
}

#[cfg(test)]
mod tests;
