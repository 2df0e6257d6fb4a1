//! Samples of packets and refused packets for a collector, by sFlow version 5.

mod datagram;
mod exporter;
mod reason;

pub use exporter::{SflowExporter, SflowSent};
