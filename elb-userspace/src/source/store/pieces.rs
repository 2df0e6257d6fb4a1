//! The resources of a store as pieces of the configuration. One that is made of the same documents as before is not
//! made again: a change of one resource of thousands costs little.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::changes::Mark;
use super::ingredients::{Ingredients, Names};
use super::{DocumentKind, Documents, table};
use crate::model::ResourceId;
use crate::source::api::ApiSettings;
use crate::source::file::{Piece, read_piece};

/// Pieces that were made, by the resource that each is of.
pub struct Pieces {
    settings: ApiSettings,
    known: BTreeMap<Key, (Ingredients, Arc<Piece>)>,
    /// The resource that each other document is a part of.
    owners: HashMap<Key, Key>,
    names: Names,
    /// How far changes were seen.
    seen: Option<Mark>,
}

/// A document.
type Key = (DocumentKind, ResourceId);

impl Pieces {
    /// None yet.
    pub fn new(settings: ApiSettings) -> Self {
        let (known, owners, names) = (BTreeMap::new(), HashMap::new(), Names::default());
        Self { settings, known, owners, names, seen: None }
    }

    /// The pieces of what a store holds: load balancers, pools, IP groups, each in the order of their ids.
    pub fn of(&mut self, documents: &Documents) -> Vec<Arc<Piece>> {
        let changed = self.seen.and_then(|seen| documents.changes.since(seen));
        match changed.and_then(|changed| self.touched(documents, changed)) {
            Some(touched) => touched.into_iter().for_each(|key| self.look(documents, key)),
            None => self.look_at_all(documents),
        }
        self.seen = Some(documents.changes.mark());
        self.known.values().map(|(_, piece)| piece.clone()).collect()
    }

    /// The resources whose pieces may be others; none: a name may be another, and so each of them.
    fn touched(
        &self,
        documents: &Documents,
        changed: impl Iterator<Item = Key>,
    ) -> Option<BTreeSet<Key>> {
        let mut touched = BTreeSet::new();
        for (kind, id) in changed.filter(|(kind, _)| kind.is_in_files()) {
            let now = documents.get(kind, id);
            let is_unnamed = matches!(kind, DocumentKind::Member | DocumentKind::HealthMonitor);
            let (key, of) = if is_unnamed {
                (Some("pool_id"), DocumentKind::Pool)
            } else if kind == DocumentKind::Listener {
                (Some("loadbalancer_id"), DocumentKind::LoadBalancer)
            } else {
                (None, kind)
            };
            let now_of = key.map_or(Some(id), |key| now?.reference(key)).map(|id| (of, id));
            let was_of = if key.is_none() {
                Some((kind, id))
            } else {
                self.owners.get(&(kind, id)).copied()
            };
            if is_unnamed {
                touched.extend(was_of.into_iter().chain(now_of));
                continue;
            }
            let (made_of, _) = self.known.get(&was_of?)?;
            let was = made_of.documents.iter().find(|one| (one.kind, one.id) == (kind, id))?;
            if was.text("name") != now?.text("name") {
                return None;
            }
            if kind == DocumentKind::Pool {
                // What a listener of it may carry follows from how it chooses.
                let listeners = documents.referring(DocumentKind::Listener, "default_pool_id", id);
                let balancers = listeners.filter_map(|one| one.reference("loadbalancer_id"));
                touched.extend(balancers.map(|one| (DocumentKind::LoadBalancer, one)));
            }
            touched.extend(was_of.into_iter().chain(now_of));
        }
        Some(touched)
    }

    /// Looks at one resource again.
    fn look(&mut self, documents: &Documents, key: Key) {
        let before = self.known.remove(&key);
        for part in before.iter().flat_map(|(made_of, _)| made_of.documents.iter().skip(1)) {
            // What went to another resource is that one's.
            let part = (part.kind, part.id);
            if self.owners.get(&part) == Some(&key) {
                self.owners.remove(&part);
            }
        }
        let Some(one) = documents.get(key.0, key.1) else { return };
        let made_of = Ingredients::of(documents, &self.names, one);
        let known = before.filter(|(known, _)| known.is_same(&made_of));
        let (made_of, piece) = known.unwrap_or_else(|| {
            let piece = Arc::new(read_piece(table::text(&made_of, &self.settings)));
            (made_of, piece)
        });
        let parts = made_of.documents.iter().skip(1);
        self.owners.extend(parts.map(|part| ((part.kind, part.id), key)));
        self.known.insert(key, (made_of, piece));
    }

    fn look_at_all(&mut self, documents: &Documents) {
        self.names = Names::of(documents);
        let kinds = [DocumentKind::LoadBalancer, DocumentKind::Pool, DocumentKind::IpGroup];
        let all = kinds.into_iter().flat_map(|kind| documents.of(kind));
        let keys: BTreeSet<Key> = all.map(|one| (one.kind, one.id)).collect();
        let gone: Vec<Key> = self.known.keys().filter(|key| !keys.contains(key)).copied().collect();
        gone.into_iter().chain(keys).for_each(|key| self.look(documents, key));
    }
}

#[cfg(test)]
mod tests;
