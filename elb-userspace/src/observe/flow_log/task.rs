//! The thread that writes the flow log and sends samples by sFlow. It sleeps while there is nothing to do.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use elb_common::flow_log::known;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::join::Connections;
use super::line::{FlowsMissed, FlowsMissedLine, Words};
use super::shared::{Command, Counted, Shared};
use super::sink::{Batch, Sink};
use super::work::{Work, is_sampled, note};
use crate::kernel::bpf::{FlowRing, LoggedCounts};
use crate::observe::sflow::{SflowExporter, SflowSent};
use crate::source::file::FlowLogForm;

/// Events between two looks at whether it is time to write.
const AT_ONCE: usize = 256;
/// Events between two looks at what is asked for: fewer than the ring holds.
const AT_A_TIME: usize = 1 << 14;
/// Events that are written at the end, at most: more than the ring holds.
const AT_LAST: usize = 1 << 16;
/// From one line about what is lost to the next, at least.
const REPORT: Duration = Duration::from_secs(1);

/// The thread.
pub(super) struct Task {
    ring: FlowRing,
    counted: Counted,
    asked: Receiver<Command>,
    rung: UnixStream,
    shared: Arc<Shared>,
    work: Option<Work>,
    sflow: Option<SflowExporter>,
    batch: Batch,
}

impl Task {
    pub(super) fn new(
        (ring, counted): (FlowRing, Counted),
        asked: Receiver<Command>,
        rung: UnixStream,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            ring,
            counted,
            asked,
            rung,
            shared,
            work: None,
            sflow: None,
            batch: Batch::default(),
        }
    }

    /// Until the agent is gone.
    pub(super) fn run(mut self) {
        while self.wait() {
            while let Ok(command) = self.asked.try_recv() {
                self.carry_out(command);
            }
            if self.is_on() {
                self.read(AT_A_TIME);
                self.report_if_due();
            }
        }
        self.carry_out(Command::End(None));
    }

    const fn is_on(&self) -> bool {
        self.work.is_some() || self.sflow.is_some()
    }

    /// Until there is something to do; false once the agent is gone.
    fn wait(&mut self) -> bool {
        let due = self.work.as_ref().and_then(|work| work.report);
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            let left = due.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut ready = [
            PollFd::new(self.rung.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.ring.as_fd(), PollFlags::POLLIN),
        ];
        let watched = if self.is_on() { &mut ready[..] } else { &mut ready[..1] };
        match poll(watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        let mut bells = [0; 64];
        !matches!(self.rung.read(&mut bells), Ok(0))
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Begin(settings, LoggedCounts { rate, ring, .. }) => {
                let is_joined = settings.form == FlowLogForm::Connections;
                let most = settings.connections.get() as usize;
                let sink = self.shared.wrote(|written| written.lost);
                let said = self.end().unwrap_or(FlowsMissed { rate, ring, sink });
                self.work = Some(Work {
                    sink: Sink::new(&settings),
                    connections: is_joined.then(|| Connections::new(most)),
                    report: None,
                    said,
                });
            }
            Command::End(said) => {
                self.end();
                if let Some(said) = said {
                    let _ = said.try_send(());
                }
            }
            Command::Sample(settings, before) => {
                self.read(AT_LAST);
                let begun =
                    |settings| SflowExporter::new(settings, before.unsampled, Instant::now());
                self.sflow = settings.map(|settings| begun(*settings));
            }
            Command::Follow(ring, counted) => {
                self.read(AT_LAST);
                self.report();
                (self.ring, self.counted) = (ring, counted);
                let said = self.missed();
                if let Some(work) = &mut self.work {
                    work.said = said;
                }
                if let Some(sflow) = &mut self.sflow {
                    sflow.restart((self.counted)().unwrap_or_default().unsampled);
                }
            }
        }
    }

    /// Writes what there is; what was said to be lost until then, if it was on.
    fn end(&mut self) -> Option<FlowsMissed> {
        self.read(AT_LAST);
        let mut work = self.work.take()?;
        if let Some(connections) = &mut work.connections {
            let noted = self.shared.noted();
            let words = Words { names: &noted.names, booted: noted.booted };
            connections.end(|one| self.batch.add(&words.connection(one)));
        }
        self.work = Some(work);
        self.flush();
        self.report();
        self.work.take().map(|work| work.said)
    }

    /// Writes lines about the events that there are, and sends samples, of at most so many.
    fn read(&mut self, most: usize) {
        let noted = self.shared.noted();
        let words = Words { names: &noted.names, booted: noted.booted };
        self.look_at_lost_samples();
        for _ in 0..most / AT_ONCE {
            let (work, sflow, batch) = (&mut self.work, &mut self.sflow, &mut self.batch);
            let (mut any, mut sent, now) = (false, self.shared.sent(), Instant::now());
            let is_more = self.ring.take(AT_ONCE, |event, header| {
                any = true;
                if let Some(sflow) = sflow.as_mut().filter(|_| is_sampled(event)) {
                    sflow.note(event, header, now, &mut sent);
                }
                if let Some(work) = work.as_mut().filter(|_| event.known & known::SAMPLE == 0) {
                    note(work, batch, words, event);
                }
            });
            if let Some(work) = work.as_mut().filter(|work| any && work.report.is_none()) {
                work.report = Some(now + REPORT);
            }
            self.send(sent);
            if !is_more || self.batch.is_full() {
                self.flush();
            }
            if !is_more {
                return;
            }
            self.report_if_due();
        }
        self.flush();
    }

    /// Sends the samples that there are.
    fn send(&mut self, mut sent: SflowSent) {
        if let Some(sflow) = &mut self.sflow {
            sflow.flush(Instant::now(), &mut sent);
            self.shared.wrote(|written| written.sflow = sent);
        }
    }

    fn look_at_lost_samples(&mut self) {
        if let (Some(sflow), Some(counted)) = (&mut self.sflow, (self.counted)()) {
            sflow.lost(counted.unsampled);
        }
    }

    fn flush(&mut self) {
        let (Some(work), lines) = (&mut self.work, self.batch.lines() as u64) else { return };
        if lines == 0 {
            return;
        }
        let (lost, why) = work.sink.write(&self.batch, Instant::now());
        self.batch.clear();
        self.shared.wrote(|written| {
            written.lines += lines - lost;
            written.lost += lost;
            written.why = why;
        });
    }

    fn report_if_due(&mut self) {
        let due = self.work.as_ref().and_then(|work| work.report);
        if due.is_some_and(|due| due <= Instant::now()) {
            self.report();
        }
    }

    /// Writes what was lost since the last such line.
    fn report(&mut self) {
        let now = self.missed();
        let Some(work) = &mut self.work else { return };
        work.report = None;
        let missed = FlowsMissed {
            rate: now.rate.saturating_sub(work.said.rate),
            ring: now.ring.saturating_sub(work.said.ring),
            sink: now.sink.saturating_sub(work.said.sink),
        };
        if missed == FlowsMissed::default() {
            return;
        }
        let mut line = Batch::default();
        line.add(&FlowsMissedLine { missed });
        if work.sink.write(&line, Instant::now()).0 == 0 {
            work.said = now;
        }
    }

    fn missed(&self) -> FlowsMissed {
        let LoggedCounts { rate, ring, .. } = (self.counted)().unwrap_or_default();
        FlowsMissed { rate, ring, sink: self.shared.wrote(|written| written.lost) }
    }
}
