//! Packets that never come here: those of this host itself, and those of a member to a virtual address that it
//! has itself.

use std::net::IpAddr;

use super::Decision;
use crate::model::{Listener, Model};

/// What becomes of a packet that does not leave its sender, or leaves this host without meeting the program;
/// `None`: it comes here. `own` are this host's addresses.
pub fn decision(source: IpAddr, vip: IpAddr, own: &[IpAddr], model: &Model) -> Option<Decision> {
    let lb = model.load_balancers().iter().find(|lb| lb.vips().any(|address| address == vip))?;
    let pools = lb.listeners.iter().flat_map(Listener::pools).filter_map(|name| model.pool(name));
    let member = |pool: &crate::model::Pool| {
        let member = pool.members.iter().find(|member| member.address == source)?;
        Some(format!("{} of pool {}", member.name, pool.name))
    };
    let (fate, meaning, fix) = if own.contains(&source) {
        let meaning = format!(
            "{source} is an address of this host: its own packets leave it without meeting the program, which \
             gets only what comes in"
        );
        ("not seen", meaning, format!("try {vip} from another host"))
    } else {
        // With translation it has none: its packets come here, and cannot be answered on its own segment.
        let mut pools = pools.filter(|pool| !pool.forwarding.translates());
        let member = pools.find_map(member)?;
        let meaning = format!(
            "{source} is member {member}, which has {vip} itself, as direct server return demands: what it \
             sends to {vip} reaches itself, healthy or not, and never comes here"
        );
        let fix = "let the member's own service connect to another member's address, or run that client on \
                   another host";
        ("not seen", meaning, fix.to_owned())
    };
    Some(Decision { fate: fate.to_owned(), reason: None, meaning: Some(meaning), fix: Some(fix) })
}

/// Addresses of this host.
pub fn own_addresses() -> Vec<IpAddr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |one: nix::ifaddrs::InterfaceAddress| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    all.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
        vip_address = \"10.0.0.100\"\n[[load_balancer.listener]]\nname = \"web\"\nprotocol = \"TCP\"\n\
        protocol_port = 80\ndefault_pool = \"web\"\n[[pool]]\nname = \"web\"\nprotocol = \"TCP\"\n\
        forwarding = \"ipip\"\n[[pool.member]]\nname = \"w0\"\naddress = \"10.0.0.11\"\nprotocol_port = 80\n";

    #[test]
    fn only_what_stays_where_it_is_is_not_seen() {
        let config = crate::source::file::parse("test", TEXT).unwrap();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let said =
            |source, vip| decision(address(source), address(vip), &[address(2)], &config.model);
        let own = said(2, 100).unwrap();
        assert_eq!(own.fate, "not seen");
        assert!(own.meaning.unwrap().contains("10.0.0.2 is an address of this host"));
        let member = said(11, 100).unwrap().meaning.unwrap();
        assert!(
            member.contains("member w0 of pool web") && member.contains("reaches itself"),
            "{member}"
        );
        assert_eq!((said(10, 100), said(2, 99), said(11, 99)), (None, None, None));
    }

    #[test]
    fn loopback_is_ours() {
        assert!(own_addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }
}
