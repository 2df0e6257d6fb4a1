//! `elb_sweep`: goes through a flow table when the agent asks for it (see `elb_common::sweep`). It runs as
//! a raw tracepoint that is attached to nothing, so that packets are handled meanwhile.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_for_each_map_elem;
use aya_ebpf::maps::LruHashMap;
use elb_common::client::{Client, ClientKey};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage};
use elb_common::listener::ListenerPool;
use elb_common::path::{Family, V4, V6};
use elb_common::pool::Pool;
use elb_common::ring::{CHUNK, Slot};
use elb_common::sweep::{BackendCensus, Fate, ListenerCensus, Swept, table, visit};

use crate::maps::*;
use crate::shared::{count_connection, count_records};

/// Sweeps the table that `SWEEP` names.
#[inline(always)]
pub(crate) fn run() {
    let Some(sweep) = SWEEP.get(0) else { return };
    match sweep.table {
        table::OPENINGS_V4 => openings_v4::sweep(),
        table::OPENINGS_V6 => openings_v6::sweep(),
        table::FLOWS_V4 => flows_v4::sweep(),
        table::FLOWS_V6 => flows_v6::sweep(),
        table::CLIENT_OPENINGS => client_openings::sweep(),
        table::CLIENTS => clients::sweep(),
        _ => 0,
    };
}

/// A table: each call of the helper must be an instruction of its own, so these are functions that are not
/// inlined. Kernels before 6.7 refuse one that is reached with several maps.
macro_rules! swept {
    ($table:ident, $key:ty, $value:ty, $map:ident, $judge:expr) => {
        mod $table {
            use super::*;

            #[inline(never)]
            pub(super) fn sweep() -> i64 {
                let map: *const LruHashMap<$key, $value> = &raw const $map;
                let visit: Callback<$key, $value> = visit;
                // SAFETY: the map has keys and values of the callback's types.
                unsafe {
                    bpf_for_each_map_elem(
                        map.cast_mut().cast(),
                        visit as *mut c_void,
                        core::ptr::null_mut(),
                        0,
                    )
                }
            }

            #[inline(never)]
            unsafe extern "C" fn visit(
                _: *mut c_void,
                key: *const $key,
                value: *const $value,
                _: *mut c_void,
            ) -> u64 {
                // SAFETY: the kernel passes pointers to a key and a value of the map; they stay mapped
                // while the callback runs, and are copied at once.
                let (key, value) = unsafe { (*key, *value) };
                $judge(&$map, &key, &value);
                0
            }
        }
    };
}

swept!(openings_v4, FlowKeyV4, Flow, OPENINGS_V4, opening::<V4, _>);
swept!(openings_v6, FlowKeyV6, Flow, OPENINGS_V6, opening::<V6, _>);
swept!(flows_v4, FlowKeyV4, Flow, FLOWS_V4, live::<V4, _>);
swept!(flows_v6, FlowKeyV6, Flow, FLOWS_V6, live::<V6, _>);
swept!(client_openings, ClientKey, Client, CLIENT_OPENINGS, client);
swept!(clients, ClientKey, Client, CLIENTS, client);

/// What the kernel calls for a record: it goes on after 0.
type Callback<K, V> = unsafe extern "C" fn(*mut c_void, *const K, *const V, *mut c_void) -> u64;

#[inline(always)]
fn opening<F: Family<FlowKey = K>, K>(map: &LruHashMap<K, Flow>, key: &K, flow: &Flow) {
    judge::<F, K>(map, Stage::Opening, key, flow);
}

#[inline(always)]
fn live<F: Family<FlowKey = K>, K>(map: &LruHashMap<K, Flow>, key: &K, flow: &Flow) {
    judge::<F, K>(map, Stage::Live, key, flow);
}

#[inline(always)]
fn client(map: &LruHashMap<ClientKey, Client>, key: &ClientKey, client: &Client) {
    let Some(sweep) = SWEEP.get(0) else { return };
    if elb_common::sweep::client(&Sweeping, sweep, client) == Fate::Over {
        let _ = map.remove(key);
    }
}

#[inline(always)]
fn judge<F: Family<FlowKey = K>, K>(map: &LruHashMap<K, Flow>, stage: Stage, key: &K, flow: &Flow) {
    let Some(sweep) = SWEEP.get(0) else { return };
    if visit::<F>(&Sweeping, sweep, stage, key, flow) == Fate::Lives || map.remove(key).is_err() {
        return;
    }
    if stage == Stage::Live {
        count_records(F::TABLE, flow.listener, -1, -i64::from(flow.is_stray()));
        if flow.is_counted() {
            count_connection(flow.listener, flow.backend, 1u64.wrapping_neg());
        }
    }
}

/// The maps, for a sweep. One runs at a time.
struct Sweeping;

impl Swept for Sweeping {
    #[inline(always)]
    fn listener(&self, id: u16) -> ListenerPool {
        LISTENER_POOLS.get(u32::from(id)).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn pool(&self, id: u16) -> Option<Pool> {
        POOLS.get(u32::from(id)).copied()
    }

    #[inline(always)]
    fn serves(&self, backend: u16) -> bool {
        BACKENDS.get(u32::from(backend)).is_some_and(|backend| backend.serves_established())
    }

    #[inline(always)]
    fn takes_new(&self, backend: u16) -> bool {
        BACKENDS.get(u32::from(backend)).is_some_and(|backend| backend.takes_new())
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        let chunk = RINGS.get(index / CHUNK)?;
        Some(Slot(chunk[(index % CHUNK) as usize]))
    }

    #[inline(always)]
    fn needs_records(&self, index: u32, now: u32) {
        let Some(chunk) = RINGS_SEEN.get_ptr_mut(index / CHUNK) else { return };
        // SAFETY: the map holds the chunk for as long as the program lives; the index is within the
        // chunk. The word is written whole.
        unsafe { (*chunk)[(index % CHUNK) as usize] = now };
    }

    #[inline(always)]
    fn count_backend(&self, id: u16, count: impl FnOnce(&mut BackendCensus)) {
        let Some(census) = BACKEND_CENSUS.get_ptr_mut(u32::from(id)) else { return };
        // SAFETY: the element stays mapped, and only one sweep runs at a time, which alone writes it.
        count(unsafe { &mut *census });
    }

    #[inline(always)]
    fn count_listener(&self, id: u16, count: impl FnOnce(&mut ListenerCensus)) {
        let Some(census) = LISTENER_CENSUS.get_ptr_mut(u32::from(id)) else { return };
        // SAFETY: as for backends.
        count(unsafe { &mut *census });
    }
}
