//! Listeners that another pool takes over, and that go back to their own: an event each way.

use std::collections::BTreeMap;

use super::clock::now;
use super::core::Core;
use crate::api::shape::events::{AgentEvent, EventKind, ListenerEvent, ListenerEventKind};
use crate::api::shape::status::timestamp_millis;
use crate::control::reconcile::Fallback;
use crate::model::{Listener, LoadBalancer, Pool, ResourceId};

impl Core {
    /// The pool that serves a listener now.
    pub(super) fn serving_pool(&self, listener: &Listener) -> Option<&Pool> {
        let name = match self.serving.fallbacks.get(&listener.id) {
            Some(fallback) if fallback.in_use => listener.fallback_pool.as_ref()?,
            Some(_) | None => &listener.default_pool,
        };
        self.config.model.pool(name)
    }

    /// Takes in which pools stand in now; `turned` are the listeners of which that changed.
    pub(super) fn note_fallbacks(
        &mut self,
        fallbacks: BTreeMap<ResourceId, Fallback>,
        turned: &[ResourceId],
    ) {
        self.serving.fallbacks = fallbacks;
        let all = self.config.model.listeners();
        let turned = all.filter(|(_, listener)| turned.contains(&listener.id));
        let events: Vec<_> = turned.filter_map(|(lb, one)| self.fallback_event(lb, one)).collect();
        for event in events {
            self.happened(AgentEvent::Listener(event), now().time);
        }
    }

    /// That another pool serves a listener, unless an earlier agent said so last.
    fn fallback_event(&self, lb: &LoadBalancer, listener: &Listener) -> Option<ListenerEvent> {
        let fallback = self.serving.fallbacks.get(&listener.id)?;
        let (event, kind) = match fallback.in_use {
            true => (ListenerEventKind::Fallback, EventKind::Fallback),
            false => (ListenerEventKind::FallbackOver, EventKind::FallbackOver),
        };
        let past = self.journal.events.past().filter_map(|event| match event {
            AgentEvent::Listener(event) if event.listener_id == listener.id => Some(event.event),
            AgentEvent::Listener(_) | AgentEvent::Member(_) => None,
        });
        // What is so from the beginning is no news.
        let is_news = past.last().unwrap_or(ListenerEventKind::FallbackOver) != event;
        is_news.then(|| ListenerEvent {
            time: timestamp_millis(now().wall),
            event,
            event_id: kind.id().to_owned(),
            load_balancer: lb.name.to_string(),
            listener: listener.name.to_string(),
            listener_id: listener.id,
            default_pool: listener.default_pool.to_string(),
            fallback_pool: fallback.pool.clone(),
            default_serving: fallback.default_serving,
            below: fallback.below,
        })
    }
}
