//! An agent that starts with numbers from a file, and follows a configuration for some time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use elb_common::addr::Mac;
use elb_userspace::agent::saved::Numbers;
use elb_userspace::control::assign::{Assignments, IdSpace};
use elb_userspace::control::network::NextHop;
use elb_userspace::control::reconcile::{EncapSource, ReconcileInput, Reconciler};
use elb_userspace::model::{Member, Model, Pool};
use elb_userspace::source::file as config;

const ROOM: IdSpace = IdSpace { listeners: 64, pools: 64, backends: 256, slots: 1 << 20 };
const INTERFACE: u32 = 2;

/// All members work, and are reached in the same way.
struct View {
    now: u32,
}

impl ReconcileInput for View {
    fn serves(&self, _: &Pool, _: &Member) -> bool {
        true
    }

    fn next_hop(&self, _: IpAddr) -> Option<NextHop> {
        let (mac, source_mac) = (Mac::new([2, 0, 0, 0, 0, 2]), Mac::new([2, 0, 0, 0, 0, 1]));
        Some(NextHop {
            ifindex: INTERFACE,
            mac,
            source_mac,
            source: None,
            mtu: 1500,
            on_link: true,
        })
    }

    fn interfaces(&self) -> BTreeMap<u32, Mac> {
        BTreeMap::from([(INTERFACE, Mac::new([2, 0, 0, 0, 0, 1]))])
    }

    fn now(&self) -> u32 {
        self.now
    }
}

/// Follows the configuration of the package from these numbers, and none of it, and it again.
pub fn reconcile(assignments: Assignments) -> Assignments {
    if !assignments.fit(ROOM) {
        return assignments;
    }
    let owners = assignments.pools.iter().map(|(id, pool)| {
        let slots = usize::try_from(pool.ring.shape.size).unwrap();
        let first = pool.members.first().map_or(0, |member| member.id);
        (*id, vec![first; slots])
    });
    let owners = owners.collect();
    let mut reconciler = Reconciler::new(assignments, owners, ROOM, EncapSource::default());
    for (now, model) in [(1_000, &*MODEL), (1_010, &Model::default()), (90_000, &*MODEL)] {
        reconciler.follow_names(model);
        let desired = reconciler.reconcile(model, &View { now });
        for ring in &desired.rings {
            assert!(ring.base as usize + ring.owners.len() <= ROOM.slots as usize);
        }
        assert!(reconciler.assignments.fit(ROOM), "{:?}", reconciler.assignments);
    }
    reconciler.assignments
}

/// What such an agent writes down.
pub fn numbers() -> Vec<u8> {
    let assignments = reconcile(Assignments::default());
    serde_json::to_vec(&Numbers { generation: 1, assignments, ..Numbers::default() }).unwrap()
}

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let text = include_str!("../../../../elb-userspace/dist/elb.toml");
    config::parse("elb.toml", text).unwrap().model
});
