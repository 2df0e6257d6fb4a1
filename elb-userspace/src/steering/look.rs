//! Whether the way of probes is as it was set up, as the kernel sees it now.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel tells more than is asked; the attributes of interest are picked out"
)]

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkXdp};
use rtnetlink::packet_route::route::RouteAttribute;
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{Steering, index, mark, open, rules, rules_of_v6};

/// What the kernel has of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether one of its interfaces is there: otherwise no agent has set it up.
    pub is_set_up: bool,
    /// The mark that its rule selects.
    pub mark: Option<u32>,
    /// What is not as it should be.
    pub faults: Vec<String>,
}

impl Steering {
    /// Looks at the way to virtual addresses; `carries`: an agent runs, so that the program is there.
    pub async fn look(&self, vips: &[IpAddr], carries: bool) -> State {
        let [device, peer] = [&self.device, &self.peer].map(|name| index(name));
        let mut state = State { is_set_up: device.is_some(), mark: None, faults: Vec::new() };
        let Ok(handle) = open() else { return state };
        let faults = &mut state.faults;
        for (name, index, has_program) in
            [(&self.device, device, false), (&self.peer, peer, carries)]
        {
            match index {
                None => faults.push(format!("the interface {name} of probes is missing")),
                Some(index) => faults.extend(link_fault(&handle, name, index, has_program).await),
            }
        }
        state.mark = self.rule_mark(&handle).await;
        let (Some(device), Some(mark)) = (device, state.mark) else {
            faults.push(format!("no ip rule leads to the table {} of probes", self.table));
            return state;
        };
        for vip in vips {
            let way = way(&handle, *vip, mark).await;
            if way != Some(device) {
                let by = way.and_then(|way| nix::net::if_::if_indextoname(way).ok());
                let by = by.map_or_else(
                    || "have no route".to_owned(),
                    |name| format!("leave by {}", name.to_string_lossy()),
                );
                faults.push(format!(
                    "packets with the mark {mark:#x} of probes to {vip} {by}, not by {}: its ip rule \
                     or route is missing, or another rule comes first",
                    self.device
                ));
            }
        }
        state
    }

    async fn rule_mark(&self, handle: &Handle) -> Option<u32> {
        let mut all = rules(handle, AddressFamily::Inet).await.unwrap_or_default();
        all.extend(rules_of_v6(handle).await.unwrap_or_default());
        let ours = all.iter().filter(|rule| mark::leads_to(rule, self.table));
        ours.filter_map(mark::marked).map(|(mark, _)| mark).next()
    }
}

/// What is wrong with an interface.
async fn link_fault(handle: &Handle, name: &str, index: u32, has_program: bool) -> Option<String> {
    let mut links = handle.link().get().match_index(index).execute();
    let link = links.try_next().await.ok()??;
    if !link.header.flags.contains(LinkFlags::Up) {
        return Some(format!("the interface {name} of probes is down"));
    }
    let carried = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => xdp.iter().any(|one| {
            matches!(one, LinkXdp::ProgId(_) | LinkXdp::DrvProgId(_) | LinkXdp::SkbProgId(_))
        }),
        _ => false,
    });
    (has_program && !carried)
        .then(|| format!("the interface {name} does not carry the program of probes"))
}

/// The interface that a packet with this mark leaves by.
async fn way(handle: &Handle, to: IpAddr, mark: u32) -> Option<u32> {
    let mut request = match to {
        IpAddr::V4(to) => {
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().destination_prefix(to, 32).build()
        }
        IpAddr::V6(to) => {
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().destination_prefix(to, 128).build()
        }
    };
    request.attributes.push(RouteAttribute::Mark(mark));
    let mut routes = handle.route().get(request).execute();
    let route = routes.try_next().await.ok()??;
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}
