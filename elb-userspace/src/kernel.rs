//! The kernel's side of the load balancer: the only module of the agent that knows aya.

mod attach;
mod flows;
mod maps;
mod object;
mod record;
mod rings;
mod tracer;

pub(crate) use attach::errno;
pub use attach::{AttachError, Attachment, pinned, unpin};
pub use flows::FlowTables;
pub use maps::{Live, MapError, Maps, coarse_seconds};
pub use object::{Capacity, DECAP_OBJECT, LoadError, Object, Program};
pub use record::Record;
pub use tracer::{Counted, Tracer};
