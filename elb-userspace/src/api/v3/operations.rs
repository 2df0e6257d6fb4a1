//! What each operation does. One whose subject does not exist on a host of one's own, or that is not there yet, is
//! refused by its name.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::further::{Changes, Deed, Further};
use super::list;
use super::refusal::Refusal;
use super::resources::{self, HostState, View, Work, new_id};
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind, Store, StoreError};

/// What an operation does with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    List,
    Show,
    Update,
    Delete,
    /// Entries of an IP group.
    MergeList,
    RemoveFromList,
    RelatedListeners,
    /// The members of all pools.
    ListAll,
}

/// The operations that are there.
#[rustfmt::skip]
const OPERATIONS: &[(&str, Verb, DocumentKind, &str)] = {
    use DocumentKind::{
        Certificate, HealthMonitor, IpGroup, Listener, LoadBalancer, LogTank, Member, Pool, SecurityPolicy,
    };
    use Verb::{Create, Delete, List, ListAll, MergeList, RelatedListeners, RemoveFromList, Show, Update};
    &[
        ("create_load_balancer", Create, LoadBalancer, "createLoadbalancer"),
        ("list_load_balancers", List, LoadBalancer, ""),
        ("show_load_balancer", Show, LoadBalancer, ""),
        ("update_load_balancer", Update, LoadBalancer, "updateLoadbalancer"),
        ("delete_load_balancer", Delete, LoadBalancer, "deleteLoadbalancer"),
        ("create_listener", Create, Listener, "createListener"),
        ("list_listeners", List, Listener, ""),
        ("show_listener", Show, Listener, ""),
        ("update_listener", Update, Listener, "updateListener"),
        ("delete_listener", Delete, Listener, "deleteListener"),
        ("create_pool", Create, Pool, "createPool"),
        ("list_pools", List, Pool, ""),
        ("show_pool", Show, Pool, ""),
        ("update_pool", Update, Pool, "updatPool"),
        ("delete_pool", Delete, Pool, "deletePool"),
        ("create_member", Create, Member, "createMember"),
        ("list_members", List, Member, ""),
        ("list_all_members", ListAll, Member, ""),
        ("show_member", Show, Member, ""),
        ("update_member", Update, Member, "updateMember"),
        ("delete_member", Delete, Member, "batchUpdateMember"),
        ("create_health_monitor", Create, HealthMonitor, "createHealthMonitor"),
        ("list_health_monitors", List, HealthMonitor, ""),
        ("show_health_monitor", Show, HealthMonitor, ""),
        ("update_health_monitor", Update, HealthMonitor, "updateHealthMonitor"),
        ("delete_health_monitor", Delete, HealthMonitor, "deleteHealthMonitor"),
        ("create_ip_group", Create, IpGroup, "createIpgroup"),
        ("list_ip_groups", List, IpGroup, ""),
        ("show_ip_group", Show, IpGroup, ""),
        ("update_ip_group", Update, IpGroup, "updateIpgroup"),
        ("delete_ip_group", Delete, IpGroup, "deleteIpgroup"),
        ("update_ip_list", MergeList, IpGroup, "updateIpgroup"),
        ("batch_delete_ip_list", RemoveFromList, IpGroup, "updateIpgroup"),
        ("show_ip_group_related_listeners", RelatedListeners, IpGroup, ""),
        ("create_security_policy", Create, SecurityPolicy, "createSecurityPolicy"),
        ("list_security_policies", List, SecurityPolicy, ""),
        ("show_security_policy", Show, SecurityPolicy, ""),
        ("update_security_policy", Update, SecurityPolicy, "updateSecurityPolicy"),
        ("delete_security_policy", Delete, SecurityPolicy, "deleteSecurityPolicy"),
        ("create_logtank", Create, LogTank, "createLogtank"),
        ("list_logtanks", List, LogTank, ""),
        ("show_logtank", Show, LogTank, ""),
        ("update_logtank", Update, LogTank, "updateLogtank"),
        ("delete_logtank", Delete, LogTank, "deleteLogtank"),
        ("create_certificate", Create, Certificate, "createCertificate"),
        ("list_certificates", List, Certificate, ""),
        ("show_certificate", Show, Certificate, ""),
        ("update_certificate", Update, Certificate, "updateCertificate"),
        ("delete_certificate", Delete, Certificate, "deleteCertificate"),
    ]
};

/// The one operation of no project.
pub(super) const VERSIONS: &str = "list_api_versions";

/// An operation that is there.
#[derive(Clone, Copy)]
pub(super) enum Known {
    /// One change of one resource, or a look at those of a kind.
    Plain(Plain),
    Further(&'static Further),
    /// What keeps a member from working is to be found out, or was.
    CheckMember,
    ShowMemberCheck,
}

/// An operation on one kind of resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    verb: Verb,
    kind: DocumentKind,
    audited: &'static str,
}

