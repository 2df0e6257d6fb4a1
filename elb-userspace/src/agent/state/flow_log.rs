//! The flow log and samples by sFlow: whether they are on, who writes and sends, and what was lost.

use std::sync::Arc;

use super::flows_wanted::FlowsWanted;
use crate::api::shape::status::{FlowLogLost, FlowLogStatus, SflowLost, SflowStatus};
use crate::kernel::bpf::{FlowLogMaps, FlowRing, LoggedCounts, MapError};
use crate::model::time::Time;
use crate::observe::flow_log::{FlowWriter, Noted};
use crate::observe::metrics::{FlowLogFigures, SflowFigures};
use crate::observe::names::Names;
use crate::source::file::{FlowLogSettings, FlowLogTarget};

/// Which numbers, configuration and interfaces names are of.
pub(in crate::agent) type Naming = (u64, Time, Vec<u32>);

/// The flow log, and samples.
pub(in crate::agent) struct FlowLogging {
    maps: FlowLogMaps,
    /// Until the writer has it.
    ring: Option<FlowRing>,
    writer: Option<FlowWriter>,
    /// What is in force.
    settings: FlowsWanted,
    /// What was counted in maps that others took the place of.
    earlier: LoggedCounts,
    /// Why it is not on, although it should be.
    problem: Option<String>,
    /// What numbers were called last, and of which numbers that is.
    named: Option<(Naming, Arc<Names>)>,
}

impl FlowLogging {
    /// It is off.
    pub(in crate::agent) fn new((maps, ring): (FlowLogMaps, FlowRing)) -> Self {
        Self {
            maps,
            ring: Some(ring),
            writer: None,
            settings: FlowsWanted::default(),
            earlier: LoggedCounts::default(),
            problem: None,
            named: None,
        }
    }

    pub(in crate::agent) const fn is_on(&self) -> bool {
        self.settings.is_anything()
    }

    /// Whether this is in force.
    pub(in crate::agent) fn is_by(&self, wanted: &FlowsWanted) -> bool {
        self.settings == *wanted
    }

    /// Whether what numbers are called is known.
    pub(in crate::agent) fn is_named(&self, naming: &Naming) -> bool {
        self.named.as_ref().is_some_and(|(of, _)| of == naming)
    }

    /// Numbers are called so from now on.
    pub(in crate::agent) fn name(&mut self, naming: Naming, names: Names) {
        self.named = Some((naming, Arc::new(names)));
    }

    /// What numbers were called last.
    pub(in crate::agent) fn names(&self) -> Arc<Names> {
        self.named.as_ref().map(|(_, names)| names.clone()).unwrap_or_default()
    }

    /// It cannot be on.
    pub(in crate::agent) fn cannot(&mut self, why: String) {
        tracing::error!(why, "flows are not logged");
        self.problem = Some(why);
    }

    /// Begins to write and to send, by other settings if it was on.
    pub(in crate::agent) fn begin(
        &mut self,
        wanted: &FlowsWanted,
        noted: Noted,
    ) -> Result<(), String> {
        self.maps.allow(wanted.asked()).map_err(|error| error.to_string())?;
        if let Some(ring) = self.ring.take() {
            let counters = self.maps.counters();
            let writer = FlowWriter::start(ring, move || counters.counted().ok(), noted);
            self.writer = Some(writer.map_err(|error| format!("there is no thread: {error}"))?);
        }
        let writer = self.writer.as_ref().ok_or("there is no thread; restart the agent")?;
        let before = self.maps.counters().counted().unwrap_or_default();
        let had = std::mem::replace(&mut self.settings, wanted.clone());
        self.problem = None;
        if had.log != wanted.log {
            match &wanted.log {
                Some(settings) => {
                    writer.begin(settings, before);
                    tracing::info!(to = %settings.to, form = %settings.form, "flows are logged");
                }
                None => {
                    writer.end();
                    tracing::info!("flows are not logged any more");
                }
            }
        }
        if had.sflow != wanted.sflow {
            writer.sample(wanted.sflow.as_ref(), before);
            match &wanted.sflow {
                Some(settings) => {
                    tracing::info!(to = %settings.collector, "samples of packets are sent");
                }
                None => tracing::info!("samples of packets are not sent any more"),
            }
        }
        Ok(())
    }

    /// Ends; the interfaces do not carry the program that logs any more.
    pub(in crate::agent) fn end(&mut self) {
        self.problem = None;
        if !std::mem::take(&mut self.settings).is_anything() {
            return;
        }
        if let Err(error) = self.maps.forbid() {
            tracing::error!(%error, "the kernel is still asked for events of flows");
        }
        if let Some(writer) = &self.writer {
            writer.end();
            writer.sample(None, LoggedCounts::default());
        }
        tracing::info!("flows are not logged any more, and no packet is a sample");
    }

