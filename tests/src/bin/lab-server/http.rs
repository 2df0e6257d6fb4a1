//! HTTP/1.1: `/` and `/health`, `/status/NNN`, `/host/NAME`, `/silence`, `/bytes/N`, and `POST /sum`.

use std::{future::pending, sync::Arc};

use anyhow::Result;
use elb_tests::wire::{ContentBody, SERVER_HEADER, Sum};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{HOST, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

use crate::accept::accept;

type Body = Either<Full<Bytes>, ContentBody>;

/// Answers connections for ever; every answer names the server.
pub(crate) async fn serve(listener: TcpListener, name: Arc<str>) -> Result<()> {
    loop {
        let stream = accept(&listener).await?;
        stream.set_nodelay(true)?;
        let name = name.clone();
        tokio::spawn(async move { serve_connection(stream, &name).await });
    }
}

/// Answers the requests of one connection.
pub(crate) async fn serve_connection<S>(stream: S, name: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| respond(request, name));
    // A connection that breaks is the client's to notice.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, name: &str) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let response = match (request.method(), parts.as_slice()) {
        (&Method::POST, ["sum"]) => text(StatusCode::OK, sum(request.into_body()).await?),
        (_, ["" | "health"]) => text(StatusCode::OK, name.to_owned()),
        (_, ["status", code]) => match code.parse() {
            Ok(status) => text(status, name.to_owned()),
            Err(_) => text(StatusCode::BAD_REQUEST, format!("no status: {code}")),
        },
        (_, ["host", expected]) => match request.headers().get(HOST) {
            Some(host) if is_name(host, expected) => text(StatusCode::OK, name.to_owned()),
            host => text(StatusCode::MISDIRECTED_REQUEST, format!("the host is {host:?}")),
        },
        (_, ["silence"]) => pending().await,
        (_, ["bytes", length]) => match length.parse() {
            Ok(length) => Response::new(Either::Right(ContentBody::new(length))),
            Err(_) => text(StatusCode::BAD_REQUEST, format!("no length: {length}")),
        },
        _ => text(StatusCode::NOT_FOUND, format!("nothing at {path}")),
    };
    Ok(named(response, name))
}

/// Whether a Host header names this host, on whatever port (RFC 9110 §7.2).
fn is_name(host: &HeaderValue, expected: &str) -> bool {
    let host = host.to_str().unwrap_or_default();
    host == expected || host.rsplit_once(':').is_some_and(|(name, _)| name == expected)
}

async fn sum(mut body: Incoming) -> Result<String, hyper::Error> {
    let mut sum = Sum::default();
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            sum.add(&bytes);
        }
    }
    Ok(sum.text())
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(text)));
    *response.status_mut() = status;
    response
}

fn named(mut response: Response<Body>, name: &str) -> Response<Body> {
    let name = name.parse().expect("names of servers are made of letters and digits");
    response.headers_mut().insert(SERVER_HEADER, name);
    response
}
