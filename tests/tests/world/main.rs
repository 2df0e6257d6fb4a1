//! The world around elb changes, breaks and lies: what holds then. A file a kind.

mod checking;
mod cutting;
mod diagnosing;
mod every_address;
mod following;
mod foreign_frames;
mod hostile;
mod instruments;
mod keeping;
mod killing;
mod leaving;
mod memory;
mod own_address;
mod own_faults;
mod owners;
mod reloads;
mod renaming;
mod saying;
mod served;
mod starting;
mod tunnel_sources;
mod unserved;
mod way_out;
mod writes;
