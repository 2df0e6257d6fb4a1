//! The rules that choose a routing table by the mark of packets.

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion};

use super::error::is_missing;
use super::mark::MASK;

/// Before the rules of the main tables; after the local addresses' one, which no rule precedes.
const PRIORITY: u32 = 90;

/// All rules of an IP version.
pub(super) async fn rules(
    handle: &Handle,
    family: AddressFamily,
) -> Result<Vec<RuleMessage>, rtnetlink::Error> {
    let version = if family == AddressFamily::Inet { IpVersion::V4 } else { IpVersion::V6 };
    handle.rule().get(version).execute().try_collect().await
}

/// None where there is no IPv6.
pub(super) async fn rules_of_v6(handle: &Handle) -> Result<Vec<RuleMessage>, rtnetlink::Error> {
    match rules(handle, AddressFamily::Inet6).await {
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        found => found,
    }
}

/// The rule that sends packets with a mark to a table.
pub(super) fn rule(family: AddressFamily, mark: u32, table: u32) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(PRIORITY),
        RuleAttribute::FwMark(mark),
        RuleAttribute::FwMask(MASK),
        RuleAttribute::Table(table),
    ];
    rule
}