impl Known {
    /// The operation of this name.
    pub(super) fn find(name: &str) -> Result<Self, Refusal> {
        match name {
            "create_member_health_check_job" => return Ok(Self::CheckMember),
            "show_member_health_check_job" => return Ok(Self::ShowMemberCheck),
            _ => {}
        }
        if let Some(further) = Further::find(name) {
            return Ok(Self::Further(further));
        }
        let found = OPERATIONS.iter().find(|(one, ..)| *one == name);
        let found = found.map(|(_, verb, kind, audited)| {
            Self::Plain(Plain { verb: *verb, kind: *kind, audited })
        });
        found.ok_or_else(|| {
            let why = why_absent(name);
            let why =
                format!("{name} is not supported by this host: {why}; docs/api.md lists what is");
            Refusal::not_supported(why)
        })
    }

    /// Whether this host answers an operation with more than a refusal.
    pub(super) fn is_there(name: &str) -> bool {
        name == VERSIONS || Self::find(name).is_ok()
    }

    /// The kind of the resource whose attributes are in its body.
    pub(super) fn settable(self) -> Option<DocumentKind> {
        match self {
            Self::Plain(Plain { verb: Verb::Create | Verb::Update, kind, .. }) => Some(kind),
            Self::Plain(_) | Self::Further(_) | Self::CheckMember | Self::ShowMemberCheck => None,
        }
    }

    /// What it is called in the audit log; empty if it changes nothing.
    pub(super) const fn audited(self) -> &'static str {
        match self {
            Self::Plain(plain) => plain.audited,
            Self::Further(further) => further.audited,
            Self::CheckMember | Self::ShowMemberCheck => "",
        }
    }
}

impl Further {
    /// Does it, and answers.
    pub(super) async fn answer(
        &'static self,
        call: &Call,
        store: &Store,
        host: HostState,
    ) -> Result<Reply, Refusal> {
        match self.deed {
            Deed::Read(read) => read(call, &View::new(&store.read(), host)),
            Deed::Change(change) => self.apply(change, call, store, host).await,
        }
    }

    /// Changes documents, all of them or none.
    async fn apply(
        &'static self,
        deed: Changes,
        call: &Call,
        store: &Store,
        host: HostState,
    ) -> Result<Reply, Refusal> {
        let call = call.clone();
        let id = new_id()?;
        let done = store.write(move |transaction| {
            let (project, now) = (&*call.caller.project, &*call.now);
            let mut work = Work { transaction, project, now, id, pool: None, host: host.clone() };
            let done = call.may_still().and_then(|()| deed(&call, &mut work));
            let result = done.and_then(|reply| {
                work.transaction.check().map_err(Refusal::invalid)?;
                Ok(reply)
            });
            let mut record =
                call.record(self.audited, &result.as_ref().map(drop).map_err(Clone::clone));
            record.id = call.target().map(str::to_owned);
            if result.is_ok() {
                let (before, after) = transaction.difference();
                (record.before, record.after) = (Some(before), Some(after));
            }
            transaction.note(record);
            result
        });
        done.await.map_err(|error| unwritten(&error))?
    }
}

impl Plain {
    /// Does it, and answers.
    pub(super) async fn answer(
        self,
        call: &Call,
        store: &Store,
        host: HostState,
    ) -> Result<Reply, Refusal> {
        if self.audited.is_empty() {
            return self.read(call, store, host);
        }
        let id = self.change(call, store, host.clone()).await?;
        if self.verb == Verb::Delete {
            return Ok(Reply::nothing());
        }
        // What is known now, and not before.
        let host = HostState { reached: store.reached(), ..host };
        let documents = store.read();
        let view = View::new(&documents, host);
        match documents.get(self.kind, id) {
            Some(document) => {
                let made = self.verb == Verb::Create;
                let status = if made { StatusCode::CREATED } else { StatusCode::OK };
                Ok(Reply::new(
                    status,
                    resources::keys(self.kind).0,
                    resources::show(&view, document),
                ))
            }
            // Another client was as quick.
            None => Err(Refusal::not_found(self.kind, &id.to_string())),
        }
    }

