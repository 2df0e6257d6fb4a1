//! What goes over the socket, and what `-o json` prints.

pub mod apply;
pub mod audit;
pub mod detach;
pub mod diagnose;
pub mod drain;
pub mod drops;
pub mod error;
pub mod events;
pub mod explain;
pub mod flows;
pub mod ready;
pub mod reload;
pub mod schema;
pub mod serving;
pub mod status;
pub mod top;
pub mod trace;
