//! What goes over the socket, and what `-o json` prints.

pub mod diagnose;
pub mod drain;
pub mod drops;
pub mod events;
pub mod reload;
pub mod status;
