//! The way in for the command line: HTTP over a Unix socket, readable by the agent's group.

pub mod client;
pub mod diagnose;
pub mod drain;
pub mod reload;
pub mod server;

use tokio::sync::{mpsc, oneshot};

use self::diagnose::{DiagnoseRequest, Diagnosis};
use self::drain::{DrainReport, DrainRequest};
use self::reload::{InForce, PlanRequest, ReloadReport, ReloadRequest};
use crate::explain::{Explanation, Question};
use crate::status::{self, Status};
use crate::{events, flows, trace};

/// A question to the agent, with the way to answer. A refusal says what is wrong with the question.
#[derive(Debug)]
pub enum Query {
    /// The state of everything.
    Status(status::Request, oneshot::Sender<Status>),
    /// Packets that were not forwarded, by reason; reasons that no packet met are left out.
    Drops(oneshot::Sender<Vec<status::Reason>>),
    /// Where a packet would go.
    Explain(Question, oneshot::Sender<Result<Explanation, String>>),
    /// What keeps something from working.
    Diagnose(DiagnoseRequest, oneshot::Sender<Result<Diagnosis, String>>),
    /// What `elb` is to be asked on the host of a member.
    Inspection(String, oneshot::Sender<Result<Vec<String>, String>>),
    /// Flows that are tracked.
    Flows(flows::Request, oneshot::Sender<Lines<flows::Line>>),
    /// Packets, from now on until the answer is not wanted any more.
    Trace(trace::Request, oneshot::Sender<Lines<trace::Line>>),
    /// What happened to members, and perhaps what will.
    Events(events::Request, oneshot::Sender<Lines<events::Line>>),
    /// A member is to be drained, or not any more, or how far is it?
    Drain(DrainRequest, oneshot::Sender<Result<DrainReport, String>>),
    /// The configuration file is to be read again.
    Reload(ReloadRequest, oneshot::Sender<ReloadReport>),
    /// What would a reload with another file do?
    Plan(PlanRequest, oneshot::Sender<ReloadReport>),
    /// How far is the last reload?
    InForce(oneshot::Sender<InForce>),
}

/// An answer of many lines that come when they come.
pub type Lines<T> = Result<mpsc::Receiver<T>, String>;

/// Lines that wait for somebody who is slower than they come.
pub const WAITING_LINES: usize = 1024;
