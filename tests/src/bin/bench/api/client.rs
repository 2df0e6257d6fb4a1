//! A client of the API that keeps its connection.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Where the agent serves the API.
const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9443);

/// What `elb key create` printed.
#[derive(Clone)]
pub struct Key {
    pub project: String,
    pub token: String,
}

impl Key {
    /// Of what was printed.
    pub fn read(printed: &str) -> Result<Self> {
        let value = |key: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(key));
            line.map(|value| value.trim().to_owned()).with_context(|| printed.to_owned())
        };
        Ok(Self { project: value("project")?, token: value("token")? })
    }
}

/// One connection, one request at a time.
pub struct ApiClient {
    sender: SendRequest<Full<Bytes>>,
    key: Key,
}

impl ApiClient {
    pub async fn connect(key: &Key) -> Result<Self> {
        let stream = TcpStream::connect(AT).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its client.
        tokio::spawn(connection);
        Ok(Self { sender, key: key.clone() })
    }

    /// What is answered; everything but success is an error.
    pub async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/v3/{}/elb/{path}", self.key.project))
            .header(header::HOST, AT.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-auth-token", &self.key.token)
            .body(Full::from(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&bytes));
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Makes a resource: its id.
    pub async fn make(&mut self, path: &str, key: &str, body: Value) -> Result<String> {
        let body = Value::Object([(key.to_owned(), body)].into_iter().collect());
        let made = self.ask(Method::POST, path, Some(body)).await?;
        made[key]["id"].as_str().map(str::to_owned).with_context(|| made.to_string())
    }
}
