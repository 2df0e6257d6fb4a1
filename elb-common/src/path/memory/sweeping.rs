//! Sweeps of the tables in memory, and cuts.

use core::hash::Hash;

use super::{Memory, Records, Written};
use crate::backend::Backend;
use crate::client::Client;
use crate::cut::Cut;
use crate::flow::{Stage, Visit, visit};
use crate::listener::ListenerPool;
use crate::path::{Family, Tables, V4, V6};
use crate::pool::Pool;
use crate::ring::Slot;
use crate::sweep::{self, BackendCensus, Fate, ListenerCensus, Sweep, Swept};

impl Memory {
    /// Sweeps all tables, as `elb_sweep` does.
    pub fn sweep(&self, closed_for: u32) {
        let sweep = Sweep { now: self.now, closed_for, ..Sweep::default() };
        let mut written = self.written.borrow_mut();
        written.backend_census.clear();
        written.listener_census.clear();
        written.tables.iter_mut().for_each(|table| table.swept = self.now);
        drop(written);
        for stage in [Stage::Opening, Stage::Live] {
            self.sweep_stage::<V4>(&sweep, stage, |written| &mut written.flows_v4);
            self.sweep_stage::<V6>(&sweep, stage, |written| &mut written.flows_v6);
        }
        for stage in [Stage::Opening, Stage::Live] {
            let all = self.written.borrow_mut().clients.stage(stage).clone();
            let is_over = |client: &Client| sweep::client(self, &sweep, client) == Fate::Over;
            for (key, _) in all.into_iter().filter(|(_, client)| is_over(client)) {
                self.written.borrow_mut().clients.stage(stage).remove(&key);
            }
        }
    }

    /// Cuts a connection, as `elb_cut` does; whether there was one.
    pub fn cut<F: Family>(&self, key: &F::FlowKey, cut: &Cut) -> bool {
        let looks = Visit { effect: visit::LOOKS, ..cut.visit() };
        if !F::find(self, Stage::Live, key, &looks).is_some_and(|flow| cut.means(&flow)) {
            return false;
        }
        let Some(before) = F::find(self, Stage::Live, key, &cut.visit()) else { return false };
        self.count_records(F::TABLE, before.listener, 0, -i64::from(before.is_stray()));
        if before.is_counted() {
            self.closed(before.listener, before.backend);
        }
        true
    }

    fn sweep_stage<F: Family<FlowKey: Eq + Hash>>(
        &self,
        sweep: &Sweep,
        stage: Stage,
        records: fn(&mut Written) -> &mut Records<F::FlowKey>,
    ) {
        let all = records(&mut self.written.borrow_mut()).stage(stage).clone();
        for (key, flow) in all {
            if sweep::visit::<F>(self, sweep, stage, &key, &flow) == Fate::Lives {
                continue;
            }
            records(&mut self.written.borrow_mut()).stage(stage).remove(&key);
            if stage == Stage::Live {
                self.count_records(F::TABLE, flow.listener, -1, -i64::from(flow.is_stray()));
                if flow.is_counted() {
                    self.closed(flow.listener, flow.backend);
                }
            }
        }
    }
}

impl Swept for Memory {
    fn listener(&self, id: u16) -> ListenerPool {
        self.listener_pools.get(&id).copied().unwrap_or_default()
    }
    fn pool(&self, id: u16) -> Option<Pool> {
        self.pools.get(&id).copied()
    }
    fn serves(&self, backend: u16) -> bool {
        self.backends.get(&backend).is_some_and(Backend::serves_established)
    }
    fn takes_new(&self, backend: u16) -> bool {
        self.backends.get(&backend).is_some_and(Backend::takes_new)
    }
    fn slot(&self, index: u32) -> Option<Slot> {
        Tables::slot(self, index)
    }
    fn needs_records(&self, index: u32, now: u32) {
        self.written.borrow_mut().seen.insert(index, now);
    }
    fn count_backend(&self, id: u16, count: impl FnOnce(&mut BackendCensus)) {
        count(self.written.borrow_mut().backend_census.entry(id).or_default());
    }
    fn count_listener(&self, id: u16, count: impl FnOnce(&mut ListenerCensus)) {
        count(self.written.borrow_mut().listener_census.entry(id).or_default());
    }
}
