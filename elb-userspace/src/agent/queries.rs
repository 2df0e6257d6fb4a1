//! Questions over the API socket. What takes long is answered by a task of its own.

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::draining::Draft;
use super::{Agent, fault, traces};
use crate::api::shape::diagnose::{DiagnoseRequest, Diagnosis};
use crate::api::shape::drain::DrainReport;
use crate::api::shape::error::{Error, ErrorCode};
use crate::api::shape::flows::{CutLine, FlowsLine};
use crate::api::{Answer, Lines, Query, WAITING_LINES};
use crate::observe::flows;

/// Diagnoses under way at once, each of which sends packets to a few members.
const DIAGNOSES: usize = 4;

/// Walks over the flow tables at once, each on a thread of its own.
const READERS: usize = 8;

type DiagnosisAnswer = oneshot::Sender<Answer<Diagnosis>>;
type DrainAnswer = oneshot::Sender<Answer<DrainReport>>;

impl Agent {
    pub(super) fn answer(&mut self, query: Query) {
        fault::reach("answer");
        // The client may have gone meanwhile.
        match query {
            Query::Status(asked, answer) => drop(answer.send(self.core.status(asked))),
            Query::Events(request, answer) => {
                let lines = self.core.journal.events.begin(request, &self.core.config.model);
                drop(answer.send(lines));
            }
            Query::Drops(answer) => drop(answer.send(self.core.drops())),
            Query::Explain(question, answer) => {
                drop(answer.send(self.core.explain(&question).map_err(Error::from)));
            }
            Query::Flows(request, answer) => drop(answer.send(self.flows(&request))),
            Query::Cut(request, answer) => drop(answer.send(self.cut(&request))),
            Query::Diagnose(request, answer) => self.diagnose(request, answer),
            Query::Inspection(target, answer) => {
                drop(answer.send(self.core.inspection(&target).map_err(Error::from)));
            }
            Query::Drain(request, answer) => {
                let draft = self.core.drain(&request);
                self.watch_flows();
                self.answer_drain(draft, answer);
            }
            Query::Reload(request, answer) => self.prepare_reload(request, Some(answer)),
            Query::Plan(request, answer) => drop(answer.send(self.core.plan(&request))),
            Query::PlanStored(pieces, answer) => drop(answer.send(self.core.plan_stored(pieces))),
            Query::Ready(answer) => drop(answer.send(self.core.readiness())),
            Query::InForce(answer) => drop(answer.send(self.how_far())),
            Query::Trace(request, answer) => {
                drop(answer.send(self.traces.begin(&mut self.core, &request)));
                self.look_after_traces();
            }
        }
    }

    fn diagnose(&mut self, request: DiagnoseRequest, answer: DiagnosisAnswer) {
        let case = if self.diagnoses.len() < DIAGNOSES {
            self.core.diagnose(request).map_err(Error::from)
        } else {
            let why = format!("{DIAGNOSES} diagnoses are under way; ask again in a moment");
            Err(Error::new(ErrorCode::Busy, why))
        };
        let case = match case {
            Ok(case) => case,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        self.diagnoses.spawn(async move {
            drop(answer.send(Ok(case.conclude().await)));
        });
    }

    fn answer_drain(&mut self, draft: Result<Draft, String>, answer: DrainAnswer) {
        let draft = match draft {
            Ok(draft) => draft,
            Err(refusal) => return drop(answer.send(Err(refusal.into()))),
        };
        if let Err(busy) = self.may_read() {
            return drop(answer.send(Err(busy)));
        }
        let tracking = self.core.serving.tracking.clone();
        self.readers.spawn_blocking(move || {
            let census = tracking.sweep();
            let report = census.map(|census| draft.complete(&census));
            drop(answer.send(report.map_err(|error| failed(&error))));
        });
    }

    fn flows(&mut self, request: &flows::FlowsRequest) -> Lines<FlowsLine> {
        self.may_read()?;
        let listing = self.core.flows(request)?;
        let (lines, listening) = mpsc::channel(WAITING_LINES);
        self.readers.spawn_blocking(move || listing.send(&lines));
        Ok(listening)
    }

    fn cut(&mut self, request: &flows::FlowsRequest) -> Lines<CutLine> {
        self.may_read()?;
        let (listing, cutter) = (self.core.flows(request)?, self.core.cutter()?);
        let (lines, listening) = mpsc::channel(WAITING_LINES);
        self.readers.spawn_blocking(move || listing.cut(&cutter, &lines));
        Ok(listening)
    }

    /// Whether another walk over the flow tables may begin.
    fn may_read(&mut self) -> Result<(), Error> {
        while self.readers.try_join_next().is_some() {}
        if self.readers.len() < READERS {
            return Ok(());
        }
        let why =
            format!("{READERS} walks over the flow tables are under way; ask again in a moment");
        Err(Error::new(ErrorCode::Busy, why))
    }

    pub(super) fn look_after_traces(&mut self) {
        if self.traces.is_any() {
            self.traces.look(&mut self.core);
        }
        self.look = self.traces.is_any().then(|| Instant::now() + traces::LOOK);
    }
}

/// What went wrong in this agent, and not with the request.
fn failed(error: &impl ToString) -> Error {
    Error::new(ErrorCode::Failed, error.to_string())
}
