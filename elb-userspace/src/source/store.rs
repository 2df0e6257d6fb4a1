//! The store of the API: what is wanted, as the API's own documents. A write is answered once the disk has it.
//!
//! Ids of maps, links or backends are never in it: what the kernel holds may go while the store stays.

mod audit;
mod changes;
mod copy;
#[cfg(test)]
mod dangling;
mod database;
mod document;
mod documents;
mod flavor;
mod group;
mod ingredients;
mod measured;
mod migrations;
mod pieces;
mod refused;
mod table;
pub mod text;
mod wanted;
mod writer;

pub use self::audit::{AuditQuery, NumberedRecord};
pub use self::copy::{Restored, StoreFacts, examine, restore};
#[cfg(test)]
pub use self::dangling::dangling;
pub use self::database::StoreError;
pub use self::document::{Body, Document, DocumentKind, SECRETS, mask};
pub use self::documents::{Documents, Transaction};
pub use self::flavor::{FLAVORS, Flavor};
pub use self::measured::{COMMIT_ENDS, StoreCosts};
pub use self::pieces::Pieces;
pub use self::refused::unrecorded;
pub use self::wanted::{WantedDocument, wanted};
pub use self::writer::{AuditRecord, ModelCheck, Reached, Store, WriteResult};

#[cfg(test)]
mod tests;
