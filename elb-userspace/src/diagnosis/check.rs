//! What is checked. The order is that of a report: the ten checks of the ELB's troubleshooting page,
//! most likely first, then what a load balancer of this kind adds, then its own host.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! checks {
    ($($(#[$meta:meta])* $check:ident = $name:literal, $title:literal;)*) => {
        /// One thing that is checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Check {
            $($(#[$meta])* #[serde(rename = $name)] $check,)*
        }

        impl Check {
            /// All, in the order of a report.
            pub const ALL: &[Self] = &[$(Self::$check,)*];

            /// The stable name, for programs and manuals.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$check => $name,)* }
            }

            /// A few words, for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$check => $title,)* }
            }
        }
    };
}

checks! {
    /// The pool serves a listener.
    Attached = "attached", "backend server group attached to a listener";
    /// A TCP or UDP listener's load balancer has an address.
    AddressBound = "address-bound", "address bound to the load balancer";
    /// Not all members are drained or without weight.
    Taken = "taken", "members that take new connections";
    /// Protocol, port, Host, path and codes are those the member answers to.
    Configuration = "configuration", "health check configuration";
    /// Inferred from packets: security groups are not on the host.
    SecurityGroup = "security-group", "security group rules";
    /// Inferred from packets: network ACLs are not on the host.
    NetworkAcl = "network-acl", "network ACL rules";
    /// Something listens where the probe goes.
    Listening = "listening", "backend server listening";
    /// The backend server's own packet filter lets the probe in and the answer out.
    Firewall = "firewall", "backend server firewall";
    /// The backend server has a route to the source of probes.
    Route = "route", "backend server route";
    /// The backend server keeps up.
    Load = "load", "backend server load";
    /// No tcp-wrapper entry turns the source of probes away.
    HostsDeny = "hosts-deny", "hosts.deny";
    /// Direct server return: the backend server has the virtual address on `lo`.
    VirtualAddress = "virtual-address", "virtual address on lo";
    /// `ipip` and `gue`: the backend server takes the outer headers off.
    Decapsulation = "decapsulation", "decapsulation";
    /// `nat`: the backend server's answers to clients come back through the load balancer.
    ReturnPath = "return-path", "answers through the load balancer";
    /// rp_filter and the ARP sysctls let direct server return work.
    Sysctls = "sysctls", "rp_filter and ARP sysctls";
    /// Full-sized packets fit the way, outer headers included.
    Mtu = "mtu", "MTU";
    /// The next hop's Ethernet address is known.
    Neighbor = "neighbor", "neighbour resolution";
    /// The member is not the load balancer itself.
    Itself = "itself", "member is not the load balancer itself";
    /// What the agent put into this host is there: programs, pins, the path of health probes.
    Kept = "kept", "what elb keeps in this host";
    /// No other agent uses the pin directory, the state directory or the socket.
    Owner = "owner", "what only one agent may use";
    /// The maps hold what is known, and the state directory what the next agent needs.
    Written = "written", "maps and state directory";
    /// What is served is what the configuration file says.
    InForce = "in-force", "configuration in force";
    /// The tasks of the agent run.
    Tasks = "tasks", "tasks of the agent";
    /// The kernel is new enough and has what the program needs.
    Kernel = "kernel", "kernel version and features";
    /// The agent may do what it has to.
    Capabilities = "capabilities", "capabilities";
    /// The BPF file system is there.
    Bpffs = "bpffs", "bpffs";
    /// The interface is there, up, and has a carrier.
    Interface = "interface", "interface";
    /// Members are reached by the interfaces that the agent serves.
    WayOut = "way-out", "interfaces that members are reached by";
    /// The interface's driver runs XDP natively.
    NativeXdp = "native-xdp", "driver and native XDP";
    /// No other XDP program is in the way.
    OtherXdp = "other-xdp", "other XDP programs";
    /// LRO and GRO do not make packets too large.
    Offloads = "offloads", "LRO and GRO";
    /// `nat`: packets come with the checksums that translation changes.
    Checksums = "checksums", "checksums of packets";
    /// Packets are spread over queues and CPUs.
    Queues = "queues", "queues, IRQs and RSS";
    /// The load balancer's own rp_filter lets answers to probes in.
    RpFilter = "rp-filter", "rp_filter";
    /// Whether the host forwards next to the program.
    Forwarding = "forwarding", "IP forwarding";
    /// `nat`: answers to clients leave as the kernel would send them.
    ClientRoutes = "client-routes", "routes to clients";
    /// Listeners take nothing at addresses that this host has itself.
    OwnAddress = "own-address", "virtual addresses of this host's own";
    /// The state directory can be written to.
    StateDir = "state-dir", "state directory";
    /// Probes leave this host, and their answers get in.
    Probes = "probes", "this load balancer's own probes";
    /// The clock is right.
    Clock = "clock", "clock";
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_json_has() {
        for check in Check::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
        assert!(Check::ALL.is_sorted());
    }
}
