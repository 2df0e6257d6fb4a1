//! Attaches the program to interfaces so that it stays when the agent goes: the link is pinned.

use std::fs;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::{XdpError, XdpLink};
use aya::programs::{ProgramError, Xdp, XdpMode};
use thiserror::Error;

use super::object::{Object, Program};
use crate::config::AttachMode;

/// Why an interface does not carry the program.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The interface does not exist.
    #[error("interface {0:?} does not exist; see `ip link`, and correct [agent] interfaces")]
    NoInterface(String),
    /// The driver or the interface's settings do not allow native XDP.
    #[error(
        "interface {interface:?} cannot run XDP in its driver: {error}; use a driver with native \
         XDP, turn LRO off and mind the driver's MTU limit, or accept the slow way with \
         attach_mode = \"generic\""
    )]
    NoNative {
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: Box<ProgramError>,
    },
    /// Another program is attached.
    #[error(
        "interface {interface:?} already carries another XDP program; detach it (with its owner's tool: \
         `elb detach`, if an elb with another pin_dir attached it; `ip link set dev {interface} xdp off`, \
         unless a link holds it), then start the agent again"
    )]
    Busy {
        /// The interface.
        interface: String,
    },
    /// Anything else that the kernel refused.
    #[error(
        "cannot attach to interface {interface:?}: {error}; it takes CAP_NET_ADMIN and CAP_BPF"
    )]
    Other {
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The pin cannot be made or removed.
    #[error("pin {path}: {error}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// Why.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An interface that carries the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface's name.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// Whether an earlier agent's attachment was taken over, without a gap.
    pub replaced: bool,
}

/// Pins are named by interface index, which outlives a renaming.
pub(super) const PREFIX: &str = "link-";

pub(super) fn pin_path(directory: &Path, index: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{index}"))
}

/// Indices of the interfaces that have a pinned link.
pub fn pinned(directory: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect()
}

/// Detaches the program from an interface.
///
/// # Errors
/// The pin cannot be removed.
pub fn unpin(directory: &Path, index: u32) -> Result<(), AttachError> {
    let path = pin_path(directory, index);
    fs::remove_file(&path).map_err(|error| pin_error(&path, error))
}

impl Attachment {
    /// Attaches the program to an interface, in place of an earlier agent's if there is one: the
    /// replacement is atomic, no packet meets an interface without program.
    ///
    /// # Errors
    /// See [`AttachError`]. An earlier attachment is unchanged then.
    pub fn new(
        object: &mut Object,
        interface: &str,
        mode: AttachMode,
    ) -> Result<Self, AttachError> {
        let index = index_of(interface)?;
        let attached = |replaced| Self { interface: interface.to_owned(), index, replaced };
        let path = pin_path(&object.directory, index);
        if path.exists() {
            if adopt(object.program(Program::Plain), &path, interface)? {
                return Ok(attached(true));
            }
            fs::remove_file(&path).map_err(|error| pin_error(&path, error))?;
        }
        let mode = xdp_mode(mode);
        let program = object.program(Program::Plain);
        let id = program
            .attach_to_if_index(index, mode)
            .map_err(|error| explain(interface, mode, error))?;
        let link = program.take_link(id).map_err(|error| other(interface, error))?;
        let link = FdLink::try_from(link).map_err(|error: LinkError| other(interface, error))?;
        link.pin(&path).map_err(|error| pin_error(&path, error))?;
        Ok(attached(false))
    }

    /// Lets the interface carry the other program from now on: no packet meets it without one.
    /// Nothing happens where the interface is gone.
    ///
    /// # Errors
    /// The kernel refused; the interface carries what it did.
    pub fn carry(&self, object: &mut Object, program: Program) -> Result<(), AttachError> {
        let path = pin_path(&object.directory, self.index);
        adopt(object.program(program), &path, &self.interface).map(drop)
    }
}

/// Lets an interface of the agent's own carry the program for probes, for as long as the object lives.
///
/// # Errors
/// The kernel refuses.
pub fn carry_probes(
    object: &mut Object,
    interface: &str,
    mode: AttachMode,
) -> Result<(), AttachError> {
    let (index, mode) = (index_of(interface)?, xdp_mode(mode));
    let attached = object.program(Program::Probing).attach_to_if_index(index, mode);
    object.probing = Some(attached.map_err(|error| explain(interface, mode, error))?);
    Ok(())
}

/// Lets the interface that carries the program for probes of one object carry that of another.
///
/// # Errors
/// The kernel refuses; then it carries none.
pub fn move_probes(from: &mut Object, to: &mut Object) -> Result<(), AttachError> {
    const INTERFACE: &str = "for probes";
    let Some(id) = from.probing.take() else { return Ok(()) };
    let link = from.program(Program::Probing).take_link(id);
    let link = link.map_err(|error| other(INTERFACE, error))?;
    let moved = to.program(Program::Probing).attach_to_link(link);
    to.probing = Some(moved.map_err(|error| other(INTERFACE, error))?);
    Ok(())
}

const fn xdp_mode(mode: AttachMode) -> XdpMode {
    match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Generic => XdpMode::Skb,
    }
}

/// Replaces the program of a pinned link; false where the interface of the link is gone and another
/// got its index.
fn adopt(program: &mut Xdp, path: &Path, interface: &str) -> Result<bool, AttachError> {
    let link = PinnedLink::from_pin(path).map_err(|error| pin_error(path, error))?;
    let link = XdpLink::try_from(FdLink::from(link)).map_err(|error| other(interface, error))?;
    match program.attach_to_link(link) {
        Ok(id) => {
            // The pin keeps the link alive when this handle of it is dropped.
            drop(program.take_link(id).map_err(|error| other(interface, error))?);
            Ok(true)
        }
        Err(error) if errno(&error) == Some(libc::ENOLINK) => Ok(false),
        Err(error) => Err(other(interface, error)),
    }
}

fn explain(interface: &str, mode: XdpMode, error: ProgramError) -> AttachError {
    let interface = interface.to_owned();
    match errno(&error) {
        Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy { interface },
        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE | libc::ENOSPC | libc::E2BIG)
            if mode == XdpMode::Driver =>
        {
            AttachError::NoNative { interface, error: Box::new(error) }
        }
        _ => AttachError::Other { interface, error: Box::new(error) },
    }
}

/// What the kernel answered: to bpf(2), or to netlink, which aya asks next where bpf(2) says EINVAL.
pub(crate) fn errno(error: &ProgramError) -> Option<i32> {
    if let ProgramError::SyscallError(error) = error {
        return error.io_error.raw_os_error();
    }
    if let ProgramError::XdpError(XdpError::NetlinkError(error)) = error {
        return error.raw_os_error();
    }
    None
}

fn other(interface: &str, error: impl std::error::Error + Send + Sync + 'static) -> AttachError {
    AttachError::Other { interface: interface.to_owned(), error: Box::new(error) }
}

fn pin_error(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> AttachError {
    AttachError::Pin { path: path.to_owned(), error: Box::new(error) }
}

fn index_of(interface: &str) -> Result<u32, AttachError> {
    let missing = || AttachError::NoInterface(interface.to_owned());
    nix::net::if_::if_nametoindex(interface).map_err(|_| missing())
}
