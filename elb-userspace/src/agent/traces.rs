//! Who traces what, and what they are sent. The interfaces carry the program that reports packets
//! only while there is a subscriber.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use elb_common::trace::Trace;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::core::Core;
use super::now;
use super::state::flow_log::Naming;
use crate::api::{Lines, WAITING_LINES};
use crate::kernel::bpf::{Counted, Program, Tracer, coarse_seconds};
use crate::observe::names::Names;
use crate::observe::trace::{Filter, Missed, Raw, TraceLine, TraceRequest, union};

/// How often is looked after who listens still.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// Events that are passed on before the agent does something else.
const AT_ONCE: usize = 256;
/// Seconds for which the kernel goes on reporting packets without an agent.
const LEASE: u32 = 3;

/// The clients that trace.
pub(super) struct Traces {
    tracer: AsyncFd<Tracer>,
    listeners: Vec<Listener>,
    /// Whether there may be events that were not taken yet.
    is_behind: bool,
    /// As of the last look.
    names: Names,
    /// The revision of the numbers, the configuration and the interfaces that the names are of.
    named: Option<Naming>,
    counted: Counted,
}

struct Listener {
    filter: Filter,
    with_bytes: bool,
    /// One of so many of the packets that the kernel reports for it is passed on.
    every: u32,
    turn: u32,
    /// Packets that were not passed on, since it was slow.
    overrun: u64,
    lines: mpsc::Sender<TraceLine>,
}

impl Traces {
    /// No client yet.
    pub(super) fn new(tracer: Tracer) -> Result<Self> {
        let tracer = tracer.watched().context("cannot wait for events")?;
        Ok(Self {
            tracer,
            listeners: Vec::new(),
            is_behind: false,
            names: Names::default(),
            named: None,
            counted: Counted::default(),
        })
    }

    /// Whether there is a client.
    pub(super) const fn is_any(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// How many clients there are.
    pub(super) const fn count(&self) -> usize {
        self.listeners.len()
    }

    /// Waits for events; for ever while there is no subscriber.
    pub(super) async fn ready(&self) {
        if !self.is_any() {
            return std::future::pending().await;
        }
        if self.is_behind {
            return;
        }
        match self.tracer.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Adds a client.
    pub(super) fn begin(&mut self, core: &mut Core, request: &TraceRequest) -> Lines<TraceLine> {
        if let Some(why) = &core.host.object.untraceable {
            return Err(format!("this kernel refuses the program that traces: {why}").into());
        }
        self.follow_names(core);
        let filter = Filter::new(request, &self.names)?;
        let (lines, listening) = mpsc::channel(WAITING_LINES);
        let first = !self.is_any();
        if first {
            // What is left from a time without clients is for none.
            while self.tracer.get_mut().take(AT_ONCE, |_| {}) {}
            self.counted = self.tracer.get_ref().counted().unwrap_or_default();
        }
        let with_bytes = request.bytes;
        self.listeners.push(Listener { filter, with_bytes, every: 1, turn: 0, overrun: 0, lines });
        let begun = self.set().and_then(|()| {
            if first {
                core.carry(Program::Traced).map_err(|error| error.to_string())
            } else {
                Ok(())
            }
        });
        if let Err(error) = begun {
            self.listeners.pop();
            self.finish(core);
            return Err(error.into());
        }
        tracing::info!(listeners = self.listeners.len(), "packets are traced");
        Ok(listening)
    }

    /// Passes on what the kernel reported.
    pub(super) fn pass_on(&mut self) {
        let (listeners, names, booted) = (&mut self.listeners, &self.names, booted());
        self.is_behind = self.tracer.get_mut().take(AT_ONCE, |bytes| {
            let Some(raw) = Raw::read(bytes) else { return };
            for listener in listeners.iter_mut().filter(|listener| listener.filter.wants(&raw)) {
                listener.offer(&raw, names, booted);
            }
        });
    }

    /// Removes clients that are gone, and reports to the others what they missed.
    pub(super) fn look(&mut self, core: &mut Core) {
        self.report();
        self.follow_names(core);
        let before = self.listeners.len();
        self.listeners.retain(|listener| !listener.lines.is_closed());
        if self.listeners.len() < before {
            tracing::info!(listeners = self.listeners.len(), "trace client disconnected");
        }
        if !self.is_any() {
            self.finish(core);
        } else if let Err(error) = self.set() {
            tracing::error!(error, "cannot go on tracing");
        }
    }

    /// Learns the names of all numbers, where these may have changed.
    fn follow_names(&mut self, core: &Core) {
        let named = core.naming();
        if self.named.as_ref() != Some(&named) {
            (self.names, self.named) = (core.names(), Some(named));
        }
    }

    /// Which program the interfaces carry for it.
    pub(super) const fn program(&self, core: &Core) -> Program {
        if self.is_any() { Program::Traced } else { core.resting() }
    }

    /// Goes on with the maps of another object, whose program the interfaces carry now.
    pub(super) fn follow(&mut self, tracer: Tracer) {
        self.pass_on();
        match tracer.watched() {
            Ok(tracer) => (self.tracer, self.counted) = (tracer, Counted::default()),
            Err(error) => tracing::error!(%error, "cannot wait for events"),
        }
        if self.is_any()
            && let Err(error) = self.set()
        {
            tracing::error!(error, "cannot go on tracing");
        }
    }

    /// Puts the program back that reports no packets.
    pub(super) fn finish(&mut self, core: &mut Core) {
        if self.is_any() {
            return;
        }
        if let Err(error) = core.carry(core.resting()) {
            tracing::error!(%error, "the interfaces still carry the program that traces");
        }
        if let Err(error) = self.tracer.get_mut().set(Trace::default()) {
            tracing::error!(%error, "the kernel is still asked for packets");
        }
    }

    /// Ends all traces.
    pub(super) fn end(&mut self, core: &mut Core) {
        if self.is_any() {
            self.listeners.clear();
            self.finish(core);
        }
    }

    /// Asks the kernel for the packets that any client wants, for the time of a lease.
    fn set(&mut self) -> Result<(), String> {
        let wanted = union(self.listeners.iter().map(|listener| &listener.filter));
        for listener in &mut self.listeners {
            listener.every = (listener.filter.record().sample / wanted.sample.max(1)).max(1);
        }
        let until = coarse_seconds().saturating_add(LEASE);
        self.tracer.get_mut().set(Trace { until, ..wanted }).map_err(|error| error.to_string())
    }

    fn report(&mut self) {
        let Ok(counted) = self.tracer.get_ref().counted() else { return };
        let before = std::mem::replace(&mut self.counted, counted);
        let limited = counted.limited.saturating_sub(before.limited);
        let full = counted.full.saturating_sub(before.full);
        for listener in &mut self.listeners {
            let missed = Missed { limited, overrun: full + listener.overrun };
            if missed != Missed::default()
                && listener.lines.try_send(TraceLine::Missed(missed)).is_ok()
            {
                listener.overrun = 0;
            }
        }
    }
}

impl Listener {
    fn offer(&mut self, raw: &Raw<'_>, names: &Names, booted: SystemTime) {
        self.turn += 1;
        if self.turn < self.every {
            return;
        }
        self.turn = 0;
        let event = raw.event(names, booted, self.with_bytes);
        if self.lines.try_send(TraceLine::Event(Box::new(event))).is_err() {
            self.overrun += 1;
        }
    }
}

/// When the monotonic clock, which events are timed by, was at zero.
pub(super) fn booted() -> SystemTime {
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let since = Duration::try_from(monotonic).unwrap_or_default();
    now().wall.checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
