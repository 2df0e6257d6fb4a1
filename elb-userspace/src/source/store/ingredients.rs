//! What a piece of the configuration is made of: documents, and what these are called in the file.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::flavor::is_tracked;
use super::{Document, DocumentKind, Documents};
use crate::model::{Name, ResourceId};

/// All that a piece is made of, next to the settings.
#[derive(Default)]
pub(super) struct Ingredients {
    /// The resource itself, and then those that are within it in the file.
    pub(super) documents: Vec<Arc<Document>>,
    /// What each of them is called, and what it refers to.
    pub(super) names: Vec<Referred>,
}

/// Names in the file, empty where there are none, and what else follows from what is referred to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Referred {
    pub(super) own: String,
    pub(super) pool: String,
    pub(super) ip_group: String,
    /// Whether that pool records its connections.
    pub(super) is_tracked: bool,
}

impl Ingredients {
    /// What the piece of a resource is made of.
    pub(super) fn of(documents: &Documents, names: &Names, one: &Arc<Document>) -> Self {
        let mut made_of = Self::default();
        let own =
            |document: &Document| Referred { own: names.own(document), ..Referred::default() };
        made_of.add(one, own(one));
        let parts = |kind, key| documents.referring(kind, key, one.id);
        if one.kind == DocumentKind::LoadBalancer {
            for listener in parts(DocumentKind::Listener, "loadbalancer_id") {
                if !listener.text("default_pool_id").is_empty() {
                    made_of.add(listener, names.of_listener(documents, listener));
                }
            }
        } else if one.kind == DocumentKind::Pool {
            let monitors = parts(DocumentKind::HealthMonitor, "pool_id");
            for part in monitors.chain(parts(DocumentKind::Member, "pool_id")) {
                made_of.add(part, Referred::default());
            }
        }
        made_of
    }

    fn add(&mut self, document: &Arc<Document>, names: Referred) {
        self.documents.push(document.clone());
        self.names.push(names);
    }

    /// A document that is changed is another one in memory.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Arc<Document>, &Arc<Document>)| Arc::ptr_eq(one, other);
        self.documents.len() == other.documents.len()
            && self.documents.iter().zip(&other.documents).all(is_same)
            && self.names == other.names
    }
}

/// What resources are called in the file, where names are there once: names in the API need not be.
#[derive(Default)]
pub(super) struct Names(HashMap<(DocumentKind, ResourceId), String>);

impl Names {
    pub(super) fn of(documents: &Documents) -> Self {
        let mut names = HashMap::new();
        let kinds = [
            DocumentKind::LoadBalancer,
            DocumentKind::Listener,
            DocumentKind::Pool,
            DocumentKind::IpGroup,
        ];
        for kind in kinds {
            let mut count: HashMap<&str, u32> = HashMap::new();
            for one in documents.of(kind) {
                *count.entry(one.text("name")).or_default() += 1;
            }
            for one in documents.of(kind) {
                let name = one.text("name");
                let is_fit = name.parse::<Name>().is_ok() && count.get(name) == Some(&1);
                // A name may not be another one's id, which that one is called by, whether it is there or not.
                let is_id = name.parse::<ResourceId>().is_ok();
                let name = if is_fit && !is_id { name } else { &one.id.to_string() };
                names.insert((kind, one.id), name.to_owned());
            }
        }
        Self(names)
    }

    /// What a reference says in the file. One to what is not there is its id, which no name is, and so an error of the
    /// file: without the reference, an access list that is missing would let everyone in.
    fn referred(&self, kind: DocumentKind, reference: &str) -> String {
        let Ok(id) = reference.parse::<ResourceId>() else { return String::new() };
        self.0.get(&(kind, id)).cloned().unwrap_or_else(|| id.to_string())
    }

    /// What a resource is called; empty: nothing.
    fn own(&self, document: &Document) -> String {
        self.0.get(&(document.kind, document.id)).cloned().unwrap_or_default()
    }

    fn of_listener(&self, documents: &Documents, listener: &Document) -> Referred {
        let access = listener.body.get("ipgroup").and_then(|access| access.get("ipgroup_id"));
        let group = access.and_then(Value::as_str).unwrap_or_default();
        let pool = listener.reference("default_pool_id");
        let pool = pool.and_then(|pool| documents.get(DocumentKind::Pool, pool));
        Referred {
            is_tracked: pool.is_some_and(|pool| is_tracked(pool)),
            own: self.own(listener),
            pool: self.referred(DocumentKind::Pool, listener.text("default_pool_id")),
            ip_group: self.referred(DocumentKind::IpGroup, group),
        }
    }
}
