//! The way in for the command line: HTTP over a Unix socket, readable by the agent's group.

pub mod accept;
pub mod client;
pub mod exporter;
mod guests;
mod metrics;
mod patient;
pub mod readers;
pub mod report;
pub mod server;
pub mod shape;
pub mod socket;
mod tcp;
mod tls;
pub mod v2;
pub mod v3;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use self::report::{Part, PartRequest, Underway};
use self::shape::diagnose::{DiagnoseRequest, Diagnosis};
use self::shape::drain::{DrainReport, DrainRequest};
use self::shape::error::Error;
use self::shape::flows::{CutLine, FlowsLine};
use self::shape::ready::Readiness;
use self::shape::reload::{InForce, PlanRequest, ReloadReport, ReloadRequest};
use crate::api::shape::events;
use crate::api::shape::status;
use crate::observe::explain::{ExplainRequest, Explanation};
use crate::observe::flows;
use crate::observe::trace;
use crate::source::file::Piece;

/// A question to the agent, with the way to answer. A refusal says what is wrong with the question.
#[derive(Debug)]
pub enum Query {
    /// The next part of the state of everything, and what it takes to make those that follow.
    Status(PartRequest, oneshot::Sender<Answer<Option<(Part, Underway)>>>),
    /// Packets that were not forwarded, by reason; reasons that no packet met are left out.
    Drops(oneshot::Sender<Vec<status::Reason>>),
    /// Where a packet would go.
    Explain(ExplainRequest, oneshot::Sender<Answer<Explanation>>),
    /// What keeps something from working.
    Diagnose(DiagnoseRequest, oneshot::Sender<Answer<Diagnosis>>),
    /// What `elb` is to be asked on the host of a member.
    Inspection(String, oneshot::Sender<Answer<Vec<String>>>),
    /// Flows that are tracked.
    Flows(flows::FlowsRequest, oneshot::Sender<Lines<FlowsLine>>),
    /// Connections that are recorded are to be cut.
    Cut(flows::FlowsRequest, oneshot::Sender<Lines<CutLine>>),
    /// Packets, from now on until the answer is not wanted any more.
    Trace(trace::TraceRequest, oneshot::Sender<Lines<trace::TraceLine>>),
    /// What happened to members, and perhaps what will.
    Events(events::EventsRequest, oneshot::Sender<Lines<events::EventsLine>>),
    /// A member is to be drained, or not any more, or how far is it?
    Drain(DrainRequest, oneshot::Sender<Answer<DrainReport>>),
    /// The configuration file is to be read again.
    Reload(ReloadRequest, oneshot::Sender<ReloadReport>),
    /// What would a reload with another file do?
    Plan(PlanRequest, oneshot::Sender<ReloadReport>),
    /// What would a reload do if the store held this text?
    PlanStored(Vec<Arc<Piece>>, oneshot::Sender<ReloadReport>),
    /// Are new connections forwarded?
    Ready(oneshot::Sender<Readiness>),
    /// How far is the last reload?
    InForce(oneshot::Sender<InForce>),
}

/// An answer of many lines that come when they come.
pub type Lines<T> = Answer<mpsc::Receiver<T>>;

/// An answer, or why there is none.
pub type Answer<T> = Result<T, Error>;

/// Lines that wait for a client that reads more slowly than they are written.
pub const WAITING_LINES: usize = 1024;
