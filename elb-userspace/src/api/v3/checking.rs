//! Checks of members: the agent finds out what keeps one from working, while the client asks for the job.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::call::{Call, Reply};
use super::refusal::Refusal;
use super::resources::View;
use super::server::{ApiServer, wall};
use crate::api::Query;
use crate::api::shape::diagnose::DiagnoseRequest;
use crate::api::shape::error::ErrorCode;
use crate::api::shape::status::timestamp;
use crate::diagnosis::report::Report;
use crate::model::ResourceId;
use crate::model::select::ResourceKind;

/// How often the agent is asked to diagnose a member while it has no room, and how long after each time.
const DIAGNOSIS_TRIES: u32 = 60;
const DIAGNOSIS_WAIT: Duration = Duration::from_secs(1);

impl ApiServer {
    /// Begins to find out what keeps a member from working.
    pub(super) fn check_member(&self, call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
        let (reply, job, member) = self.shared.checks.begin(call, view)?;
        let server = self.clone();
        tokio::spawn(async move {
            let found = server.diagnosed(member).await;
            server.shared.checks.end(job, found, timestamp(wall()));
        });
        Ok(reply)
    }

    /// What the agent finds of a member; where it has many to look at, this one waits.
    async fn diagnosed(&self, member: ResourceId) -> Result<Report, String> {
        let target = Some(ResourceKind::Member.before(&member.to_string()));
        let request = DiagnoseRequest { target, inspection: None };
        for _ in 0..DIAGNOSIS_TRIES {
            let (answer, answered) = oneshot::channel();
            let ended = || "the agent ended meanwhile".to_owned();
            let query = Query::Diagnose(request.clone(), answer);
            self.queries.send(query).await.map_err(|_| ended())?;
            match answered.await.map_err(|_| ended())? {
                Ok(diagnosis) => {
                    let report = diagnosis.reports.into_iter().next();
                    return report.ok_or_else(|| "there is nothing to be found out".to_owned());
                }
                Err(error) if error.code == ErrorCode::Busy => sleep(DIAGNOSIS_WAIT).await,
                Err(error) => return Err(error.message),
            }
        }
        Err("the agent was busy with other members all the time".to_owned())
    }
}
