//! Links that get another program: pinned in the new folder as well, and able to get the old one back.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::loaded_programs;

use super::super::attach::pin_path;
use super::super::{pins, syscall};
use super::CarryError;
use super::source::Source;

/// A link, and what it carried before.
pub(super) struct Carried {
    link: OwnedFd,
    program: OwnedFd,
    shared: PathBuf,
}

impl Carried {
    /// Pins the links of the sources in the folder, too. Nothing changes for packets.
    pub(super) fn share(sources: &[Source], folder: &Path) -> Result<Vec<Self>, CarryError> {
        let mut carried = Vec::new();
        for source in sources {
            for index in &source.links {
                let (old, new) = (pin_path(&source.path, *index), pin_path(folder, *index));
                if new.exists() {
                    continue;
                }
                let one = Self::of(&old, &new).and_then(|one| {
                    fs::hard_link(&old, &new)?;
                    Ok(one)
                });
                match one {
                    Ok(one) => carried.push(one),
                    Err(error) => {
                        carried.iter().for_each(Self::forget);
                        return Err(CarryError::Link { path: old, error });
                    }
                }
            }
        }
        Ok(carried)
    }

    fn of(old: &Path, new: &Path) -> io::Result<Self> {
        let link = syscall::open(old)?;
        let pinned = old.with_file_name(pins::PROGRAM);
        let program = syscall::open(&pinned).or_else(|_| program_of(old))?;
        Ok(Self { link, program, shared: new.to_owned() })
    }

    /// Gives the link its old program back, and takes it out of the folder.
    pub(super) fn undo(&self) {
        if let Err(error) = syscall::update_link(self.link.as_fd(), self.program.as_fd()) {
            tracing::error!(pin = %self.shared.display(), %error, "the link keeps the new program");
            return;
        }
        self.forget();
    }

    fn forget(&self) {
        let _ = fs::remove_file(&self.shared);
    }
}

/// The program that a link carries; older versions do not pin it.
fn program_of(link: &Path) -> io::Result<OwnedFd> {
    let link = PinnedLink::from_pin(link).map_err(io::Error::other)?;
    let id = FdLink::from(link).info().map_err(io::Error::other)?.program_id();
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program = programs.find(|program| program.id() == id).ok_or_else(|| {
        io::Error::other(
            "its program is not pinned, and to find it takes CAP_SYS_ADMIN: start this version once with that",
        )
    })?;
    program.fd().map_err(io::Error::other)?.as_fd().try_clone_to_owned()
}
