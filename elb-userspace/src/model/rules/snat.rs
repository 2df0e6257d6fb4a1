//! What must hold for source addresses, and pools whose members see them in the place of clients' addresses.

use std::net::IpAddr;

use super::{At, Rules};
use crate::model::Pool;

impl Rules<'_> {
    /// A source address is nothing else.
    pub(super) fn no_source(&mut self, at: At, key: &'static str, address: IpAddr) {
        if let Some(of) = self.snat.use_of(address) {
            let what = format!("{key} {address} {of}");
            self.report(at, key, what, "use another address, or another prefix in [snat]");
        }
    }

    /// A pool with `fullnat` takes source addresses, and members that they can reach.
    pub(super) fn hidden_clients(&mut self, i: usize, pool: &Pool) {
        if !pool.forwarding.hides_clients() {
            return;
        }
        if self.snat.v4.is_none() {
            let what = format!(
                "forwarding {} takes source addresses for members to answer, and there are none",
                pool.forwarding
            );
            let fix = "add [snat] with v4 = \"PREFIX\", addresses that no other host has (/26 to /32), or use \
                       forwarding = \"nat\"";
            self.report(At::Pool(i), "forwarding", what, fix);
        }
        for (j, member) in pool.members.iter().enumerate().filter(|(_, one)| one.address.is_ipv6())
        {
            let what = format!(
                "address {} is of IPv6, and forwarding {} carries IPv4 only",
                member.address, pool.forwarding
            );
            let fix = "use the member's IPv4 address, or forwarding = \"nat\"";
            self.report(At::Member(i, j), "address", what, fix);
        }
    }

    /// A pool with `nat46` takes a prefix that members answer, and members with IPv6.
    pub(super) fn embedded_clients(&mut self, i: usize, pool: &Pool) {
        if !pool.forwarding.embeds_clients() {
            return;
        }
        if self.snat.v6.is_none() {
            let what = format!(
                "forwarding {} takes a prefix for the addresses that members answer, and there is none",
                pool.forwarding
            );
            let fix = "add [snat] with v6 = \"PREFIX\", a /64 that no host has addresses in and that members' \
                       routes lead to this host";
            self.report(At::Pool(i), "forwarding", what, fix);
        }
        for (j, member) in pool.members.iter().enumerate().filter(|(_, one)| one.address.is_ipv4())
        {
            let what = format!(
                "address {} is of IPv4, and forwarding {} translates to IPv6",
                member.address, pool.forwarding
            );
            let fix = "use the member's IPv6 address, or forwarding = \"nat\"";
            self.report(At::Member(i, j), "address", what, fix);
        }
    }

    /// A virtual IPv6 address leads to a pool with `fullnat` or `nat46`.
    pub(super) fn unhidden_version(
        &mut self,
        at: At,
        (key, pool): (&'static str, &Pool),
        vip: IpAddr,
    ) {
        let does = match pool.forwarding.embeds_clients() {
            true => "translates IPv4 to IPv6",
            false => "carries IPv4 only",
        };
        let what = format!(
            "VIP {vip} is of IPv6, and pool \"{}\" has forwarding {}, which {does}",
            pool.name, pool.forwarding
        );
        let fix = match pool.forwarding.embeds_clients() {
            true => {
                "give the address to a load balancer of its own, whose pool has the same members and forwarding = \
                 \"nat\""
            }
            false => "use forwarding = \"nat\", or a load balancer for IPv6 with a pool of its own",
        };
        self.report(at, key, what, fix);
    }
}
