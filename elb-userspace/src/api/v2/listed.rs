//! Resources of the store as version 2 lists them.

use serde_json::Value;

use super::list::Items;
use crate::api::v3::face::Listed;
use crate::source::store::Body;

/// Resources of the store, as items of a list.
pub(super) struct ListedItems<'a, S> {
    pub(super) listed: Listed<'a>,
    /// How one of V3 is shown.
    pub(super) show: S,
}

impl<S: Fn(&Body) -> Body> Items for ListedItems<'_, S> {
    fn count(&self) -> usize {
        self.listed.documents().len()
    }

    fn known(&self, at: usize, key: &str) -> Option<Value> {
        let document = self.listed.documents().get(at)?;
        match key {
            "id" => Some(document.id.to_string().into()),
            // They are the same in version 2, and of no other resource.
            "name" | "description" | "protocol" | "protocol_port" | "address" | "weight" => {
                document.body.get(key).cloned()
            }
            _ => None,
        }
    }

    fn shown(&self, at: usize) -> Body {
        let document = self.listed.documents().get(at);
        let v3 = document.map(|document| self.listed.show(document)).unwrap_or_default();
        (self.show)(&v3)
    }
}
