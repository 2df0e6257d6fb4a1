//! The route of probes through virtual addresses: a pair of interfaces of the agent's own, and for each
//! IP version a rule and a route that send packets with the agent's mark into it.
//!
//! ```text
//! probe's socket ─ mark ─► rule ─► route ─► elb-probe-… ═ elb-prober-… ─ elb_probe ─► backend
//! ```
//!
//! The rest of the host notices nothing: only sockets of the agent have the mark, and the interfaces
//! have no address. They stay when the agent goes, as the maps do, and the next one takes them over;
//! `elb detach` removes them. Their names and numbers come from the pin directory, so that agents
//! with directories of their own do not meet.

mod checksums;
mod error;
pub mod keep;
mod look;
mod mark;
mod routing_rules;
mod veth;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};

pub use self::error::RouteError;
use self::error::{is, is_missing};
use self::routing_rules::{rule, rules, rules_of_v6};
use self::veth::{index, is_end_of, quiet};

/// What every link with IPv6 takes (RFC 8200 §5): with the headers of any tunnel, a probe still fits
/// Ethernet.
const MTU: u32 = 1280;

/// Tables from here on: one for each [`RouteNames`].
const NUMBERS: u32 = 0xe1b0_0000;

/// Whether a table is one for probes, of this agent or of another one.
pub(super) const fn is_of_probes(table: u32) -> bool {
    table & 0xffff_0000 == NUMBERS
}

/// Names and numbers of the route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNames {
    /// The interface that probes leave by.
    pub device: String,
    /// Its other end, where the program is.
    pub peer: String,
    /// The number of the routing table.
    pub table: u32,
    /// The mark of probes, if the configuration says it.
    pub mark: Option<u32>,
}

/// What is there.
#[derive(Debug)]
pub struct RouteSetUp {
    /// The mark that the sockets of probes are to have.
    pub mark: u32,
    /// Why no probe over IPv6 can be routed, if so; many hosts have no IPv6.
    pub v6: Result<(), RouteError>,
}

impl RouteNames {
    /// That of the agent with this pin directory, whose probes have this mark if any.
    pub fn of(pin_dir: &Path, mark: Option<u32>) -> Self {
        let hash = hash(pin_dir.as_os_str().as_encoded_bytes());
        Self {
            device: format!("elb-probe-{hash:04x}"),
            peer: format!("elb-prober-{hash:04x}"),
            table: NUMBERS | u32::from(hash),
            mark,
        }
    }

    /// Makes what is missing of the way; what is there stays.
    ///
    /// # Errors
    /// No probe can be routed. What was made until then stays, for [`Self::remove`].
    pub async fn set_up(&self) -> Result<RouteSetUp, RouteError> {
        let handle = open()?;
        let refused = |error| self.refused(error);
        let (device, peer) = match self.pair(&handle).await? {
            Some(pair) => pair,
            None => self.make_pair(&handle).await?,
        };
        checksums::complete(&self.device).map_err(|error| refused(error.into()))?;
        for index in [device, peer] {
            match handle.link().set(quiet(index)).execute().await {
                // A host without IPv6 is quiet.
                Err(error) if is(&error, libc::EAFNOSUPPORT) => {}
                done => done.map_err(|error| refused(Box::new(error)))?,
            }
            let up = LinkUnspec::new_with_index(index).mtu(MTU).arp(false).up().build();
            let done = handle.link().set(up).execute().await;
            done.map_err(|error| refused(Box::new(error)))?;
        }
        let mark = self.choose_mark(&handle).await.map_err(|error| self.no_route("IPv4", error))?;
        self.route_v4(&handle, device, mark).await.map_err(|error| self.no_route("IPv4", error))?;
        let v6 = self.route_v6(&handle, device, mark).await;
        let v6 = v6.map_err(|error| self.no_v6().unwrap_or_else(|| self.no_route("IPv6", error)));
        Ok(RouteSetUp { mark, v6 })
    }

