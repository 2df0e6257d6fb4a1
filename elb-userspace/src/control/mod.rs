//! From what is wanted and what is seen to what the maps must hold, and to the writes that take them
//! there. Pure.

pub mod flow_key;
pub mod network;
pub mod ring;

pub mod assign;
pub mod plan;
pub mod reconcile;

pub mod census;
pub mod change;
