//! The kernel's side: the only module that knows aya.

mod attach;
mod maps;
mod object;
mod record;
mod rings;

pub use attach::{AttachError, Attachment, pinned, unpin};
pub use maps::{MapError, Maps, coarse_seconds};
pub use object::{Capacity, DECAP_OBJECT, LoadError, Object};
pub use record::Record;
