//! The resources of a file, or of a part of it, that are valid by themselves, and where they are.

use std::collections::HashSet;
use std::sync::Arc;

use super::place::Place;
use crate::model::{IpGroup, LoadBalancer, Pool};

/// What was read of resources.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) load_balancers: Vec<LoadBalancer>,
    pub(super) load_balancer_places: Vec<Arc<LoadBalancerPlace>>,
    pub(super) pools: Vec<Pool>,
    pub(super) pool_places: Vec<Arc<PoolPlace>>,
    /// Names of pools that are not in `pools`, because something in them is wrong.
    pub(super) broken_pools: Vec<String>,
    /// Names of pools that listeners ask for, right or wrong.
    pub(super) named_pools: HashSet<String>,
    pub(super) ip_groups: Vec<IpGroup>,
    pub(super) ip_group_places: Vec<Place>,
    /// As `broken_pools`.
    pub(super) broken_ip_groups: Vec<String>,
    /// As `named_pools`.
    pub(super) named_ip_groups: HashSet<String>,
}

/// Where a load balancer and its listeners are, in parallel to the model's lists.
#[derive(Clone)]
pub(super) struct LoadBalancerPlace {
    pub(super) own: Place,
    pub(super) listeners: Vec<Place>,
}

/// Where a pool and its parts are, in parallel to the model's lists.
#[derive(Clone)]
pub(super) struct PoolPlace {
    pub(super) own: Place,
    pub(super) monitor: Option<Place>,
    pub(super) members: Vec<Place>,
}

impl Draft {
    /// The same resources, which a store holds and no file.
    pub(super) fn in_store(self) -> Self {
        let balancer = |place: Arc<LoadBalancerPlace>| {
            let LoadBalancerPlace { own, listeners } = Arc::unwrap_or_clone(place);
            let listeners = listeners.into_iter().map(Place::in_store).collect();
            Arc::new(LoadBalancerPlace { own: own.in_store(), listeners })
        };
        let pool = |place: Arc<PoolPlace>| {
            let PoolPlace { own, monitor, members } = Arc::unwrap_or_clone(place);
            let members = members.into_iter().map(Place::in_store).collect();
            Arc::new(PoolPlace {
                own: own.in_store(),
                monitor: monitor.map(Place::in_store),
                members,
            })
        };
        Self {
            load_balancer_places: self.load_balancer_places.into_iter().map(balancer).collect(),
            pool_places: self.pool_places.into_iter().map(pool).collect(),
            ip_group_places: self.ip_group_places.into_iter().map(Place::in_store).collect(),
            ..self
        }
    }

    /// Takes over the resources of a piece.
    pub(super) fn take(&mut self, piece: &Self) {
        self.load_balancers.extend_from_slice(&piece.load_balancers);
        self.load_balancer_places.extend_from_slice(&piece.load_balancer_places);
        self.pools.extend_from_slice(&piece.pools);
        self.pool_places.extend_from_slice(&piece.pool_places);
        self.broken_pools.extend_from_slice(&piece.broken_pools);
        self.named_pools.extend(piece.named_pools.iter().cloned());
        self.ip_groups.extend_from_slice(&piece.ip_groups);
        self.ip_group_places.extend_from_slice(&piece.ip_group_places);
        self.broken_ip_groups.extend_from_slice(&piece.broken_ip_groups);
        self.named_ip_groups.extend(piece.named_ip_groups.iter().cloned());
    }
}