    /// Removes the way; true if anything of it was there.
    ///
    /// # Errors
    /// The kernel refuses; what is left is there as before.
    pub async fn remove(&self) -> Result<bool, RouteError> {
        let handle = open()?;
        let mut removed = false;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let deleted = self.remove_rules(&handle, family, None).await;
            removed |= deleted.map_err(|error| {
                let what = format!("the rule for the table {:#x}", self.table);
                RouteError::Remove { what, error }
            })?;
        }
        // Its routes and its other end go with it; without that end it is not ours.
        if let Ok(Some((index, _))) = self.pair(&handle).await {
            let deleted = handle.link().del(index).execute().await;
            removed |= was_there(deleted).map_err(|error| {
                let what = format!("the interface {:?}", self.device);
                RouteError::Remove { what, error }
            })?;
        }
        Ok(removed)
    }

    /// The two interfaces, if they are there: each is the other's end, or it is not ours.
    async fn pair(&self, handle: &Handle) -> Result<Option<(u32, u32)>, RouteError> {
        let taken = |name: &String| RouteError::Taken { name: name.clone() };
        match [&self.device, &self.peer].map(|name| index(name)) {
            [None, None] => Ok(None),
            [Some(device), Some(peer)] if is_end_of(handle, device, peer).await => {
                Ok(Some((device, peer)))
            }
            [Some(_), _] => Err(taken(&self.device)),
            [None, Some(_)] => Err(taken(&self.peer)),
        }
    }

    async fn make_pair(&self, handle: &Handle) -> Result<(u32, u32), RouteError> {
        let pair = LinkVeth::new(&self.device, &self.peer).mtu(MTU).arp(false).build();
        let made = handle.link().add(pair).execute().await;
        made.map_err(|error| self.refused(Box::new(error)))?;
        let gone = || self.refused(io::Error::from(io::ErrorKind::NotFound).into());
        self.pair(handle).await?.ok_or_else(gone)
    }

    /// The mark of this agent: free in both IP versions.
    async fn choose_mark(&self, handle: &Handle) -> Result<u32, rtnetlink::Error> {
        let mut rules = rules(handle, AddressFamily::Inet).await?;
        rules.extend(rules_of_v6(handle).await?);
        Ok(mark::choose(&rules, self.table, self.mark))
    }

    async fn route_v4(
        &self,
        handle: &Handle,
        device: u32,
        mark: u32,
    ) -> Result<(), rtnetlink::Error> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new();
        let route = route.output_interface(device).table_id(self.table).build();
        self.add_route(handle, AddressFamily::Inet, route, mark).await
    }

    async fn route_v6(
        &self,
        handle: &Handle,
        device: u32,
        mark: u32,
    ) -> Result<(), rtnetlink::Error> {
        let route = RouteMessageBuilder::<Ipv6Addr>::new();
        let route = route.output_interface(device).table_id(self.table).build();
        self.add_route(handle, AddressFamily::Inet6, route, mark).await
    }

    async fn add_route(
        &self,
        handle: &Handle,
        family: AddressFamily,
        mut route: RouteMessage,
        mark: u32,
    ) -> Result<(), rtnetlink::Error> {
        route.attributes.push(RouteAttribute::Priority(1));
        handle.route().add(route).replace().execute().await?;
        self.remove_rules(handle, family, Some(mark)).await?;
        let mut request = handle.rule().add();
        *request.message_mut() = rule(family, mark, self.table);
        match request.execute().await {
            Err(error) if is(&error, libc::EEXIST) => Ok(()),
            done => done,
        }
    }

    /// Removes the rules for our table, except the one for the mark that is in use; true if
    /// there were any.
    async fn remove_rules(
        &self,
        handle: &Handle,
        family: AddressFamily,
        except: Option<u32>,
    ) -> Result<bool, rtnetlink::Error> {
        let used = except.map(|mark| (mark, mark::MASK));
        let found = match rules(handle, family).await {
            Err(error) if is_missing(&error) => return Ok(false),
            found => found?,
        };
        let ours = found.into_iter().filter(|rule| mark::is_for(rule, self.table));
        let mut removed = false;
        for rule in ours.filter(|rule| used.is_none() || mark::marked(rule) != used) {
            removed |= was_there(handle.rule().del(rule).execute().await)?;
        }
        Ok(removed)
    }

    fn refused(&self, error: Box<dyn std::error::Error + Send + Sync>) -> RouteError {
        let (device, peer) = (self.device.clone(), self.peer.clone());
        RouteError::Interfaces { device, peer, error }
    }

    /// Why there is no IPv6, if there is none; of a refused route the kernel says no more than that it
    /// is not permitted.
    fn no_v6(&self) -> Option<RouteError> {
        let device = self.device.clone();
        let setting = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
        match std::fs::read_to_string(setting) {
            Err(_) => Some(RouteError::NoIpv6),
            Ok(value) if value.trim() != "0" => Some(RouteError::SwitchedOff { device }),
            Ok(_) => None,
        }
    }

    fn no_route(&self, version: &'static str, error: rtnetlink::Error) -> RouteError {
        RouteError::Route { version, device: self.device.clone(), error }
    }
}

/// FNV-1a, folded: the same for every version of the agent.
fn hash(bytes: &[u8]) -> u16 {
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let [a, b, c, d] = bytes.iter().fold(0x811c_9dc5, mix).to_be_bytes();
    u16::from_be_bytes([a ^ c, b ^ d])
}

/// A netlink socket of this thread's network namespace; its task ends with the handle.
fn open() -> Result<Handle, RouteError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(RouteError::Socket)?;
    tokio::spawn(connection);
    Ok(handle)
}

fn was_there(deleted: Result<(), rtnetlink::Error>) -> Result<bool, rtnetlink::Error> {
    match deleted {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
