//! The kernel's side of the load balancer: the only module of the agent that knows aya.

mod attach;
mod bindings;
mod carry;
mod clock;
mod counters;
mod cutter;
mod flow_log;
mod flow_table;
mod flows;
mod maps;
mod object;
mod pins;
mod probe;
mod prober;
mod record;
mod rings;
mod shared;
mod sweeper;
mod syscall;
mod tracer;

pub(crate) use attach::errno;
pub use attach::{
    AttachError, Attachment, carry_probes, detach, detach_pinned, move_probes, pinned,
    pinned_program,
};
pub use bindings::Bindings;
pub use carry::{Carry, CarryError};
pub use clock::{coarse_seconds, coarse_until};
pub use counters::{CounterMaps, PacketCounts, ProgramRuns, WantedCounts};
pub use cutter::Cutter;
pub use flow_log::{FlowLogMaps, FlowRing, FlowsAsked, LoggedCounts};
pub use flow_table::FlowTable;
pub use flows::FlowTables;
pub use maps::{BoundNumbers, Live, MapError, Maps};
pub use object::{Capacity, DECAP_OBJECT, LoadError, LoadedObject, Program};
pub use pins::{directories, directory, remove as remove_pins, served_v6, set_version};
pub use probe::{accepts_program, link_of, own_program, program_name};
pub use prober::Prober;
pub use record::Record;
pub use sweeper::Sweeper;
pub use tracer::{Counted, Tracer};
