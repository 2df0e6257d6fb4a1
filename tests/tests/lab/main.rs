//! The agent, its program and real traffic in labs: what the balancer promises, seen from outside.

mod admitting;
mod algorithms;
mod answers;
mod attaching;
mod capturing;
mod cold;
mod commands;
mod counting;
mod detaching;
mod draining;
mod explaining;
mod failing;
mod flooding;
mod foreign_maps;
mod forged;
mod forwarding;
mod fragments;
mod holding;
mod limits;
mod next_hops;
mod notifying;
mod path_mtu;
mod printing;
mod privileges;
mod ranges;
mod rate;
mod reloading;
mod restarting;
mod sizing;
mod switching;
mod taking_over;
mod tracing;
mod version_2;

mod load;
mod scene;
