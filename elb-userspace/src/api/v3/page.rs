//! The document of the API, and a page to read it: the same on every host with this version, so that both are for
//! everyone who reaches the API. Neither asks the store, the keys or the agent.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;

use super::openapi::openapi_document;

/// Only what is served here, and nowhere else's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The document as it goes over the wire.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi_document().to_string().into());

/// What is served without a key.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let html = || answer("text/html; charset=utf-8", include_str!("page/index.html"));
    let style = || answer("text/css; charset=utf-8", include_str!("page/page.css"));
    let script = || answer("text/javascript; charset=utf-8", include_str!("page/page.js"));
    Router::new()
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async move || html()))
        .route("/docs/page.css", get(async move || style()))
        .route("/docs/page.js", get(async move || script()))
        .route("/docs/openapi.json", get(async || answer("application/json", DOCUMENT.clone())))
}

fn answer(of: &'static str, body: impl Into<Bytes>) -> Response {
    let headers = [
        (CONTENT_TYPE, of),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, body.into()).into_response()
}
