//! Health checks: real probes by the real agent against real servers, in network namespaces.

mod addresses;
mod counting;
mod pacing;
mod remembering;
mod telling;
mod watched;
