//! What a set-up left on a host, for who only looks.

use std::net::IpAddr;
use std::path::Path;

use super::decap::{self, Pins, Vips};
use super::sources::Sources;
use super::sysctl::{self, Sysctl, WantedSysctl};
use super::{Answers, BackendError, Mode, StateError, answer_routes, plan, state};
use crate::kernel::net::links::Netlink;
use crate::model::ipgroup::Cidr;

/// What `elb backend up` did and that is still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The virtual addresses.
    pub vips: Vec<IpAddr>,
    /// The interfaces that carry the program.
    pub interfaces: Vec<String>,
    /// The addresses that packets are unwrapped for, as the program's map has them.
    pub unwrapped: Vec<IpAddr>,
    /// Whom they are taken from; none: from every sender, as older versions do.
    pub from: Option<Vec<Cidr>>,
    /// Answers that go through a load balancer (`--mode nat`).
    pub answers: Option<Answers>,
    /// Why they do not, and what to do.
    pub answers_fault: Option<String>,
}

/// What the state file and the pins of a set-up say; nothing where there is none.
///
/// # Errors
/// The state file cannot be read or understood, or the pinned map not be opened.
pub fn recorded(pin_dir: &Path, state_dir: &Path) -> Result<Recorded, BackendError> {
    let pin_dir = plan::absolute(pin_dir)?;
    let state = match state::peek(state_dir, &pin_dir, state::network_namespace()?) {
        // The set-up of another host that shares this one's files.
        Err(StateError::Elsewhere { .. }) => return Ok(Recorded::default()),
        state => state?,
    };
    let Some(state) = state else { return Ok(Recorded::default()) };
    let mut recorded = Recorded {
        vips: state.vips.iter().map(|vip| vip.address).collect(),
        interfaces: state.interfaces.into_iter().map(|interface| interface.name).collect(),
        unwrapped: Vec::new(),
        from: None,
        answers: None,
        answers_fault: None,
    };
    if let Some(answers) = state.answers {
        recorded.answers_fault = answer_routes::fault(&Netlink::open()?, &answers)?;
        recorded.answers = Some(answers);
    }
    let pins = Pins::of_any_version(&pin_dir);
    if !recorded.interfaces.is_empty()
        && let Some(vips) = Vips::open(&pins)?
    {
        recorded.unwrapped = vips.all()?;
        recorded.from = Sources::open(&pins)?.map(|sources| sources.all()).transpose()?;
    }
    Ok(recorded)
}

/// The kernel settings for packets to addresses of `lo` that come in by `interface`.
///
/// # Errors
/// A setting cannot be read.
pub fn settings(interface: &str, mode: Mode) -> Result<Vec<WantedSysctl>, BackendError> {
    sysctl::plan(interface, mode, Sysctl::read)
}

/// The name of an XDP program by its number, and whether it is the one that takes outer headers off.
///
/// # Errors
/// The kernel does not report it: that takes CAP_SYS_ADMIN.
pub fn xdp_program(id: u32) -> Result<(String, bool), BackendError> {
    let name = decap::program_name(id)?.unwrap_or_default();
    let ours = name == elb_common::names::DECAP_PROGRAM;
    Ok((name, ours))
}
