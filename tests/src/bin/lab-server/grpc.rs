//! gRPC without TLS: grpc.health.v1 and, for tests of codes, `/status/N`.

use std::convert::Infallible;

use anyhow::Result;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::accept::accept;

/// `HealthCheckResponse`s with their prefix: SERVING, and NOT_SERVING.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
const NOT_SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 2];

const UNIMPLEMENTED: &str = "12";

type Body = BoxBody<Bytes, Infallible>;

/// Answers connections for ever.
pub(crate) async fn serve(listener: TcpListener, serves: bool) -> Result<()> {
    loop {
        let stream = accept(&listener).await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(move |request| async move { respond(&request, serves) });
            let server = http2::Builder::new(TokioExecutor::new());
            // A connection that breaks is the client's to notice.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn respond(request: &Request<Incoming>, serves: bool) -> Result<Response<Body>, Infallible> {
    let message = if serves { SERVING } else { NOT_SERVING };
    let (message, status) = match request.uri().path() {
        "/grpc.health.v1.Health/Check" => (message, "0"),
        path => (&[][..], path.strip_prefix("/status/").unwrap_or(UNIMPLEMENTED)),
    };
    let mut trailers = HeaderMap::new();
    let status = status.parse().unwrap_or(HeaderValue::from_static(UNIMPLEMENTED));
    trailers.insert("grpc-status", status);
    let body = Full::from(message).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