    fn read(self, call: &Call, store: &Store, host: HostState) -> Result<Reply, Refusal> {
        let documents = store.read();
        let view = View::new(&documents, host);
        let (one, many) = resources::keys(self.kind);
        match self.verb {
            Verb::List | Verb::ListAll => {
                let pool = self.pool(call);
                if let Some(pool) = pool {
                    self.of_project(call, view.documents, DocumentKind::Pool, pool)?;
                }
                let whole = pool.and_then(|id| id.parse::<ResourceId>().ok());
                let of_all = self.verb == Verb::ListAll;
                let is_meant = |document: &&std::sync::Arc<Document>| {
                    document.project == call.caller.project
                        && (of_all || !resources::is_of_pair(&documents, document))
                };
                let is_filtered =
                    resources::HIDDEN_KEYS.iter().any(|key| call.query.first(key).is_some());
                let show = |document: &Document| {
                    let mut shown = match of_all {
                        true => resources::show_with_pool(&view, document),
                        false => resources::show(&view, document),
                    };
                    if is_filtered {
                        shown[list::HIDDEN] = resources::hidden(&view, document);
                    }
                    shown
                };
                let meant: Vec<_> = match whole {
                    Some(pool) => {
                        documents.referring(self.kind, "pool_id", pool).filter(is_meant).collect()
                    }
                    None => documents.of(self.kind).filter(is_meant).collect(),
                };
                let items = meant.into_iter().map(|one| list::Item::new(one.id, || show(one)));
                list::reply(many, items, &call.query)
            }
            Verb::RelatedListeners => {
                let group = self.of_project(call, view.documents, self.kind, self.id(call))?;
                let listeners = resources::listeners_of_group(&view, &group);
                Ok(Reply::new(StatusCode::OK, "listeners", listeners))
            }
            Verb::Show
            | Verb::Create
            | Verb::Update
            | Verb::Delete
            | Verb::MergeList
            | Verb::RemoveFromList => {
                let document = self.of_project(call, view.documents, self.kind, self.id(call))?;
                let is_other = |pool: &str| document.reference("pool_id") != pool.parse().ok();
                if self.pool(call).is_some_and(is_other) {
                    return Err(Refusal::not_found(self.kind, self.id(call)));
                }
                Ok(Reply::new(StatusCode::OK, one, resources::show(&view, &document)))
            }
        }
    }

    fn of_project(
        self,
        call: &Call,
        documents: &crate::source::store::Documents,
        kind: DocumentKind,
        id: &str,
    ) -> Result<std::sync::Arc<Document>, Refusal> {
        let found = id.parse().ok().and_then(|id| documents.get(kind, id));
        let found = found.filter(|document| {
            document.project == call.caller.project && !resources::is_of_pair(documents, document)
        });
        found.cloned().ok_or_else(|| Refusal::not_found(kind, id))
    }

    /// Changes documents: the id of what was made, changed or taken away.
    async fn change(
        self,
        call: &Call,
        store: &Store,
        host: HostState,
    ) -> Result<ResourceId, Refusal> {
        let call = call.clone();
        let id = new_id()?;
        let done = store.write(move |transaction| {
            let pool = self.pool(&call).and_then(|id| id.parse().ok());
            let (project, now) = (&*call.caller.project, &*call.now);
            let mut work = Work { transaction, project, now, id, pool, host: host.clone() };
            let mut before = None;
            let result = call.may_still().and_then(|()| self.apply(&call, &mut work, &mut before));
            let result = result.and_then(|id| {
                work.transaction.check().map_err(Refusal::invalid)?;
                Ok(id)
            });
            let after = result.as_ref().ok().and_then(|id| {
                work.transaction.documents().get(self.kind, *id).map(|one| one.recorded())
            });
            let outcome = result.as_ref().map(drop).map_err(Clone::clone);
            let mut record = call.record(self.audited, &outcome);
            let given = self.id(&call);
            let id = result.as_ref().map_or_else(|_| given.to_owned(), ToString::to_string);
            (record.id, record.before, record.after) = (Some(id), before, after);
            transaction.note(record);
            result
        });
        done.await.map_err(|error| unwritten(&error))?
    }

    fn apply(
        self,
        call: &Call,
        work: &mut Work<'_, '_>,
        before: &mut Option<Body>,
    ) -> Result<ResourceId, Refusal> {
        let given = call.object(resources::keys(self.kind).0);
        if self.verb == Verb::Create {
            resources::create(work, self.kind, &given)?;
            return Ok(work.id);
        }
        let old = work.get(self.kind, self.id(call))?;
        let is_elsewhere = work.pool.is_some_and(|pool| old.reference("pool_id") != Some(pool));
        if is_elsewhere || resources::is_of_pair(work.documents(), &old) {
            return Err(Refusal::not_found(self.kind, self.id(call)));
        }
        *before = Some(old.recorded());
        match self.verb {
            Verb::Delete => resources::delete(work, &old)?,
            Verb::MergeList => resources::merge_list(work, &old, &given)?,
            Verb::RemoveFromList => resources::remove_from_list(work, &old, &given)?,
            Verb::Update
            | Verb::Create
            | Verb::List
            | Verb::ListAll
            | Verb::Show
            | Verb::RelatedListeners => resources::update(work, &old, &given)?,
        }
        if let Some(tags) = &call.tags {
            let now = work.get(self.kind, self.id(call))?;
            work.tag(&now, tags.clone());
        }
        Ok(old.id)
    }

