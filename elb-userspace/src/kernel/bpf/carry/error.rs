//! Why maps are not carried over.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::kernel::bpf::maps::MapError;

/// Why maps cannot take the place of others; these serve on.
#[derive(Debug, Error)]
pub enum CarryError {
    /// This version does not know what they mean.
    #[error(
        "the maps in {path} are of ABI version {version}, whose records this elb does not know: start \
         the elb that made them; or stop forwarding with `elb detach`, which breaks connections, and \
         start this one"
    )]
    Unknown {
        /// The folder.
        path: PathBuf,
        /// What they say.
        version: u32,
    },
    /// They cannot be read.
    #[error("cannot read the maps in {path}: {error}")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The maps that take their place cannot be written.
    #[error("cannot carry the maps over: {0}")]
    Map(#[from] MapError),
    /// A map has no room for what the old one holds.
    #[error("cannot carry {map} over: {error}")]
    Copy {
        /// The map.
        map: &'static str,
        /// Why.
        error: io::Error,
    },
    /// A link cannot be shared.
    #[error("cannot take the link {path} over: {error}")]
    Link {
        /// Its pin.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A folder cannot be renamed or removed.
    #[error("cannot put {path} in its place: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}
