//! What a set-up does: its addresses, whom it takes packets from, and what it counted.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use elb_common::path::unwrap::Unwrapped;
use schemars::JsonSchema;
use serde::Serialize;

use super::decap::{Pins, Vips, counted};
use super::sources::{Sources, is_any_source};
use super::{Answers, BackendError, answer_routes, mss, plan, state};
use crate::kernel::net::links::Netlink;
use crate::model::ipgroup::Cidr;

/// A set-up as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BackendStatus {
    /// The virtual addresses.
    pub vips: Vec<IpAddr>,
    /// The interfaces that carry the program.
    pub interfaces: Vec<String>,
    /// The addresses that packets are unwrapped for.
    pub unwrapped: Vec<IpAddr>,
    /// Whom tunnel packets for them are taken from; none: the program is an older version's, which
    /// accepts every sender.
    pub from: Option<Vec<Cidr>>,
    /// Frames by what became of them.
    pub packets: Vec<Count>,
    /// Answers that go through a load balancer (`--mode nat`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// What is wrong with it, and what to do.
    pub problems: Vec<String>,
}

/// Frames that something became of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Count {
    /// What became of them.
    pub name: &'static str,
    /// How many.
    pub packets: u64,
    /// Their bytes, with all headers.
    pub bytes: u64,
    /// What that means.
    pub meaning: &'static str,
}

/// The set-up of this network namespace; `None` where there is none. Not for use inside an
/// asynchronous runtime: it waits.
///
/// # Errors
/// See [`BackendError`].
pub fn status(pin_dir: &Path, state_dir: &Path) -> Result<Option<BackendStatus>, BackendError> {
    let pin_dir = plan::absolute(pin_dir)?;
    let Some(state) = state::peek(state_dir, &pin_dir, state::network_namespace()?)? else {
        return Ok(None);
    };
    let pins = Pins::of_any_version(&pin_dir);
    let interfaces: Vec<String> =
        state.interfaces.iter().map(|interface| interface.name.clone()).collect();
    let from = Sources::open(&pins)?.map(|sources| sources.all()).transpose()?;
    let unwrapped = Vips::open(&pins)?.map(|vips| vips.all()).transpose()?.unwrap_or_default();
    let packets = counted(&pins)?.unwrap_or_default().into_iter().zip(Unwrapped::ALL);
    let packets = packets.map(|((packets, bytes), what)| Count {
        name: what.name(),
        packets,
        bytes,
        meaning: what.meaning(),
    });
    let mut status = BackendStatus {
        vips: state.vips.iter().map(|vip| vip.address).collect(),
        interfaces,
        unwrapped,
        from,
        packets: packets.collect(),
        answers: state.answers,
        problems: Vec::new(),
    };
    status.problems = problems(&status, pins.have_maps());
    let netlink = Netlink::open()?;
    if let Some(answers) = &status.answers {
        status.problems.extend(answer_routes::fault(&netlink, answers)?);
    }
    if let Some(mss) = state.mss {
        let forgotten = mss::forgotten(&netlink, &status.vips, mss)?;
        status.problems.extend(forgotten.iter().map(|route| asks_for_more(route, mss)));
    }
    Ok(Some(status))
}

/// What is wrong. A set-up for `l2` has no program, and no tunnels to guard.
fn problems(status: &BackendStatus, has_maps: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if status.interfaces.is_empty() {
        return problems;
    }
    if !has_maps {
        problems.push(
            "the program's maps are gone, as after a reboot: run `elb backend up` again, with all \
             addresses"
                .to_owned(),
        );
        return problems;
    }
    match &status.from {
        None => problems.push(
            "an older version attached the program: it accepts tunnel packets from any sender, past the load \
             balancer's access control; run `elb backend up` again, with --from and the load balancers' \
             addresses"
                .to_owned(),
        ),
        Some(from) if is_any_source(from) => problems.push(
            "tunnel packets are accepted from any sender (--from any): who can reach this host bypasses the \
             load balancer's access control, unless the network filters; name the load balancers with \
             --from"
                .to_owned(),
        ),
        Some(_) => {}
    }
    problems
}

fn asks_for_more(route: &str, mss: u32) -> String {
    format!(
        "the route {route} does not ask clients for segments of {mss} bytes, as one that was made anew: run \
         `elb backend up` again, with --mss {mss}"
    )
}

/// A set of sources in words.
pub(super) fn shown(from: &[Cidr]) -> String {
    if is_any_source(from) {
        return "any sender".to_owned();
    }
    let texts: Vec<String> = from
        .iter()
        .map(|network| match (network.address(), network.bits()) {
            (address @ IpAddr::V4(_), 32) | (address @ IpAddr::V6(_), 128) => address.to_string(),
            _ => network.to_string(),
        })
        .collect();
    if texts.is_empty() { "no sender".to_owned() } else { texts.join(", ") }
}

impl fmt::Display for BackendStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if let Some(Answers { via, ports }) = &self.answers {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            let ports = if ports.is_empty() { "all ports".to_owned() } else { ports.join(", ") };
            writeln!(f, "answers of {ports} go through: {}", list(via))?;
        }
        if self.vips.is_empty() {
            return self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"));
        }
        writeln!(f, "virtual addresses: {}", list(&self.vips))?;
        if self.interfaces.is_empty() {
            writeln!(f, "packets come without outer headers (l2): no program is needed")?;
            return self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"));
        }
        writeln!(f, "decap is on: {}", self.interfaces.join(", "))?;
        writeln!(f, "unwraps packets for: {}", list(&self.unwrapped))?;
        writeln!(
            f,
            "accepts them from: {}",
            self.from.as_deref().map_or("any sender".into(), shown)
        )?;
        for count in &self.packets {
            writeln!(f, "{:>12} {:<17} {}", count.packets, count.name, count.meaning)?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))
    }
}
