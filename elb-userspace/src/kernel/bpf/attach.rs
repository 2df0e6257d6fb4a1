//! Attaches the program to interfaces so that it stays when the agent goes: the link is pinned. The agent
//! holds it, too, so that it stays when the pin goes.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aya::programs::ProgramError;
use aya::programs::xdp::XdpError;
use thiserror::Error;

use super::object::{LoadedObject, Program};
use super::pins::PREFIX;
pub use super::pins::pinned;
use super::syscall;
use crate::source::file::AttachMode;

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
        error: io::Error,
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
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The interface's name, as the file has it.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// How the program is attached.
    pub mode: AttachMode,
    /// Whether an earlier agent's attachment was taken over, without a gap.
    pub replaced: bool,
    link: Arc<OwnedFd>,
}

pub(super) fn pin_path(directory: &Path, index: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{index}"))
}

/// The number of the program that a pinned link holds; `None` where it holds none any more.
pub fn pinned_program(directory: &Path, index: u32) -> Option<u32> {
    let link = syscall::open(&pin_path(directory, index)).ok()?;
    held_program(link.as_fd(), index)
}

/// Lets an interface carry the program no more, and removes the pin of its link; which pin.
///
/// # Errors
/// See [`detach_pinned`].
pub fn detach(directory: &Path, index: u32) -> Result<PathBuf, AttachError> {
    let path = pin_path(directory, index);
    detach_pinned(&path).map_err(|error| pin_error(&path, error))?;
    Ok(path)
}

/// Detaches what a pinned link holds to its interface, and removes the pin. Nothing happens where there is none.
///
/// The kernel ends the hold of a pin that was removed later, after an RCU grace period (since 6.8, `bpf_free_inode`),
/// and until then the interface refuses another program. A link that is detached has none from now on.
///
/// # Errors
/// The pin cannot be removed.
pub fn detach_pinned(path: &Path) -> io::Result<()> {
    if let Ok(link) = syscall::open(path) {
        // What is no link, or one that holds nothing any more, is only a pin.
        let _ = syscall::detach_link(link.as_fd());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Attachment {
    /// Attaches a program to an interface that carries none. It is not pinned yet.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn new(
        object: &mut LoadedObject,
        program: Program,
        (interface, index): (&str, u32),
        mode: AttachMode,
    ) -> Result<Self, AttachError> {
        let link = create(object, program, (interface, index), mode)?;
        let interface = interface.to_owned();
        Ok(Self { interface, index, mode, replaced: false, link: Arc::new(link) })
    }

    /// Takes over an interface whose pinned link carries an earlier agent's program, in place of which
    /// the link gets this one: no packet meets the interface without program. `None` where the link
    /// holds nothing any more.
    ///
    /// # Errors
    /// See [`AttachError`]. The link is unchanged then.
    pub fn adopt(
        object: &mut LoadedObject,
        (interface, index): (&str, u32),
        mode: AttachMode,
    ) -> Result<Option<Self>, AttachError> {
        let path = pin_path(&object.directory, index);
        let link = syscall::open(&path).map_err(|error| pin_error(&path, error))?;
        let interface = interface.to_owned();
        let adopted = Self { interface, index, mode, replaced: true, link: Arc::new(link) };
        Ok(adopted.give(object, Program::Plain)?.then_some(adopted))
    }

    /// Lets the interface carry the other program from now on: no packet meets it without one.
    /// Nothing happens where the interface is gone.
    ///
    /// # Errors
    /// The kernel refused; the interface carries what it did.
    pub fn carry(&self, object: &mut LoadedObject, program: Program) -> Result<(), AttachError> {
        self.give(object, program).map(drop)
    }

    /// The number of the program that the link still holds to an interface with this index, in whatever
    /// network namespace.
    pub fn program(&self) -> Option<u32> {
        held_program(self.link.as_fd(), self.index)
    }

    /// Pins the link where it is not; true if it was not.
    ///
    /// # Errors
    /// The pin cannot be made.
    pub fn pin(&self, directory: &Path) -> Result<bool, AttachError> {
        let path = pin_path(directory, self.index);
        match syscall::pin(self.link.as_fd(), &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(pin_error(&path, error)),
        }
    }

    /// Lets the interface carry the program no more, at once, and removes the pin.
    ///
    /// # Errors
    /// The pin cannot be removed.
    pub fn detach(&self, directory: &Path) -> Result<(), AttachError> {
        // The pin may be gone. Where the interface is, nothing is left to do.
        let _ = syscall::detach_link(self.link.as_fd());
        detach(directory, self.index).map(drop)
    }

    /// False where the link holds no interface any more.
    fn give(&self, object: &mut LoadedObject, program: Program) -> Result<bool, AttachError> {
        match syscall::update_link(self.link.as_fd(), descriptor(object, program)?) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(false),
            Err(error) => Err(other(&self.interface, error)),
        }
    }
}

/// Lets an interface of the agent's own carry the program for probes, for as long as the object lives, in
/// the mode of the others: natively, nothing gets to a bridge. True where it did not before, in any mode.
///
/// # Errors
/// The kernel refuses.
pub fn carry_probes(
    object: &mut LoadedObject,
    interface: (&str, u32),
    mode: AttachMode,
) -> Result<bool, AttachError> {
    let held = object.probing.as_ref();
    let held = held.filter(|(link, _)| held_program(link.as_fd(), interface.1).is_some());
    let before = held.map(|(_, mode)| *mode);
    if before != Some(mode) {
        object.probing = None;
        object.probing = Some((create(object, Program::Probing, interface, mode)?, mode));
    }
    Ok(before.is_none())
}

/// Lets the interface that carries the program for probes of one object carry that of another.
///
/// # Errors
/// The kernel refuses; then it carries none.
pub fn move_probes(from: &mut LoadedObject, to: &mut LoadedObject) -> Result<(), AttachError> {
    const INTERFACE: &str = "for probes";
    let Some((link, mode)) = from.probing.take() else { return Ok(()) };
    let moved = syscall::update_link(link.as_fd(), descriptor(to, Program::Probing)?);
    moved.map_err(|error| other(INTERFACE, error))?;
    to.probing = Some((link, mode));
    Ok(())
}

fn create(
    object: &mut LoadedObject,
    program: Program,
    (interface, index): (&str, u32),
    mode: AttachMode,
) -> Result<OwnedFd, AttachError> {
    // Of linux/if_link.h.
    const SKB_MODE: u32 = 1 << 1;
    const DRV_MODE: u32 = 1 << 2;
    let flags = match mode {
        AttachMode::Native => DRV_MODE,
        AttachMode::Generic => SKB_MODE,
    };
    let created = syscall::create_xdp_link(descriptor(object, program)?, index, flags);
    created.map_err(|error| explain(interface, mode, error))
}

fn descriptor(object: &mut LoadedObject, program: Program) -> Result<BorrowedFd<'_>, AttachError> {
    let loaded = object.program(program).fd();
    Ok(loaded.map_err(|error| other("all", error))?.as_fd())
}

fn held_program(link: BorrowedFd<'_>, index: u32) -> Option<u32> {
    let info = syscall::xdp_link(link).ok()?;
    (info.interface == index).then_some(info.program)
}

fn explain(interface: &str, mode: AttachMode, error: io::Error) -> AttachError {
    let interface = interface.to_owned();
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy { interface },
        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE | libc::ENOSPC | libc::E2BIG)
            if mode == AttachMode::Native =>
        {
            AttachError::NoNative { interface, error }
        }
        Some(libc::ENODEV) => AttachError::NoInterface(interface),
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
