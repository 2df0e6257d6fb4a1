//! What the kernel has of the route of probes, to explain why they fail.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp};

use super::{RouteNames, index, mark, open, rules, rules_of_v6};

/// What the kernel has of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeWayState {
    /// Whether one of its interfaces is there: otherwise no agent has set it up.
    pub is_set_up: bool,
    /// The mark that its rule selects.
    pub mark: Option<u32>,
    /// What is not as it should be.
    pub faults: Vec<String>,
}

impl RouteNames {
    /// Looks at the way to virtual addresses, with its program, which is there while an agent runs.
    pub async fn look(&self, vips: &[IpAddr]) -> ProbeWayState {
        let is_set_up = index(&self.device).is_some();
        let mut state = ProbeWayState { is_set_up, mark: None, faults: Vec::new() };
        let Ok(handle) = open() else { return state };
        state.mark = self.rule_mark(&handle).await;
        if let Ok(Some(missing)) = self.missing(vips).await {
            state.faults.push(missing);
        }
        if let Some(peer) = index(&self.peer)
            && !carries_program(&handle, peer).await
        {
            state
                .faults
                .push(format!("the interface {} does not carry the program of probes", self.peer));
        }
        state
    }

    async fn rule_mark(&self, handle: &Handle) -> Option<u32> {
        let mut all = rules(handle, AddressFamily::Inet).await.unwrap_or_default();
        all.extend(rules_of_v6(handle).await.unwrap_or_default());
        let ours = all.iter().filter(|rule| mark::is_for(rule, self.table));
        ours.filter_map(mark::marked).map(|(mark, _)| mark).next()
    }
}

/// True if that is not known.
async fn carries_program(handle: &Handle, interface: u32) -> bool {
    let mut links = handle.link().get().match_index(interface).execute();
    let Ok(Some(link)) = links.try_next().await else { return true };
    let is_program = |one: &LinkXdp| {
        matches!(one, LinkXdp::ProgId(_) | LinkXdp::DrvProgId(_) | LinkXdp::SkbProgId(_))
    };
    link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => xdp.iter().any(is_program),
        _ => false,
    })
}
