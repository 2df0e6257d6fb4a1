//! What is said of a flow whose member sees a source address of ours: which port of which, and how far the flow is.

use std::net::{IpAddr, SocketAddr};

use elb_common::addr::{Be16, Be32};
use elb_common::binding::{Binding, Course, Owner, stage};
use elb_common::path::Asked;
use elb_common::snat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observe::names::{BackendMember, Names};

/// A port of a source address, and the flow that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BoundPort {
    /// The source address and port that the member sees.
    pub source: SocketAddr,
    /// Whose it is.
    pub client: SocketAddr,
    /// The listener that the client came by.
    pub listener: String,
    /// The member that the flow goes to.
    pub member: BackendMember,
    /// How far it is: opening, open, client_closed, member_closed, closed or reset.
    pub stage: String,
    /// Seconds since its last packet.
    pub idle: u32,
    /// Seconds that it lives without a packet.
    pub lives: u32,
    /// Whether it is this packet that would take the port.
    pub by_this_packet: bool,
}

/// The port that was found, or taken; `None`: none was.
#[allow(clippy::wildcard_enum_match_arm, reason = "each closure looks for one of the questions")]
pub(super) fn of(asked: &[Asked<'_>], names: &Names) -> Option<BoundPort> {
    let snat = asked.iter().find_map(|one| match one {
        Asked::Snat(Some(snat)) => Some(*snat),
        _ => None,
    })?;
    let (number, binding, by_this_packet) = asked.iter().rev().find_map(|one| match one {
        Asked::Claim(number, binding, true) => Some((*number, *binding, true)),
        Asked::Binding(number, Some(binding)) => Some((*number, *binding, false)),
        _ => None,
    })?;
    let now = asked.iter().find_map(|one| match one {
        Asked::Now(now) => Some(*now),
        _ => None,
    });
    let Binding { owner, course } = binding;
    owner.is_one().then(|| BoundPort {
        source: socket(snat.address(number), snat::port(number)),
        client: socket(owner.client(), owner.port()),
        listener: names.listener(Owner::listener(owner)),
        member: names.member(course.backend()),
        stage: name(course).to_owned(),
        idle: course.age(now.unwrap_or_default()),
        lives: course.lifetime(),
        by_this_packet,
    })
}

const fn name(course: Course) -> &'static str {
    match course.stage() {
        stage::OPENING => "opening",
        stage::OPEN => "open",
        stage::CLIENT_CLOSED => "client_closed",
        stage::MEMBER_CLOSED => "member_closed",
        stage::RESET => "reset",
        _ => "closed",
    }
}

fn socket(address: Be32, port: Be16) -> SocketAddr {
    SocketAddr::new(IpAddr::from(address.raw().to_ne_bytes()), port.get())
}
