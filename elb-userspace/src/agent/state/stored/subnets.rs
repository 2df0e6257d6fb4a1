//! Subnets of the file, and the load balancers that have addresses of them.

use std::net::IpAddr;

use super::LoadedFile;
use crate::source::file::Config;
use crate::source::store::DocumentKind;
use crate::source::subnet::Subnet;

/// The attributes that name a subnet, each with that of the address.
const KEYS: [(&str, &str); 2] =
    [("vip_subnet_cidr_id", "vip_address"), ("ipv6_vip_virsubnet_id", "ipv6_vip_address")];

impl LoadedFile {
    /// Which load balancers have addresses that are of no subnet of a file, and were of one: each, and what is said of it.
    pub(in crate::agent) fn left_subnets(&self, file: &Config) -> Vec<(String, String)> {
        let (Some(stored), Some(api)) = (&self.stored, &file.api) else { return Vec::new() };
        let Ok(store) = stored.store.as_ref() else { return Vec::new() };
        if stored.former.is_empty() {
            return Vec::new();
        }
        let mut left = Vec::new();
        for lb in store.read().of(DocumentKind::LoadBalancer) {
            for (subnet, address) in KEYS {
                let Ok(address) = lb.text(address).parse() else { continue };
                let named = lb.text(subnet);
                if has(&stored.former, named, address) && !has(&api.subnets, named, address) {
                    let label = stored.former.iter().find(|one| one.is_called(named));
                    let label = label.map_or_else(String::new, Subnet::label);
                    let what =
                        format!("{address} is no address of subnet {label} any more; it keeps it");
                    left.push((format!("load balancer {:?} ({})", lb.text("name"), lb.id), what));
                }
            }
        }
        left
    }

    /// Load balancers get their addresses from those of this file from now on; what that leaves behind is logged once.
    pub(in crate::agent) fn take_subnets(&mut self, file: &Config) {
        let left = self.left_subnets(file);
        let (Some(stored), Some(api)) = (&mut self.stored, &file.api) else { return };
        if *stored.subnets.get() == *api.subnets {
            return;
        }
        for (balancer, what) in left {
            tracing::warn!("{balancer}: {what}");
        }
        stored.subnets.set(&api.subnets);
        let new = api.subnets.iter().filter(|one| !stored.former.contains(one));
        let new: Vec<Subnet> = new.cloned().collect();
        stored.former.extend(new);
    }
}

/// Whether a subnet that is called so has an address.
fn has(subnets: &[Subnet], named: &str, address: IpAddr) -> bool {
    subnets.iter().any(|one| one.is_called(named) && one.allows(address))
}
