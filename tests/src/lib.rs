//! Labs for `elb`: network namespaces, real servers in them, load against them, and the real agent.
//!
//! Modules are listed from what a test uses to what carries it.
//!
//! Root is needed, and what `cargo xtask test` puts into the environment: `ELB_BIN`, the binary
//! under test, and `ELB_BPF_DIR`, the directory of the BPF objects. What is missing is an error,
//! never a test that passes.

pub mod lab;

pub mod agent;
pub mod backend;
pub mod config;
pub mod diagnosis;
pub mod printed;
pub mod server;
pub mod status;

pub mod client;
pub mod wire;

pub mod address;
pub mod topology;

pub mod cpu;
pub mod daemon;
pub mod datapath;
pub mod disk;
pub mod environment;
pub mod flood;
pub mod generated;
pub mod host;
pub mod memory;
pub mod netns;
pub mod notify;
pub mod process;
pub mod record;
pub mod resident;
pub mod running;
pub mod script;
pub mod statistics;
pub mod terminal;
pub mod veth;
pub mod wait;
pub mod xdp;
