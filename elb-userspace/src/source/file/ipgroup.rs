//! Reads IP groups, and which one a listener uses.

use std::collections::BTreeSet;

use super::place::Place;
use super::table::{Item, Table};
use crate::model::ipgroup::{Cidr, Description, IpGroupEntry};
use crate::model::{AccessControl, AccessList, IpGroup, Name, ResourceId};

/// Reads `[[ipgroup]]`; `None` if anything in it is wrong.
pub(super) fn ipgroup(mut t: Table<'_>) -> Option<(IpGroup, Place)> {
    t.require("name", "give it one");
    t.require("ip_list", "set it to a list of networks; it may be empty: []");
    let name = t.parsed("name");
    let id = t.parsed("id");
    let entries = entries(&mut t);
    let group = name.and_then(|name: Name| {
        let id = id.unwrap_or_else(|| ResourceId::of_ip_group(name.as_str()));
        let group = IpGroup::new(id, name, entries);
        group.map_err(|wrong| t.wrong("ip_list", format!("ip_list {}", wrong.what), wrong.fix)).ok()
    });
    let (sound, place) = t.finish();
    group.filter(|_| sound).map(|group| (group, place))
}

/// The entries of a group: plain texts, or tables with a description.
fn entries(t: &mut Table<'_>) -> Vec<IpGroupEntry> {
    let mut entries: Vec<IpGroupEntry> = Vec::new();
    let mut seen = BTreeSet::new();
    let rule = format!("up to {} addresses or networks", IpGroup::MOST_NETWORKS);
    for item in t.items("ip_list", &rule) {
        let at = item.at();
        let entry = match item {
            Item::Text(text, at) => t
                .item(text.parse(), at)
                .map(|ip| IpGroupEntry { ip, description: Description::default() }),
            Item::Table(table) => entry(table),
        };
        match entry {
            Some(entry) if seen.insert(entry.ip) => entries.push(entry),
            Some(entry) => {
                t.odd(at, format!("{} is in ip_list twice", entry.ip), "remove one of them");
            }
            None => t.mark_invalid(),
        }
    }
    entries
}

fn entry(mut t: Table<'_>) -> Option<IpGroupEntry> {
    t.require("ip", "set it to an address or a network");
    let ip = t.parsed::<Cidr>("ip");
    let description = t.parsed("description").unwrap_or_default();
    let (sound, _) = t.finish();
    ip.filter(|_| sound).map(|ip| IpGroupEntry { ip, description })
}

/// The access control of a listener.
pub(super) fn access(t: &mut Table<'_>) -> Option<AccessControl> {
    let object = format!("{}, ipgroup", t.object());
    let mut table = t.table("ipgroup", object)?;
    table.require("ipgroup", "name the [[ipgroup]]");
    let ipgroup = table.parsed("ipgroup");
    let list = table.parsed_or("type", AccessList::White);
    let enable_ipgroup = table.flag_or("enable_ipgroup", true);
    let cut = table.flag_or("cut", false);
    let (sound, _) = table.finish();
    if !sound {
        t.mark_invalid();
    }
    Some(AccessControl { ipgroup: ipgroup?, list, enable_ipgroup, cut })
}
