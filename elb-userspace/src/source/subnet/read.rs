//! Reads `[[api.subnet]]`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Subnet, bounds, is_in, number};
use crate::model::Name;
use crate::model::ipgroup::Cidr;
use crate::source::file::table::Table;

/// What an address is called, and one.
const ADDRESS: (&str, &str) = ("an address", "192.0.2.10");

/// What an id is called, and one.
const UUID: (&str, &str) = ("a UUID", "5e0b6a0e-6d8e-4c6e-9d0a-3f1a2b4c5d6e");

/// Reads all of them: none has the id, the name or an address of another one.
pub(in crate::source) fn read_all(tables: Vec<Table<'_>>) -> (Vec<Subnet>, bool) {
    let mut all: Vec<Subnet> = Vec::new();
    let mut is_right = true;
    for mut table in tables {
        let read = read(&mut table).filter(|subnet| is_apart(&mut table, subnet, &all));
        let (sound, _) = table.finish();
        is_right &= sound && read.is_some();
        all.extend(read.filter(|_| sound));
    }
    (all, is_right)
}

/// `None` if something that all depends on is wrong.
fn read(t: &mut Table<'_>) -> Option<Subnet> {
    t.require("id", "give it a UUID, which clients name it by in vip_subnet_cidr_id");
    t.require("cidr", "set it to a network, as in \"192.0.2.0/24\"");
    let id = t.parsed_as("id", UUID);
    let name: Option<Name> = t.parsed("name");
    let cidr: Option<Cidr> = t.parsed("cidr");
    let (first, last) = (t.parsed_as("first", ADDRESS), t.parsed_as("last", ADDRESS));
    let exclude = exclude(t);
    let (id, cidr) = (id?, cidr?);
    for (key, address) in [("first", first), ("last", last)] {
        within(t, key, address, cidr);
    }
    for network in &exclude {
        let (from, to) = bounds(*network);
        let is_part =
            is_in(network.address(), cidr) && to <= bounds(cidr).1 && from >= bounds(cidr).0;
        if !is_part {
            let what = format!("exclude has {network}, which is not within {cidr}");
            t.wrong("exclude", what, format!("name addresses of {cidr}, or leave it out"));
        }
    }
    let (low, high) = bounds(cidr);
    let mut subnet =
        Subnet { id, name, cidr, first: cidr.address(), last: cidr.address(), exclude };
    subnet.first = first.unwrap_or_else(|| subnet.address(low));
    subnet.last = last.unwrap_or_else(|| subnet.address(high));
    if number(subnet.first) > number(subnet.last) {
        let (what, fix) =
            (format!("first {} is after last {}", subnet.first, subnet.last), "swap them");
        t.wrong("first", what, fix);
    } else if subnet.free(&BTreeSet::new()).is_none() {
        let what = format!("no address of {cidr} is left that a load balancer could be given");
        t.wrong("cidr", what, "exclude fewer addresses, or use a larger network");
    }
    Some(subnet)
}

fn within(t: &mut Table<'_>, key: &'static str, address: Option<IpAddr>, cidr: Cidr) {
    if let Some(address) = address.filter(|address| !is_in(*address, cidr)) {
        let what = format!("{key} {address} is not within {cidr}");
        t.wrong(key, what, format!("use an address of {cidr}, or leave it out"));
    }
}

/// Networks whose addresses no load balancer has.
fn exclude(t: &mut Table<'_>) -> Vec<Cidr> {
    let rule = "addresses or networks of it, as in [\"192.0.2.1\", \"192.0.2.16/28\"]";
    let mut all = Vec::new();
    for text in t.texts("exclude", rule).unwrap_or_default() {
        match text.parse() {
            Ok(network) => all.push(network),
            Err(wrong) => {
                let wrong: crate::model::value::Invalid = wrong;
                t.wrong("exclude", format!("exclude: {}", wrong.what), wrong.fix);
            }
        }
    }
    all
}

fn is_apart(t: &mut Table<'_>, subnet: &Subnet, others: &[Subnet]) -> bool {
    for other in others {
        let label = other.label();
        if other.id == subnet.id {
            t.wrong(
                "id",
                format!("id {} is that of subnet {label:?}", subnet.id),
                "give it another one",
            );
        }
        if subnet.name.is_some() && other.name == subnet.name {
            t.wrong("name", format!("name {label:?} is there twice"), "give it another one");
        }
        let (first, last) = bounds(subnet.cidr);
        let (their_first, their_last) = bounds(other.cidr);
        if subnet.is_v4() == other.is_v4() && first <= their_last && their_first <= last {
            let what =
                format!("cidr {} has addresses of subnet {label:?} ({})", subnet.cidr, other.cidr);
            t.wrong("cidr", what, "make one subnet of both, or networks that do not overlap");
        }
    }
    true
}
