//! What room there is in the state directory.

use std::path::Path;

use rustix::fs::{Access, StatVfs, StatVfsMountFlags};
use rustix::io::Errno;

use crate::diagnosis::doctor::facts::{DirectoryRoom, StateDir};

pub(super) fn state_dir(path: &Path) -> StateDir {
    // It may be made yet.
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    let room = match rustix::fs::statvfs(there) {
        Err(error) => DirectoryRoom::Unknown(error.to_string()),
        Ok(found) => match rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK) {
            Err(Errno::ROFS) => DirectoryRoom::ReadOnly,
            Err(error) => DirectoryRoom::Unknown(error.to_string()),
            Ok(()) => room(&found),
        },
    };
    StateDir { path: path.to_owned(), room }
}

fn room(found: &StatVfs) -> DirectoryRoom {
    if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return DirectoryRoom::ReadOnly;
    }
    // Some file systems do not count inodes.
    let files = found.f_files == 0 || found.f_favail > 0;
    DirectoryRoom::Free { bytes: found.f_bavail.saturating_mul(found.f_frsize), files }
}
