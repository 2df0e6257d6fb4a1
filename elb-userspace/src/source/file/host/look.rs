//! Looks at the host that this process runs on. It takes no privilege; what cannot be read is unknown.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use super::{Host, Listening};
use crate::model::Protocol;

/// Where the kernel lists ports that connections begin at, of both families.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The addresses of this host, in the network namespace of this thread.
pub fn own_addresses() -> BTreeSet<IpAddr> {
    let all = getifaddrs().into_iter().flatten();
    all.filter_map(|interface| ip(interface.address.as_ref()?)).collect()
}

impl Host {
    /// This host, in the network namespace of this thread.
    pub fn look() -> Self {
        let mut host = Self { ephemeral: ephemeral(), listening: listening(), ..Self::default() };
        for interface in getifaddrs().into_iter().flatten() {
            let address = interface.address.as_ref().and_then(ip);
            let address = address.filter(|address| !address.is_loopback());
            host.addresses.extend(address.map(|address| (address, interface.interface_name)));
        }
        host
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn ephemeral() -> Option<(u16, u16)> {
    let text = fs::read_to_string(EPHEMERAL).ok()?;
    let mut ports = text.split_whitespace().map(str::parse);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}

fn listening() -> BTreeSet<Listening> {
    let tcp = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let tcp = tcp.filter(|entry| entry.state == procfs::net::TcpState::Listen);
    let tcp = tcp.map(|entry| socket(Protocol::Tcp, entry.local_address));
    let udp = [procfs::net::udp(), procfs::net::udp6()].into_iter().flatten().flatten();
    // A connected socket takes datagrams of its peer only.
    let udp = udp.filter(|entry| entry.remote_address.port() == 0);
    let udp = udp.map(|entry| socket(Protocol::Udp, entry.local_address));
    tcp.chain(udp).collect()
}

fn socket(protocol: Protocol, local: SocketAddr) -> Listening {
    let address = Some(local.ip()).filter(|address| !address.is_unspecified());
    Listening { protocol, address, port: local.port() }
}
