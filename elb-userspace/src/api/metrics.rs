//! `/metrics`, `/healthz` and `/readyz`: what monitoring systems ask, on the agent's socket and over TCP.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use serde::Deserialize;

use super::shape::error::{Error, ErrorCode};
use crate::observe::metrics::family::scopes;
use crate::observe::metrics::{Exporter, Format, Scope, ScrapeRequest};

/// How long ago the agent's loop must have written a snapshot down, if it runs.
const RUNS: Duration = Duration::from_secs(15);

/// The routes.
pub(super) fn router(exporter: Exporter) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(exporter)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    scope: Option<String>,
}

async fn metrics(
    State(exporter): State<Exporter>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let request = request(uri.query().unwrap_or_default(), &headers)?;
    let (format, is_compressed) = (request.format, request.gzip);
    let text = exporter.scrape(request).await;
    let text = text.map_err(|error| Error::new(ErrorCode::Failed, error.to_string()))?;
    let length = HeaderValue::from(text.len());
    let pages = (0..).map_while(move |number| text.page(number)).map(Ok::<_, Infallible>);
    let mut response = Body::from_stream(stream::iter(pages)).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, length);
    let mut set =
        |name, value| drop(response.headers_mut().insert(name, HeaderValue::from_static(value)));
    set(CONTENT_TYPE, format.content_type());
    set(VARY, "Accept, Accept-Encoding");
    if is_compressed {
        set(CONTENT_ENCODING, "gzip");
    }
    Ok(response)
}

fn request(query: &str, headers: &HeaderMap) -> Result<ScrapeRequest, String> {
    let parameters: Parameters =
        serde_urlencoded::from_str(query).map_err(|error| format!("not a request: {error}"))?;
    let wanted = parameters.scope.as_deref().map(scopes).transpose()?;
    let says = |name: HeaderName| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    Ok(ScrapeRequest {
        scopes: wanted.unwrap_or_else(|| Scope::ALL.to_vec()),
        format: Format::accepted(&says(ACCEPT)),
        gzip: takes_gzip(&says(ACCEPT_ENCODING)),
    })
}

fn takes_gzip(header: &str) -> bool {
    let takes = |part: &str| {
        let mut words = part.split(';').map(str::trim);
        let is_gzip = words.next().is_some_and(|word| word.eq_ignore_ascii_case("gzip"));
        is_gzip && words.all(|word| !["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&word))
    };
    header.split(',').any(takes)
}

/// Whether the agent's loop runs.
async fn healthz(State(exporter): State<Exporter>) -> (StatusCode, String) {
    said(runs(&exporter))
}

/// Whether the agent serves: maps are as they should be, the first verdicts are known, and some member of
/// some listener takes new connections.
async fn readyz(State(exporter): State<Exporter>) -> (StatusCode, String) {
    let not_ready = || exporter.snapshot().and_then(|snapshot| snapshot.not_ready.clone());
    said(runs(&exporter).and_then(|()| not_ready().map_or(Ok(()), Err)))
}

fn runs(exporter: &Exporter) -> Result<(), String> {
    let snapshot = exporter.snapshot().ok_or("the agent is starting")?;
    let ago = snapshot.taken.elapsed();
    if ago <= RUNS {
        return Ok(());
    }
    Err(format!("the agent's loop has not run for {} seconds", ago.as_secs()))
}

fn said(result: Result<(), String>) -> (StatusCode, String) {
    match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood() {
        let mut headers = HeaderMap::new();
        headers.append(
            ACCEPT,
            HeaderValue::from_static("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
        );
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("deflate, gzip;q=1.0"));
        let asked = request("scope=agent,pool", &headers).unwrap();
        assert_eq!(asked.scopes, [Scope::Agent, Scope::Pool]);
        assert_eq!((asked.format, asked.gzip), (Format::OpenMetrics, true));
        let plain = request("", &HeaderMap::new()).unwrap();
        assert_eq!((plain.scopes.len(), plain.format, plain.gzip), (4, Format::Text, false));
        assert!(!takes_gzip("gzip;q=0, identity") && !takes_gzip("br"));
        assert!(request("scope=hosts", &headers).is_err());
        assert!(request("scopes=agent", &headers).is_err());
    }
}
