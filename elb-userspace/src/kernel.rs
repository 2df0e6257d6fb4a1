//! The kernel's side of the load balancer: the only module of the agent that knows aya.

mod attach;
mod maps;
mod object;
mod record;
mod rings;
mod tries;

pub(crate) use attach::errno;
pub use attach::{AttachError, Attachment, pinned, unpin};
pub use maps::{MapError, Maps, coarse_seconds, possible_cpus};
pub use object::{Capacity, DECAP_OBJECT, LoadError, Object};
pub use record::Record;