    /// As [`Self::end`], and waits a moment for the last lines.
    pub(in crate::agent) fn end_at_last(&mut self) {
        let was_on = self.is_on();
        self.end();
        self.writer.iter().filter(|_| was_on).for_each(FlowWriter::end_at_last);
    }

    /// Describes events so, and lets the kernel go on.
    pub(in crate::agent) fn go_on(&mut self, noted: Noted) {
        let Some(writer) = self.writer.as_ref().filter(|_| self.is_on()) else { return };
        writer.describe(noted);
        if let Err(error) = self.maps.allow(self.settings.asked()) {
            tracing::error!(%error, "the flow log will end");
        }
    }

    /// Lets other maps have what these have, before packets meet them.
    pub(in crate::agent) fn prepare(&self, maps: &mut FlowLogMaps) -> Result<(), MapError> {
        if self.is_on() { maps.allow(self.settings.asked()) } else { Ok(()) }
    }

    /// Goes on with other maps, which packets meet now.
    pub(in crate::agent) fn follow(&mut self, (maps, ring): (FlowLogMaps, FlowRing)) {
        self.earlier = self.counted();
        self.maps = maps;
        match &self.writer {
            Some(writer) => {
                let counters = self.maps.counters();
                writer.follow(ring, move || counters.counted().ok());
            }
            None => self.ring = Some(ring),
        }
    }

    fn counted(&self) -> LoggedCounts {
        let now = self.maps.counters().counted();
        let now = now.inspect_err(|error| tracing::warn!(%error, "cannot read a counter"));
        self.earlier + now.unwrap_or_default()
    }

    /// What is wrong with it.
    pub(in crate::agent) fn problems(&self) -> Vec<String> {
        let cannot = self.problem.iter().map(|why| format!("flows are not logged: {why}"));
        let written = self.writer.iter().filter(|_| self.is_on()).map(FlowWriter::written);
        let failed = written.filter_map(|written| {
            let settings = self.settings.log.as_ref()?;
            let (why, to, lost) = (written.why?, place(settings), written.lost);
            Some(format!("the flow log cannot be written to {to}: {why}; {lost} lines were lost"))
        });
        let unsent = self.sflow_status().and_then(
            |SflowStatus { collector, lost, last_failure, .. }| {
                let (why, lost) = (last_failure?, lost.unsent);
                Some(format!("samples cannot be sent to {collector}: {why}; {lost} were lost"))
            },
        );
        cannot.chain(failed).chain(unsent).collect()
    }

    /// For `elb status`, while it is on.
    pub(in crate::agent) fn status(&self) -> Option<FlowLogStatus> {
        let settings = self.settings.log.as_ref()?;
        let (counts, written) = (self.counted(), self.writer.as_ref()?.written());
        let [opens, ends, refusals] = counts.kinds;
        Some(FlowLogStatus {
            to: place(settings),
            form: settings.form.to_string(),
            opens,
            ends,
            refusals,
            written: written.lines,
            missed: FlowLogLost { rate: counts.rate, ring: counts.ring, sink: written.lost },
            last_failure: written.why,
        })
    }

    /// For metrics.
    pub(in crate::agent) fn figures(&self) -> FlowLogFigures {
        let counts = self.counted();
        let sink = self.writer.as_ref().map_or(0, |writer| writer.written().lost);
        let [opens, ends, refusals] = counts.kinds;
        FlowLogFigures {
            is_on: self.settings.log.is_some(),
            events: [("open", opens), ("end", ends), ("refused", refusals)],
            lost: [("rate", counts.rate), ("ring", counts.ring), ("sink", sink)],
        }
    }
}

impl FlowLogging {
    /// For `elb status`, while samples are sent.
    pub(in crate::agent) fn sflow_status(&self) -> Option<SflowStatus> {
        let settings = self.settings.sflow.as_ref()?;
        let sent = self.writer.as_ref()?.written().sflow;
        let kernel = self.counted().unsampled.iter().sum();
        Some(SflowStatus {
            collector: settings.collector.to_string(),
            sampling_rate: settings.sampling_rate.get(),
            samples: sent.flows,
            discards: sent.discards,
            lost: SflowLost { kernel, limit: sent.limited, unsent: sent.unsent },
            last_failure: sent.why,
        })
    }

    /// For metrics.
    pub(in crate::agent) fn sflow_figures(&self) -> SflowFigures {
        let sent = self.writer.as_ref().map(|writer| writer.written().sflow).unwrap_or_default();
        let kernel = self.counted().unsampled.iter().sum();
        SflowFigures {
            is_on: self.settings.sflow.is_some(),
            samples: [("flow", sent.flows), ("discard", sent.discards)],
            lost: [("kernel", kernel), ("limit", sent.limited), ("unsent", sent.unsent)],
        }
    }
}

fn place(settings: &FlowLogSettings) -> String {
    match settings.to {
        FlowLogTarget::File => settings.file.display().to_string(),
        FlowLogTarget::Stdout => "standard output".to_owned(),
        FlowLogTarget::Journald => "the journal".to_owned(),
    }
}
