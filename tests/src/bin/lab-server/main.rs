//! A server for labs: HTTP, and echo over TCP and UDP, on every address of its namespace.

mod echo;
mod http;

use std::{
    io::{Write as _, stdout},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use elb_tests::{environment::allow_descriptors, wire::READY};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, task::JoinSet};

const BACKLOG: i32 = 4096;

#[derive(Parser)]
#[command(about = "Server for labs: HTTP, and echo over TCP and UDP")]
struct Arguments {
    /// What it calls itself in its answers
    #[arg(long)]
    name: String,
    /// Port of HTTP
    #[arg(long)]
    http: u16,
    /// Port of echo, TCP and UDP
    #[arg(long)]
    echo: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    allow_descriptors(0)?;
    let name: Arc<str> = arguments.name.into();

    let mut services = JoinSet::new();
    for address in everywhere(arguments.http) {
        services.spawn(http::serve(listen(address)?, name.clone()));
    }
    for address in everywhere(arguments.echo) {
        services.spawn(echo::serve_tcp(listen(address)?, name.clone()));
        let socket = bind(address, Type::DGRAM, Protocol::UDP)?;
        echo::start_udp(socket.into(), name.clone())?;
    }

    println!("{READY}");
    stdout().flush()?;
    match services.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

fn everywhere(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = bind(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into())?)
}

fn bind(address: SocketAddr, kind: Type, protocol: Protocol) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // A restarted server takes its port although connections of the former one linger.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into()).with_context(|| format!("cannot bind {address}"))?;
    Ok(socket)
}
