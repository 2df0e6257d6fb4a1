//! What was found in the host.

use std::collections::BTreeMap;

use elb_common::addr::Mac;

use crate::kernel::net::probe_route::keep::Routed;
use crate::source::file::AttachMode;

/// One look at the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostState {
    /// What the agent itself had changed when the look began: an older look says nothing of it.
    pub revision: u64,
    /// Interfaces by index.
    pub interfaces: BTreeMap<u32, HostInterface>,
    /// The path of health probes, where there is one to keep.
    pub probe_path: Option<ProbePath>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInterface {
    /// Its name.
    pub name: String,
    /// Other names that it has.
    pub other_names: Vec<String>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// Whether it is up and something is at the other end.
    pub carrier: bool,
    /// How often the other end came.
    pub carrier_ups: u32,
    /// How often the kernel said that its neighbours are to learn anew where addresses are: a bond uses
    /// another port, a virtual machine was moved.
    pub moves: u32,
    /// The XDP program that it carries.
    pub program: Option<Carried>,
}

/// Interfaces, rules and routes of health probes: what is missing of them is made again before the look is
/// reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbePath {
    /// The name of the interface that carries their program.
    pub peer: String,
    /// Their route; none until it could be set up.
    pub routed: Option<Routed>,
    /// How often the path was restored.
    pub restored: u64,
    /// What was missing the last time.
    pub last: Option<String>,
    /// What is missing and cannot be restored, and why.
    pub missing: Option<String>,
    /// Whether that concerns IPv6 only.
    pub serves_v4: bool,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its number.
    pub id: u32,
    /// Whether the driver runs it.
    pub mode: AttachMode,
}

impl HostState {
    /// The interface that has a name.
    pub fn index_of(&self, name: &str) -> Option<u32> {
        let is_called = |interface: &HostInterface| {
            interface.name == name || interface.other_names.iter().any(|other| other == name)
        };
        self.interfaces.iter().find(|(_, one)| is_called(one)).map(|(index, _)| *index)
    }

    /// The number of the program that an interface carries.
    pub fn program(&self, index: u32) -> Option<u32> {
        Some(self.interfaces.get(&index)?.program?.id)
    }

    /// How an interface carries its program.
    pub fn mode(&self, index: u32) -> Option<AttachMode> {
        Some(self.interfaces.get(&index)?.program?.mode)
    }
}
