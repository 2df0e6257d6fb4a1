//! Connections of this host, as the kernel lists them: what the packet path asks the kernel for, for those who
//! explain it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sources and destinations of a packet, as in a flow's key.
type Tuple = (IpAddr, u16, IpAddr, u16);

const TCP: u8 = 6;
/// State of a TCP socket that waits for connections (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Whether a socket of this host is connected by the flow whose key begins with these bytes: source,
/// destination, and their ports.
pub(super) fn is_connected(bytes: &[u8], protocol: u8) -> bool {
    let Some(tuple) = tuple(bytes) else { return false };
    let name = if protocol == TCP { "tcp" } else { "udp" };
    // Sockets of IPv6 talk IPv4, too.
    let lists = [name.to_owned(), format!("{name}6")];
    let read = |name: &String| std::fs::read_to_string(format!("/proc/self/net/{name}"));
    lists.iter().filter_map(|name| read(name).ok()).any(|list| holds(&list, tuple))
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let port = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    if let Ok([s, t, u, v, a, b, c, d, ..]) = <[u8; 12]>::try_from(bytes) {
        return Some(([s, t, u, v].into(), port(8)?, [a, b, c, d].into(), port(10)?));
    }
    let source: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
    let destination: [u8; 16] = bytes.get(16..32)?.try_into().ok()?;
    Some((source.into(), port(32)?, destination.into(), port(34)?))
}

/// Whether a list as in `/proc/net/tcp` has a connected socket that such packets come to.
fn holds(list: &str, (source, source_port, destination, destination_port): Tuple) -> bool {
    let is_it = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let local = end(columns.next()?)?;
        let remote = end(columns.next()?)?;
        let listens = columns.next()? == LISTEN;
        let same = local == (destination, destination_port) && remote == (source, source_port);
        (same && !listens).then_some(())
    };
    list.lines().any(|line| is_it(line).is_some())
}

/// An address and a port, as the kernel writes them: words of the address in this machine's order.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    if address.len() == 8 {
        return Some((Ipv4Addr::from(word(0)?).into(), port));
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some((Ipv6Addr::from(bytes).to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn key(source: std::net::SocketAddr, destination: std::net::SocketAddr) -> Vec<u8> {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
        [octets(source.ip()), octets(destination.ip()), ports].concat()
    }

    #[test]
    fn a_connection_is_found_and_a_listener_is_none() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (own, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            assert!(is_connected(&key(peer, own), 6), "{address}");
            assert!(is_connected(&key(own, peer), 6), "{address}");
            let mut other = own;
            other.set_port(own.port() ^ 1);
            assert!(!is_connected(&key(other, peer), 6), "{address}");
            assert!(!is_connected(&key(own, peer), 17), "{address}");
        }
    }
}
