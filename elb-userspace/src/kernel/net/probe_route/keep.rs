//! Looks whether probes would still go the way they are to go, and makes what is missing again.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;

use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use super::{RouteError, RouteNames, index, mark, rules};

/// Addresses that no host has (RFC 5737, RFC 3849): which way would a probe go that no other route knows?
const UNUSED: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The loopback interface's index in every network namespace.
const LOOPBACK: u32 = 1;

/// The way that is wanted, and how it was last set up.
#[derive(Clone, Debug)]
pub struct KeptRoute {
    /// Names and numbers; with the mark of the sockets, once it was set up.
    pub names: RouteNames,
    /// `None` until it could be set up.
    pub routed: Option<Routed>,
}

/// The route of probes, as it was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The mark that sockets are to have.
    pub mark: u32,
    /// Why this host routes no probes over IPv6, if so.
    pub no_v6: Option<String>,
    /// Whether it does once IPv6 is switched on.
    pub v6_may_come: bool,
}

impl RouteNames {
    /// What is missing of the route that can be seen from outside of the agent.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn missing(&self, vips: &[IpAddr]) -> Result<Option<String>, RouteError> {
        let handle = super::open()?;
        let unknown = |error| self.no_route("IPv4", error);
        let mark = self.choose_mark(&handle).await.map_err(unknown)?;
        let names = Self { mark: Some(mark), ..self.clone() };
        let no_v6 = names.no_v6().map(|why| why.to_string());
        let is_there = |name: &str| index(name).is_some();
        let routed = Some(Routed { mark, no_v6, v6_may_come: false });
        KeptRoute { names, routed }.missing(&handle, vips, is_there).await.map_err(unknown)
    }
}

impl KeptRoute {
    /// One that was not set up yet.
    pub const fn new(names: RouteNames) -> Self {
        Self { names, routed: None }
    }

    /// The same, of which nothing is wanted over IPv6.
    pub fn without_v6(&self) -> Self {
        let no_v6 =
            |routed| Routed { no_v6: Some("not asked".to_owned()), v6_may_come: false, ..routed };
        Self { names: self.names.clone(), routed: self.routed.clone().map(no_v6) }
    }

    /// What is missing for probes of these virtual addresses; an interface counts as there while it is up
    /// at both ends, which `is_up` says.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn missing(
        &self,
        handle: &Handle,
        vips: &[IpAddr],
        is_up: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, rtnetlink::Error> {
        let RouteNames { device, peer, .. } = &self.names;
        let Some(routed) = &self.routed else {
            return Ok(Some("it could not be set up".to_owned()));
        };
        if let Some(name) = [device, peer].into_iter().find(|name| !is_up(name)) {
            return Ok(Some(format!("the interface {name} is gone or down")));
        }
        let is_asked = |address: &&IpAddr| routed.no_v6.is_none() || address.is_ipv4();
        for address in UNUSED.iter().chain(vips).filter(is_asked) {
            if let Some(what) = self.missing_for(handle, *address).await? {
                return Ok(Some(what));
            }
        }
        let has_come = routed.v6_may_come && self.names.no_v6().is_none();
        Ok(has_come.then(|| "IPv6 was switched off".to_owned()))
    }

    async fn missing_for(
        &self,
        handle: &Handle,
        address: IpAddr,
    ) -> Result<Option<String>, rtnetlink::Error> {
        let RouteNames { device, table, .. } = &self.names;
        match self.leaves_by(handle, address).await? {
            Some(by) if index(device) == Some(by) => return Ok(None),
            // An address of this host's own is not probed.
            Some(LOOPBACK) => return Ok(None),
            _ => {}
        }
        let (version, family) = match address {
            IpAddr::V4(_) => ("IPv4", AddressFamily::Inet),
            IpAddr::V6(_) => ("IPv6", AddressFamily::Inet6),
        };
        let found = rules(handle, family).await?;
        let ours = found.iter().find(|rule| mark::is_for(rule, *table));
        Ok(Some(match ours {
            None => format!("the {version} rule to table {table:#x} is gone"),
            Some(_) => format!(
                "probes to {address} do not leave by {device}: the {version} route in table {table:#x} is gone, \
                 or another rule comes first"
            ),
        }))
    }

    /// The interface by which the kernel would send a packet with the mark of probes.
    async fn leaves_by(
        &self,
        handle: &Handle,
        address: IpAddr,
    ) -> Result<Option<u32>, rtnetlink::Error> {
        let mut request = RouteMessage::default();
        let (family, length) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        request.header.address_family = family;
        request.header.destination_prefix_length = length;
        request.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        request.attributes.extend(self.names.mark.map(RouteAttribute::Mark));
        let answer = pin!(handle.route().get(request).execute()).try_next().await;
        let route = match answer {
            Ok(route) => route,
            // There is no route at all.
            Err(rtnetlink::Error::NetlinkError(_)) => None,
            Err(error) => return Err(error),
        };
        let device = |attribute: &RouteAttribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        };
        Ok(route.and_then(|route| route.attributes.iter().find_map(device)))
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn restore(&mut self) -> Result<(), RouteError> {
        let made = self.names.set_up().await?;
        let had_v6 = self.routed.as_ref().is_some_and(|routed| routed.no_v6.is_none());
        let no_v6 = match made.v6 {
            Ok(()) => None,
            Err(why) if why.is_of_no_use() && !had_v6 => Some(why),
            Err(why) => return Err(why),
        };
        let v6_may_come = no_v6.as_ref().is_some_and(RouteError::is_switched_off);
        let no_v6 = no_v6.map(|why| why.to_string());
        // The sockets of probes have this mark, whatever else will be free later.
        self.names.mark = Some(made.mark);
        self.routed = Some(Routed { mark: made.mark, no_v6, v6_may_come });
        Ok(())
    }
}
