//! What a project has set for itself: whether its private keys are shown.

use std::collections::BTreeMap;

use serde_json::json;

use super::Work;
use super::attributes::object;
use crate::source::store::{Document, DocumentKind, Documents};

const KIND: DocumentKind = DocumentKind::ProjectSettings;
const ECHO: &str = "private_key_echo";

/// Whether private keys of a project are shown: not unless it was asked for.
pub(in crate::api::v3) fn echoes_keys(documents: &Documents, project: &str) -> bool {
    of(documents, project).is_some_and(|settings| settings.is_set(ECHO))
}

/// Has them shown from now on, or not.
pub(in crate::api::v3) fn set_echo(work: &mut Work<'_, '_>, is_on: bool) {
    let body = object(&json!({ECHO: is_on}));
    match of(work.documents(), work.project).cloned() {
        Some(old) => work.change(&old, body),
        None => work.make(KIND, body, BTreeMap::new()),
    }
}

fn of<'d>(documents: &'d Documents, project: &str) -> Option<&'d Document> {
    documents.of(KIND).map(AsRef::as_ref).find(|settings| settings.project == project)
}
