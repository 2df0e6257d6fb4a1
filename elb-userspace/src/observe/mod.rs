//! What is seen of packets.

pub mod names;
pub mod packet;

pub mod capture;
pub mod explain;
pub mod flow_log;
pub mod flows;
pub mod metrics;
pub mod sflow;
pub mod trace;
