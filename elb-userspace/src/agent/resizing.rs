//! Other sizes of the maps, while they serve: others take their place, as at a start.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::core::{Core, room};
use super::state::sweep::Tracking;
use crate::kernel::bpf::{
    Capacity, Carry, FlowLogMaps, LoadedObject, Maps, Program, Sweeper, Tracer,
};
use crate::model::Model;
use crate::source::file::AgentSettings;

impl Core {
    /// Gives the maps the sizes of the settings, where what is in use fits, and lets the interfaces carry
    /// this program. Where that makes other maps, their tracer; what stays as it is, and why, is among
    /// the problems of the configuration.
    pub(super) fn resize(
        &mut self,
        settings: &AgentSettings,
        model: &Model,
        program: Program,
    ) -> Option<Tracer> {
        let wanted = Capacity::of(settings, model);
        if wanted == self.serving.maps.capacity {
            self.take_sizes(settings);
            return None;
        }
        match self.try_resize(wanted, program) {
            Ok(tracer) => {
                self.take_sizes(settings);
                tracer
            }
            Err(error) => {
                let what = format!("the sizes of the maps stay as they were: {error:#}");
                tracing::error!("{what}");
                self.file.problems.push(what);
                None
            }
        }
    }

    fn try_resize(&mut self, wanted: Capacity, program: Program) -> Result<Option<Tracer>> {
        let mut carry = Carry::plan(&self.config.agent.pin_dir, wanted)?;
        carry.kept.iter().for_each(|kept| tracing::error!("{kept}"));
        self.file.problems.append(&mut carry.kept);
        let capacity = carry.capacity;
        if capacity == self.serving.maps.capacity {
            return Ok(None);
        }
        // Besides packets only sweeps write to what is copied.
        let tracking = self.serving.tracking.clone();
        let held = tracking.hold();
        let mut object = LoadedObject::load_at(carry.directory.clone(), capacity)?;
        let mut maps = Maps::new(&mut object, capacity).context("cannot use the maps")?;
        let sweeper = Sweeper::new(&mut object, capacity).context("cannot sweep")?;
        let tracer = Tracer::new(&mut object)?;
        let mut flow_log = FlowLogMaps::new(&mut object)?;
        self.flow_log.prepare(&mut flow_log.0)?;
        carry.first_pass(&mut maps)?;
        self.save_for(Some(maps.generation)).map_err(anyhow::Error::msg)?;
        carry.share()?;
        for attachment in &self.host.attachments {
            attachment.carry(&mut object, program)?;
        }
        self.host.keeping.changed();
        carry.finish(&mut object);
        drop(held);
        self.probes.vip.follow(&mut self.host.object, &mut object);
        self.serving.reconciler.set_room(room(capacity));
        (self.host.object, self.serving.maps) = (object, maps);
        self.flow_log.follow(flow_log);
        self.serving.tracking = Arc::new(Tracking::new(sweeper));
        self.serving.revision += 1;
        self.save();
        tracing::info!(?capacity, "the maps have other sizes");
        Ok(Some(tracer))
    }

    /// The sizes of the settings are those in force, or it was said why not.
    fn take_sizes(&mut self, settings: &AgentSettings) {
        let agent = &mut self.config.agent;
        agent.ring_slots = settings.ring_slots;
        agent.max_flows = settings.max_flows;
        agent.max_backends = settings.max_backends;
        agent.max_listeners = settings.max_listeners;
        agent.max_clients = settings.max_clients;
    }
}
