//! Reads the ports of a listener.

use super::port::{Port, PortOrAny, port};
use super::table::Table;
use crate::model::PortRange;

/// `protocol_port`, 0 where `port_ranges` say it all, and `port_ranges`.
pub(super) fn ports(t: &mut Table<'_>) -> (Option<u16>, Vec<PortRange>) {
    if !t.has("port_ranges") {
        t.require("protocol_port", "set it to a port, or to 0 for any port");
    }
    let protocol_port = match t.has("protocol_port") {
        true => port(t.number::<PortOrAny>("protocol_port", "; 0 is any port")),
        false => Some(0),
    };
    let tables = t.tables("port_ranges", |_| None);
    let count = tables.len();
    let ranges: Vec<_> = tables.into_iter().filter_map(range).collect();
    if ranges.len() != count {
        t.mark_invalid();
    }
    (protocol_port, ranges)
}

fn range(mut t: Table<'_>) -> Option<PortRange> {
    t.require("start_port", "set it to the first port of the range");
    t.require("end_port", "set it to the last port of the range");
    let start_port = port(t.number::<Port>("start_port", ""));
    let end_port = port(t.number::<Port>("end_port", ""));
    let range = start_port.zip(end_port).and_then(|(start_port, end_port)| {
        let range = PortRange::new(start_port, end_port);
        range.map_err(|wrong| t.wrong("end_port", wrong.what, wrong.fix)).ok()
    });
    let (sound, _) = t.finish();
    range.filter(|_| sound)
}
