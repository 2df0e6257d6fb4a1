//! Maps that packets read and write, and of which the agent reads one key at a time to show what a
//! packet would meet.

use std::path::Path;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData};
use elb_common::admission::{BackendState, GroupKeyV4, GroupKeyV6, ListenerState};
use elb_common::binding::Bucket;
use elb_common::client::{Client, ClientKey};
use elb_common::client_hop::ClientHop;
use elb_common::exception::Exception;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::listener::{Listener, ListenerEndpoint, ListenerKeyV4, ListenerKeyV6, RangeKey};
use elb_common::names;
use elb_common::pool::PoolState;
use elb_common::quic::ServerIdKey;
use elb_common::reply::Reply;
use elb_common::room::FlowTable;
use elb_common::snat::Snat;

use super::{MapError, Record, at};

/// Handles of their own, from the pins.
pub(super) struct Lookups {
    pub(super) ranges: LpmTrie<MapData, Record<RangeKey>, Record<Listener>>,
    pub(super) groups_v4: LpmTrie<MapData, Record<GroupKeyV4>, u32>,
    pub(super) groups_v6: LpmTrie<MapData, Record<GroupKeyV6>, u32>,
    pub(super) listener_states: Array<MapData, Record<ListenerState>>,
    pub(super) pool_states: Array<MapData, Record<PoolState>>,
    pub(super) servers: HashMap<MapData, Record<ServerIdKey>, u32>,
    pub(super) backend_states: Array<MapData, Record<BackendState>>,
    pub(super) tables: Array<MapData, Record<FlowTable>>,
    pub(super) openings_v4: HashMap<MapData, Record<FlowKeyV4>, Record<Flow>>,
    pub(super) openings_v6: HashMap<MapData, Record<FlowKeyV6>, Record<Flow>>,
    pub(super) flows_v4: HashMap<MapData, Record<FlowKeyV4>, Record<Flow>>,
    pub(super) flows_v6: HashMap<MapData, Record<FlowKeyV6>, Record<Flow>>,
    pub(super) client_openings: HashMap<MapData, Record<ClientKey>, Record<Client>>,
    pub(super) clients: HashMap<MapData, Record<ClientKey>, Record<Client>>,
    pub(super) replies_v4: HashMap<MapData, Record<ListenerKeyV4>, Record<Reply>>,
    pub(super) replies_v6: HashMap<MapData, Record<ListenerKeyV6>, Record<Reply>>,
    pub(super) member_bits: Array<MapData, u64>,
    pub(super) exceptions_v4: HashMap<MapData, Record<FlowKeyV4>, Record<Exception>>,
    pub(super) exceptions_v6: HashMap<MapData, Record<FlowKeyV6>, Record<Exception>>,
    pub(super) excepted: Array<MapData, u32>,
    pub(super) snat: Array<MapData, Record<Snat>>,
    pub(super) bindings_v4: Array<MapData, Record<Bucket>>,
    pub(super) endpoints: Array<MapData, Record<ListenerEndpoint>>,
    pub(super) client_defaults: Array<MapData, Record<ClientHop>>,
    pub(super) client_routes_v4: LpmTrie<MapData, Record<u32>, Record<ClientHop>>,
    pub(super) client_routes_v6: LpmTrie<MapData, Record<[u64; 2]>, Record<ClientHop>>,
}

impl Lookups {
    /// Opens the maps that are pinned in `directory`.
    pub(super) fn open(directory: &Path) -> Result<Self, MapError> {
        Ok(Self {
            ranges: open(directory, names::PORT_RANGES, Map::LpmTrie)?,
            groups_v4: open(directory, names::GROUPS_V4, Map::LpmTrie)?,
            groups_v6: open(directory, names::GROUPS_V6, Map::LpmTrie)?,
            listener_states: open(directory, names::LISTENER_STATES, Map::Array)?,
            pool_states: open(directory, names::POOL_STATES, Map::Array)?,
            servers: open(directory, names::SERVER_IDS, Map::HashMap)?,
            backend_states: open(directory, names::BACKEND_STATES, Map::Array)?,
            tables: open(directory, names::FLOW_TABLES, Map::Array)?,
            openings_v4: open(directory, names::OPENINGS_V4, Map::LruHashMap)?,
            openings_v6: open(directory, names::OPENINGS_V6, Map::LruHashMap)?,
            flows_v4: open(directory, names::FLOWS_V4, Map::LruHashMap)?,
            flows_v6: open(directory, names::FLOWS_V6, Map::LruHashMap)?,
            client_openings: open(directory, names::CLIENT_OPENINGS, Map::LruHashMap)?,
            clients: open(directory, names::CLIENTS, Map::LruHashMap)?,
            replies_v4: open(directory, names::REPLIES_V4, Map::HashMap)?,
            replies_v6: open(directory, names::REPLIES_V6, Map::HashMap)?,
            member_bits: open(directory, names::MEMBER_BITS, Map::Array)?,
            exceptions_v4: open(directory, names::EXCEPTIONS_V4, Map::LruHashMap)?,
            exceptions_v6: open(directory, names::EXCEPTIONS_V6, Map::LruHashMap)?,
            excepted: open(directory, names::EXCEPTED, Map::Array)?,
            snat: open(directory, names::SNAT, Map::Array)?,
            bindings_v4: open(directory, names::BINDINGS_V4, Map::Array)?,
            endpoints: open(directory, names::LISTENER_ENDPOINTS, Map::Array)?,
            client_defaults: open(directory, names::CLIENT_DEFAULTS, Map::Array)?,
            client_routes_v4: open(directory, names::CLIENT_ROUTES_V4, Map::LpmTrie)?,
            client_routes_v6: open(directory, names::CLIENT_ROUTES_V6, Map::LpmTrie)?,
        })
    }

    pub(super) fn forget_clients(&mut self) {
        [&mut self.client_openings, &mut self.clients].into_iter().for_each(forget);
    }
}

/// Forgets which backends serve clients in the maps of a folder, if it has such maps. All of them are tried.
pub(in crate::kernel::bpf) fn forget_clients_in(directory: &Path) -> Result<(), MapError> {
    let mut all = Ok(());
    for name in [names::CLIENT_OPENINGS, names::CLIENTS] {
        if directory.join(name).exists() {
            let map = open(directory, name, Map::LruHashMap);
            all = all.and(map.map(|mut map| forget(&mut map)));
        }
    }
    all
}

fn forget(clients: &mut HashMap<MapData, Record<ClientKey>, Record<Client>>) {
    let keys: Vec<_> = clients.keys().filter_map(Result::ok).collect();
    for key in keys {
        // A packet may have been quicker.
        let _ = clients.remove(&key);
    }
}

/// A pinned map of a kind.
fn open<T: TryFrom<Map, Error = aya::maps::MapError>>(
    directory: &Path,
    name: &'static str,
    kind: fn(MapData) -> Map,
) -> Result<T, MapError> {
    let map = MapData::from_pin(directory.join(name)).map_err(at(name))?;
    T::try_from(kind(map)).map_err(at(name))
}

/// All bits of a key of a trie.
pub(super) fn whole<K: bytemuck::Pod>(key: K) -> Key<Record<K>> {
    Key::new(u32::try_from(8 * size_of::<K>()).unwrap_or(u32::MAX), Record(key))
}