    fn id(self, call: &Call) -> &str {
        call.parameter(match self.kind {
            DocumentKind::LoadBalancer => "loadbalancer_id",
            DocumentKind::Listener => "listener_id",
            DocumentKind::Pool => "pool_id",
            DocumentKind::Member => "member_id",
            DocumentKind::HealthMonitor => "healthmonitor_id",
            DocumentKind::IpGroup => "ipgroup_id",
            DocumentKind::SecurityPolicy => "security_policy_id",
            DocumentKind::LogTank => "logtank_id",
            DocumentKind::Certificate => "certificate_id",
            DocumentKind::Job => "job_id",
            DocumentKind::ProjectSettings => "",
        })
    }

    /// The pool in the path, of members.
    fn pool(self, call: &Call) -> Option<&str> {
        let is_member = self.kind == DocumentKind::Member;
        call.parameters.get("pool_id").map(String::as_str).filter(|_| is_member)
    }
}

/// The versions of the API that are served.
pub(super) fn versions() -> Reply {
    Reply::new(StatusCode::OK, "versions", json!([{"id": "v3", "status": "CURRENT"}]))
}

/// The projects that a caller may use: one.
pub(super) fn projects(project: &str, name: Option<&str>) -> Reply {
    let one: Value = json!({"id": project, "name": name.unwrap_or(project), "enabled": true});
    Reply::new(StatusCode::OK, "projects", json!([one]))
}

/// The disk did not take it.
pub(super) fn unwritten(error: &StoreError) -> Refusal {
    Refusal::internal(format!("the store cannot be written, nothing was changed: {error}"))
}

/// Why hosts of one's own have no such operation.
fn why_absent(name: &str) -> &'static str {
    const WHY: [(&str, &str); 6] = [
        ("available_zones", "a host is one zone"),
        ("domain", "no DNS service belongs to a host: enter addresses in your own"),
        ("charge", "nothing is charged"),
        ("restore", "what is deleted is gone: `elb store restore` brings it back"),
        ("recycle", "what is deleted is gone: `elb store backup` keeps it"),
        ("upgrade", "there are no shared load balancers that could become dedicated ones"),
    ];
    let found = WHY.iter().find(|(part, _)| name.contains(part));
    found.map_or("hosts have nothing like it", |(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::super::table::TABLE;
    use super::*;

    #[test]
    fn every_operation_that_is_there_is_one_of_the_table() {
        let method = |name: &str| {
            let operation = TABLE.operations.iter().find(|operation| operation.name == *name);
            &*operation.unwrap_or_else(|| panic!("{name}")).method
        };
        for (name, verb, _, audited) in OPERATIONS {
            assert_eq!(method(name) == "GET", audited.is_empty(), "{name}");
            assert_eq!(method(name) == "DELETE", *verb == Verb::Delete, "{name}");
        }
        for further in Further::ALL {
            assert_eq!(
                method(further.name) == "GET",
                further.audited.is_empty(),
                "{}",
                further.name
            );
            assert!(OPERATIONS.iter().all(|(name, ..)| *name != further.name), "{}", further.name);
        }
        let refused = Known::find("upgrade_loadbalancer").err().unwrap();
        assert!(refused.message.contains("docs/api.md"));
    }

    /// Each is in the document once: among those that are there, or with the reason why not.
    #[test]
    fn the_document_lists_every_operation() {
        let document = include_str!("../../../../docs/api.md");
        let (there, others) = document.split_once("## Operations that are not there").unwrap();
        for operation in &TABLE.operations {
            let row = format!("| `{}` | `{} ", operation.name, operation.method);
            let is_there = Known::is_there(&operation.name);
            assert_eq!(there.matches(&row).count(), usize::from(is_there), "{row}");
            assert_eq!(others.matches(&row).count(), usize::from(!is_there), "{row}");
            if !is_there {
                let line = others.lines().find(|line| line.starts_with(&row)).unwrap();
                assert!(line.ends_with(&format!(" | {} |", why_absent(&operation.name))), "{line}");
            }
        }
    }

    #[test]
    fn ids_are_uuids_of_version_4() {
        let ids = [new_id().unwrap(), new_id().unwrap()];
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[0].to_string().as_bytes()[14], b'4');
    }
}
