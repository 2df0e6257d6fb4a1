//! `elb_cut`: cuts a recorded connection when the agent asks for it (see `elb_common::cut`). Like `elb_sweep`
//! it runs as a raw tracepoint that is attached to nothing. The record is changed in its place: replaced, it
//! would be hidden from packets for a moment, and what they note meanwhile would be lost.

use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::RawTracePointContext;
use elb_common::cut::{Cut, DONE, GONE, WORDS};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::path::{Family as _, V4, V6};

use crate::maps::{FLOWS_V4, FLOWS_V6};
use crate::shared::{count_connection, count_records, find};

/// Cuts the connection that the arguments name: [`DONE`] or [`GONE`].
#[inline(always)]
pub(crate) fn run(context: &RawTracePointContext) -> u32 {
    let words: [u64; WORDS] = [
        context.arg(0),
        context.arg(1),
        context.arg(2),
        context.arg(3),
        context.arg(4),
        context.arg(5),
        context.arg(6),
    ];
    let cut: Cut = bytemuck::cast(words);
    let [a, b, ..] = cut.key;
    if cut.table as usize == V4::TABLE {
        let key: FlowKeyV4 = bytemuck::cast([a, b]);
        record(&FLOWS_V4, &key, &cut, V4::TABLE)
    } else {
        let key: FlowKeyV6 = bytemuck::cast(cut.key);
        record(&FLOWS_V6, &key, &cut, V6::TABLE)
    }
}

#[inline(always)]
fn record<K>(map: &LruHashMap<K, Flow>, key: &K, cut: &Cut, table: usize) -> u32 {
    let Some(place) = map.get_ptr_mut(key) else { return GONE };
    // SAFETY: the element stays mapped while the program runs; its words are aligned and read whole.
    if !cut.means(unsafe { &*place }) {
        return GONE;
    }
    let Some(before) = find(place, &cut.visit()) else { return GONE };
    count_records(table, before.listener, 0, -i64::from(before.is_stray()));
    if before.is_counted() {
        count_connection(before.listener, before.backend, 1u64.wrapping_neg());
    }
    DONE
}
