//! The flow log: what the kernel wrote down of connections and refusals, as JSON lines.

mod file;
mod join;
mod line;
mod rotation;
mod shared;
mod sink;
mod task;
mod work;
mod writer;

pub use line::FlowLogLine;
pub use shared::{Noted, Written};
pub use writer::FlowWriter;
