//! All documents of a store in memory, and changes of them that can be taken back.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::changes::Changes;
use super::{AuditRecord, Body, Document, DocumentKind};
use crate::model::ResourceId;

/// What a store holds, by kind and id.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    all: BTreeMap<DocumentKind, BTreeMap<ResourceId, Arc<Document>>>,
    /// Those of a kind that refer to a document by an attribute: looking all of them through for each would be slow.
    referring: BTreeMap<Reference, BTreeMap<ResourceId, Arc<Document>>>,
    pub(super) changes: Changes,
    /// Rises by one with each commit.
    pub revision: u64,
}

/// The kind of those that refer to a document, by which attribute, and which one.
type Reference = (DocumentKind, &'static str, ResourceId);

impl PartialEq for Documents {
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision && self.all == other.all
    }
}

impl Documents {
    /// A document.
    pub fn get(&self, kind: DocumentKind, id: ResourceId) -> Option<&Arc<Document>> {
        self.all.get(&kind)?.get(&id)
    }

    /// Those of a kind, in the order of their ids.
    pub fn of(&self, kind: DocumentKind) -> impl DoubleEndedIterator<Item = &Arc<Document>> {
        self.all.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// How many of a kind there are.
    pub fn count(&self, kind: DocumentKind) -> usize {
        self.all.get(&kind).map_or(0, BTreeMap::len)
    }

    /// Those of a kind that refer to another document by one of the attributes that say so.
    pub fn referring(
        &self,
        kind: DocumentKind,
        key: &'static str,
        id: ResourceId,
    ) -> impl Iterator<Item = &Arc<Document>> {
        debug_assert!(kind.references().contains(&key), "{kind} has no reference {key}");
        self.referring.get(&(kind, key, id)).into_iter().flat_map(BTreeMap::values)
    }

    /// Puts a document into its place, or takes what is there away. Returns what was there.
    pub(super) fn replace(
        &mut self,
        (kind, id): (DocumentKind, ResourceId),
        document: Option<Arc<Document>>,
    ) -> Option<Arc<Document>> {
        self.changes.note((kind, id));
        let before = self.take(kind, id);
        for (key, before) in references(kind, before.as_ref()) {
            self.leave((kind, key, before), id);
        }
        for (key, now) in references(kind, document.as_ref()) {
            let now = self.referring.entry((kind, key, now)).or_default();
            now.extend(document.iter().map(|document| (id, document.clone())));
        }
        if let Some(document) = document {
            self.all.entry(kind).or_default().insert(id, document);
        }
        before
    }

    /// A document does not refer to another one any more.
    fn leave(&mut self, to: Reference, id: ResourceId) {
        if let Some(all) = self.referring.get_mut(&to) {
            all.remove(&id);
            if all.is_empty() {
                self.referring.remove(&to);
            }
        }
    }

    fn take(&mut self, kind: DocumentKind, id: ResourceId) -> Option<Arc<Document>> {
        let of_kind = self.all.get_mut(&kind)?;
        let before = of_kind.remove(&id);
        if of_kind.is_empty() {
            self.all.remove(&kind);
        }
        before
    }
}

/// What a document refers to, by which attributes.
fn references(
    kind: DocumentKind,
    document: Option<&Arc<Document>>,
) -> Vec<(&'static str, ResourceId)> {
    let referred = |key: &&'static str| Some((*key, document?.reference(key)?));
    kind.references().iter().filter_map(referred).collect()
}

/// A change of a document: what was there before, and what is there now.
pub(super) type Change = ((DocumentKind, ResourceId), Option<Arc<Document>>);

/// What a transaction has to do with those that are committed with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// Whether the check is asked once for several transactions, after the last of them.
    pub(super) is_checked_at_end: bool,
    /// Whether an earlier one of them changed something, which is not committed yet.
    pub(super) is_changed: bool,
}

/// Changes that are made together or not at all.
pub struct Transaction<'a> {
    documents: &'a mut Documents,
    check: &'a super::ModelCheck,
    group: Group,
    is_check_due: Cell<bool>,
    /// What was there before, in the order of the changes.
    before: Vec<Change>,
    audit: Vec<AuditRecord>,
}

impl<'a> Transaction<'a> {
    /// One of a group that is checked at its end takes each check as passed, and [`Self::is_check_due`] afterwards.
    pub(super) const fn new(
        documents: &'a mut Documents,
        check: &'a super::ModelCheck,
        group: Group,
    ) -> Self {
        let is_check_due = Cell::new(false);
        let before = Vec::new();
        Self { documents, check, group, is_check_due, before, audit: Vec::new() }
    }

    /// Whether what passed [`Self::check`] is still to be checked.
    pub(super) const fn is_check_due(&self) -> bool {
        self.is_check_due.get()
    }

    /// Everything, with the changes so far.
    pub const fn documents(&self) -> &Documents {
        self.documents
    }

    /// The revision whose documents these are; none: something is changed that is not committed yet, by this
    /// transaction or by an earlier one that is committed with it.
    pub fn settled(&self) -> Option<u64> {
        let is_settled = !self.group.is_changed && self.before.is_empty();
        is_settled.then_some(self.documents.revision)
    }

    /// The revision that these changes will have.
    pub const fn revision(&self) -> u64 {
        self.documents.revision + 1
    }

    /// Makes a document, or changes it.
    pub fn put(&mut self, document: Document) {
        let at = (document.kind, document.id);
        let first = self.documents.get(at.0, at.1).map_or(self.revision(), |known| known.first);
        let document = Document { first, revision: self.revision(), ..document };
        let before = self.documents.replace(at, Some(Arc::new(document)));
        self.before.push((at, before));
    }

    /// Takes a document away.
    pub fn remove(&mut self, kind: DocumentKind, id: ResourceId) {
        let before = self.documents.replace((kind, id), None);
        self.before.push(((kind, id), before));
    }

    /// Notes what was done, whether or not it changed anything.
    pub fn note(&mut self, record: AuditRecord) {
        self.audit.push(record);
    }

    /// Whether all of it can be served; if not, why.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        if self.group.is_checked_at_end {
            self.is_check_due.set(true);
            return Ok(());
        }
        self.check_now()
    }

    /// As [`Self::check`], for those who take their changes back afterwards: at once, whatever else is written.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check_now(&self) -> Result<(), String> {
        (self.check)(self.documents)
    }

    /// The bodies of what these changes concern, by id: before them, and with them.
    pub fn difference(&self) -> (Body, Body) {
        let (mut before, mut after) = (Body::new(), Body::new());
        for ((kind, id), old) in &self.before {
            let key = id.to_string();
            if *kind == DocumentKind::Job || before.contains_key(&key) || after.contains_key(&key) {
                continue;
            }
            let body = |one: &Arc<Document>| Value::Object(one.recorded());
            before.extend(old.as_ref().map(|one| (key.clone(), body(one))));
            after.extend(self.documents.get(*kind, *id).map(|one| (key, body(one))));
        }
        (before, after)
    }

    /// Takes all changes back; what was noted stays.
    pub fn undo(&mut self) {
        for (at, before) in self.before.drain(..).rev() {
            self.documents.replace(at, before);
        }
    }

    /// Takes back what was noted, too.
    pub(super) fn forget(&mut self) {
        self.audit.clear();
    }

    /// What was there before each change, and what is to be written down.
    pub(super) fn end(self) -> (Vec<Change>, Vec<AuditRecord>) {
        (self.before, self.audit)
    }
}
