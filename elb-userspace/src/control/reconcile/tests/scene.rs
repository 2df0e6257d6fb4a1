//! The rings as packets would find them, and a pool that changes before their eyes.

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;

use elb_common::listener::Listener as Record;
use elb_common::ring::Slot;

use super::*;
use crate::control::assign::AssignedPool;
use crate::control::ring::region::Words;

/// What an agent would have: a reconciler, the rings, and the last picture.
pub(super) struct Scene {
    pub(super) reconciler: Reconciler,
    pub(super) world: World,
    pub(super) image: Image,
    /// What sweeps find.
    pub(super) records: Records,
    slots: Vec<AtomicU32>,
    seen: Vec<AtomicU32>,
}

/// Records of flows.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// How many there are by backend.
    pub(super) flows: HashMap<u16, u32>,
    /// Listeners with records of pools that they served before.
    pub(super) moved: HashSet<u16>,
    /// Listeners that bindings name.
    pub(super) bound: HashSet<u16>,
}

impl SweepFindings for Records {
    fn flows(&self, backend: u16) -> u32 {
        self.flows.get(&backend).copied().unwrap_or(0)
    }

    fn moved(&self, listener: u16) -> u32 {
        u32::from(self.moved.contains(&listener))
    }

    fn is_bound(&self, listener: u16) -> bool {
        self.bound.contains(&listener)
    }
}

impl Scene {
    /// Serves a model from second 1,000 on.
    pub(super) fn new(model: &Model) -> Self {
        let mut scene = Self::empty();
        scene.follow(model);
        scene
    }

    /// Fresh maps, at second 1,000.
    pub(super) fn empty() -> Self {
        let words = || (0..ROOM.slots).map(|_| AtomicU32::new(0)).collect();
        Self {
            reconciler: reconciler(),
            world: World { now: 1_000, ..World::default() },
            image: Image::default(),
            records: Records::default(),
            slots: words(),
            seen: words(),
        }
    }

    /// Brings the rings in step with a model; what was asked for.
    pub(super) fn follow(&mut self, model: &Model) -> Desired {
        let desired = self.reconciler.reconcile(model, &self.world);
        assert!(desired.left_out.is_empty(), "{:?}", desired.left_out);
        for ring in &desired.rings {
            let size = u32::try_from(ring.owners.len()).unwrap();
            self.words(Region { base: ring.base, size }).write(ring, self.world.now);
        }
        desired.freed.iter().for_each(|region| self.words(*region).clear());
        self.image = desired.image.clone();
        desired
    }

    /// Starts again from what was saved and what the rings hold.
    pub(super) fn restart(&mut self) {
        let json = serde_json::to_vec(&self.reconciler.assignments).unwrap();
        let assignments: Assignments = serde_json::from_slice(&json).unwrap();
        let owners = |(id, pool): (&ResourceId, &AssignedPool)| {
            (*id, self.words(pool.region()).slots().map(Slot::cur).collect())
        };
        let owners = assignments.pools.iter().map(owners).collect();
        self.reconciler = Reconciler::new(assignments, owners, ROOM, EncapSource::default());
    }

    /// Sweeps: slots convert and settle, what no flow needs is forgotten, and the model is followed
    /// once more. How many slots are not settled.
    pub(super) fn sweep(&mut self, model: &Model) -> u32 {
        let (now, pool) = (self.world.now, &self.reconciler.assignments.pools[&web()]);
        let words = self.words(pool.region());
        if pool.former.is_none() {
            words.settle(now);
        }
        words.convert(now, 0, pool.idle_timeout);
        let states = words.states();
        let named: BTreeSet<u16> = pool
            .regions()
            .flat_map(|region| self.words(region).slots())
            .flat_map(|slot| [slot.cur(), slot.prev()])
            .collect();
        let mut changed = self.reconciler.convert(now, |_| 0);
        changed |= self.reconciler.swept(&self.records, now, |_, id| named.contains(&id));
        if changed {
            self.follow(model);
        }
        states.moving + states.exceptions
    }

    /// The slots of the pool, in pairs of present and former owner.
    pub(super) fn slots(&self) -> Vec<(u16, u16)> {
        let region = self.reconciler.assignments.pools[&web()].region();
        self.words(region).slots().map(|slot| (slot.cur(), slot.prev())).collect()
    }

    /// Which pairs there are among them.
    pub(super) fn pairs(&self) -> BTreeSet<(u16, u16)> {
        self.slots().into_iter().collect()
    }

    /// The pool's record.
    pub(super) fn pool(&self) -> elb_common::pool::Pool {
        self.image.pools[&0]
    }

    /// The listener's record.
    pub(super) fn listener(&self) -> Record {
        *self.image.listeners.values().next().unwrap()
    }

    pub(super) fn words(&self, region: Region) -> Words<'_> {
        let range = region.base as usize..(region.base + region.size) as usize;
        Words::new(&self.slots[range.clone()], &self.seen[range])
    }
}
