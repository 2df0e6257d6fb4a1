//! What `elb explain` says of the connection ids of QUIC.

use super::member;
use crate::observe::explain::{ConnectionId, Explanation};
use crate::observe::names::BackendMember;

/// What the connection id means, where there is one, or where the listener goes by it.
pub(super) fn quic_id(explained: &Explanation) -> Option<String> {
    let listener = explained.listener.as_ref()?;
    match (&explained.connection_id, explained.packet.cid) {
        (Some(id), _) => Some(connection_id(id)),
        (None, Some(_)) => {
            Some(format!("not looked at: the listener goes by {}", listener.algorithm))
        }
        (None, None) => None,
    }
}

/// What a member means that the connection id names.
pub(super) fn named(member: &BackendMember, id: Option<&ConnectionId>) -> String {
    let named = format!("the connection id names {}", self::member(member));
    if id.is_some_and(|id| id.decides) {
        named + ", which gets the packet wherever its slot is"
    } else {
        named + ", which serves no flows any more, so that the slot decides"
    }
}

fn connection_id(id: &ConnectionId) -> String {
    let ConnectionId { offset, length, part, missing, .. } = id;
    let (first, last) = (offset + 1, offset + length);
    let bytes = match length {
        1 => format!("byte {first}"),
        _ => format!("bytes {first} to {last}"),
    };
    let Some(part) = part else {
        return format!(
            "none was given: packets of these addresses and ports go by {bytes} of theirs, and what \
             follows is the way of one without; name one with --cid"
        );
    };
    let missing = match missing {
        0 => String::new(),
        1 => ", of which the last was not given and counts as zero".to_owned(),
        more => format!(", of which the last {more} were not given and count as zeroes"),
    };
    format!("goes by {bytes} of it, {}{missing}", String::from(part.clone()))
}
