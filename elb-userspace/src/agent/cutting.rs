//! `elb flows --cut`: recorded connections are cut one by one, next to the agent's other work.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use elb_common::flow::Flow;
use tokio::sync::mpsc;

use super::core::Core;
use super::flows::Listing;
use crate::api::shape::error::{Error, ErrorCode};
use crate::api::shape::flows::CutLine;
use crate::control::flow_key::Key;
use crate::kernel::bpf::{Cutter, coarse_seconds};
use crate::observe::flows::FlowState;
use crate::observe::flows::cut::can_be_cut;

/// Walks over the tables at the most: a packet of the same moment may overwrite a record that was cut.
const WALKS: usize = 3;
/// How often progress is reported.
const SHOW: Duration = Duration::from_millis(500);

impl Core {
    /// The means to cut connections.
    pub(super) fn cutter(&mut self) -> Result<Cutter, String> {
        Cutter::new(&mut self.host.object)
            .map_err(|error| format!("cannot cut connections: {error}"))
    }
}

impl Listing {
    /// Cuts the connections that are asked for, and sends how many. Ends early when the caller is gone.
    pub(super) fn cut(&self, cutter: &Cutter, lines: &mpsc::Sender<CutLine>) {
        let (until, shown) = (coarse_seconds(), Instant::now());
        let mut cutting = Cutting { cutter, lines, until, shown, cut: 0, end: None };
        for _ in 0..WALKS {
            let before = cutting.cut;
            if let Err(error) = self.each(|key, flow, state| cutting.visit(&key, &flow, state)) {
                cutting.end =
                    Some(CutLine::Failed(Error::new(ErrorCode::Failed, error.to_string())));
            }
            if cutting.end.is_some() || cutting.cut == before {
                break;
            }
        }
        let Cutting { cut, end, .. } = cutting;
        tracing::info!(cut, "connections were cut, since `elb flows --cut` asked for it");
        // The caller may be gone.
        let _ = lines.blocking_send(end.unwrap_or(CutLine::Done(cut)));
    }
}

/// A cut under way.
struct Cutting<'a> {
    cutter: &'a Cutter,
    lines: &'a mpsc::Sender<CutLine>,
    /// What is recorded after this second was not meant.
    until: u32,
    /// When progress was reported.
    shown: Instant,
    cut: u64,
    /// Why it ends early.
    end: Option<CutLine>,
}

impl Cutting<'_> {
    fn visit(&mut self, key: &Key, flow: &Flow, state: FlowState) -> ControlFlow<()> {
        if !can_be_cut(key, state) || flow.since > self.until {
            return ControlFlow::Continue(());
        }
        match self.cutter.cut(key, flow, coarse_seconds()) {
            Ok(was_there) => self.cut += u64::from(was_there),
            Err(error) => {
                self.end = Some(CutLine::Failed(Error::new(
                    ErrorCode::Failed,
                    format!("cannot cut a connection: {error}"),
                )));
            }
        }
        if self.shown.elapsed() >= SHOW {
            self.shown = Instant::now();
            if self.lines.blocking_send(CutLine::Progress(self.cut)).is_err() {
                self.end = Some(CutLine::Done(self.cut));
            }
        }
        if self.end.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
