//! Jobs that find out what keeps a member from working, by the agent's diagnosis. They are in memory: what was found
//! of a host is of no use after the next start.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::refusal::Refusal;
use super::resources::{self, View, new_id};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome, Report};
use crate::model::ResourceId;
use crate::source::store::DocumentKind;

/// Jobs that are kept; the oldest are left out first.
const MOST: usize = 1000;
/// Jobs under way at once.
const MOST_UNDERWAY: usize = 64;

/// The jobs.
#[derive(Default)]
pub(super) struct MemberChecks(Mutex<VecDeque<MemberCheck>>);

/// What is asked for, and what came of it.
struct MemberCheck {
    id: ResourceId,
    project: String,
    listener: String,
    member: ResourceId,
    subject: String,
    created: String,
    updated: String,
    found: Found,
}

enum Found {
    NotYet,
    Failed(String),
    Report(Box<Report>),
}

/// A group of checks, as the API has them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Group {
    /// What a client asks for it by.
    subject: &'static str,
    key: &'static str,
}

const GROUPS: [Group; 3] = [
    Group { subject: "config", key: "config" },
    Group { subject: "networkAcl", key: "acl" },
    Group { subject: "securityGroup", key: "security_group" },
];

impl Group {
    /// What a host has of its own counts as what a cloud has around it.
    fn of(check: Check) -> Self {
        const ACL: [Check; 2] = [Check::NetworkAcl, Check::Route];
        const SECURITY: [Check; 3] = [Check::SecurityGroup, Check::Firewall, Check::HostsDeny];
        let [config, acl, security] = GROUPS;
        if ACL.contains(&check) {
            acl
        } else if SECURITY.contains(&check) {
            security
        } else {
            config
        }
    }
}

impl MemberChecks {
    /// Begins a job: the answer, the job and the member.
    pub(super) fn begin(
        &self,
        call: &Call,
        view: &View<'_>,
    ) -> Result<(Reply, ResourceId, ResourceId), Refusal> {
        let project = &call.caller.project;
        let member = view.get(project, DocumentKind::Member, call.parameter("member_id"))?;
        let given = call.object("member_check");
        if given.is_empty() {
            return Err(Refusal::invalid("member_check is missing, use an object".to_owned()));
        }
        let listener = resources::text(&given, "listener_id");
        let listener = view.get(project, DocumentKind::Listener, listener)?;
        if listener.reference("default_pool_id") != member.reference("pool_id") {
            let why = format!("member {} does not serve listener {}", member.id, listener.id);
            return Err(Refusal::invalid(why));
        }
        let id = new_id()?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let underway = all.iter().filter(|one| matches!(one.found, Found::NotYet)).count();
        if underway >= MOST_UNDERWAY {
            return Err(Refusal::quota(format!("{underway} checks of members are under way")));
        }
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(MemberCheck {
            id,
            project: project.clone(),
            listener: listener.id.to_string(),
            member: member.id,
            subject: resources::text(&given, "subject").to_owned(),
            created: call.now.clone(),
            updated: call.now.clone(),
            found: Found::NotYet,
        });
        let shown = json!({"job_id": id.to_string()});
        Ok((Reply::new(StatusCode::ACCEPTED, "member_check", shown), id, member.id))
    }

    /// Notes what came of a job.
    pub(super) fn end(&self, id: ResourceId, found: Result<Report, String>, now: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = all.iter_mut().find(|job| job.id == id) {
            job.updated = now;
            job.found = match found {
                Ok(report) => Found::Report(Box::new(report)),
                Err(why) => Found::Failed(why),
            };
        }
    }

    pub(super) fn show(&self, call: &Call) -> Result<Reply, Refusal> {
        let id = call.parameter("job_id");
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own =
            |job: &&MemberCheck| job.project == call.caller.project && job.id.to_string() == id;
        let job = all.iter().find(own);
        let job = job.ok_or_else(|| Refusal::not_found(DocumentKind::Job, id))?;
        Ok(Reply::new(StatusCode::OK, "member_check", job.shown()))
    }
}

impl MemberCheck {
    fn shown(&self) -> Value {
        let (status, report) = match &self.found {
            Found::NotYet => ("processing", None),
            Found::Failed(_) => ("failed", None),
            Found::Report(report) => ("processed", Some(report)),
        };
        let groups =
            || GROUPS.iter().filter(|group| [group.subject, "all"].contains(&&*self.subject));
        let mut count = 0;
        let mut result = serde_json::Map::new();
        for group in groups() {
            let findings: Vec<&Finding> = report
                .iter()
                .flat_map(|report| &report.findings)
                .filter(|finding| Group::of(finding.check) == *group)
                .filter(|finding| finding.outcome != Outcome::NotApplicable)
                .collect();
            count += findings.len();
            result.insert(group.key.to_owned(), self.group(*group, status, &findings));
        }
        json!({
            "job_id": self.id.to_string(), "status": status, "result": result,
            "member_id": self.member.to_string(), "listener_id": self.listener,
            "created_at": self.created, "updated_at": self.updated,
            "check_item_total_num": count, "check_item_finished_num": count,
        })
    }

    /// What was found of a group: what is in order is not listed.
    fn group(&self, group: Group, status: &str, findings: &[&Finding]) -> Value {
        let mut items: Vec<Value> =
            findings.iter().filter_map(|finding| self.item(group, finding)).collect();
        if let Found::Failed(why) = &self.found {
            items.push(self.said(group, "diagnosis", why, "Major"));
        }
        let is_ok = !findings.iter().any(|finding| finding.outcome == Outcome::Fail)
            && matches!(self.found, Found::Report(_));
        json!({"check_result": is_ok, "check_items": items, "check_status": status})
    }

    fn item(&self, group: Group, finding: &Finding) -> Option<Value> {
        let severity = match finding.outcome {
            Outcome::Fail => "Major",
            Outcome::Warn | Outcome::Unknown => "Tips",
            Outcome::Pass | Outcome::NotApplicable => return None,
        };
        let reason = match &finding.fix {
            Some(fix) => format!("{}; {fix}", finding.evidence),
            None => finding.evidence.clone(),
        };
        Some(self.said(group, finding.check.title(), &reason, severity))
    }

    fn said(&self, group: Group, name: &str, reason: &str, severity: &str) -> Value {
        json!({
            "name": name, "reason": reason, "severity": severity, "subject": group.subject,
            "job_id": self.id.to_string(), "reason_template": reason, "reason_params": [],
        })
    }
}
