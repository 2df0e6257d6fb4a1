//! A server for labs: HTTP, HTTPS, gRPC, echo and silence, each on its ports, on every address of
//! its namespace or on one.

mod accept;
mod echo;
mod grpc;
mod http;
mod silent;
mod tls;

use std::{
    io::{Write as _, stdout},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use elb_tests::{
    environment::allow_descriptors,
    wire::{READY, Service},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, task::JoinSet};

const BACKLOG: i32 = 4096;

#[derive(Parser)]
#[command(about = "Server for labs")]
struct Arguments {
    /// What it calls itself in its answers
    #[arg(long)]
    name: String,
    /// The address that it listens on; all if not said
    #[arg(long)]
    address: Option<IpAddr>,
    /// What it offers, and where: http=80, https=443, grpc=50051, echo=7, silent=9 …
    #[arg(required = true)]
    offers: Vec<Offer>,
}

/// A service and its port.
#[derive(Clone, Copy)]
struct Offer(Service, u16);

impl FromStr for Offer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, port) = text.split_once('=').context("write it as in http=80")?;
        let service = Service::ALL.into_iter().find(|service| service.name() == name);
        Ok(Self(service.with_context(|| format!("no service is called {name:?}"))?, port.parse()?))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    allow_descriptors(0)?;
    let name: Arc<str> = arguments.name.into();

    let mut services = JoinSet::new();
    for Offer(service, port) in arguments.offers {
        for address in addresses(arguments.address, port) {
            start(service, address, &name, &mut services)?;
        }
    }

    println!("{READY}");
    stdout().flush()?;
    match services.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

fn start(
    service: Service,
    address: SocketAddr,
    name: &Arc<str>,
    services: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let listener = listen(address)?;
    let name = name.clone();
    match service {
        Service::Http => services.spawn(http::serve(listener, name)),
        Service::Https => services.spawn(tls::serve(listener, name, tls::acceptor()?)),
        Service::Grpc => services.spawn(grpc::serve(listener, true)),
        Service::GrpcNotServing => services.spawn(grpc::serve(listener, false)),
        Service::Echo => {
            let socket = bind(address, Type::DGRAM, Protocol::UDP)?;
            echo::start_udp(socket.into(), name.clone())?;
            services.spawn(echo::serve_tcp(listener, name))
        }
        Service::Silent => {
            let socket = bind(address, Type::DGRAM, Protocol::UDP)?;
            services.spawn(silent::serve(listener, socket))
        }
    };
    Ok(())
}

fn addresses(address: Option<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let everywhere = || vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let addresses: Vec<IpAddr> = address.map_or_else(everywhere, |address| vec![address]);
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
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
