//! What is seen of packets.

pub mod names;
pub mod packet;

pub mod capture;
pub mod explain;
pub mod flows;
pub mod trace;
