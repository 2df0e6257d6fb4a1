//! Whether answers about certificates show the private keys of a project.

use axum::http::StatusCode;
use serde_json::Value;

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, View, Work};

const ECHO: &str = "private_key_echo";

pub(super) fn show_echo(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let is_on = resources::echoes_keys(view.documents, &call.caller.project);
    Ok(Reply::new(StatusCode::OK, ECHO, is_on.into()))
}

pub(super) fn set_echo(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let is_on = call.body.get(ECHO).and_then(Value::as_bool).unwrap_or(false);
    resources::set_echo(work, is_on);
    Ok(Reply::new(StatusCode::CREATED, ECHO, is_on.into()))
}
