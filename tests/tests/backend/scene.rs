//! A lab with one backend server that is not set up, and what to look at in it.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use elb_common::names;
use elb_tests::{
    address::{Families, Family},
    environment::elb_bin,
    lab::Lab,
    netns::NetNs,
    process::output,
    wait::wait_for,
};
use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::inner::*;

pub const LIMIT: Duration = Duration::from_secs(10);
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
pub const PORT: u16 = 5300;
pub const CLIENT_PORT: u16 = 40_000;
pub const DEVICE: &str = "eth0";

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// A lab with one backend server that is not set up.
pub struct Bench {
    pub lab: Lab,
    pub elb: PathBuf,
}

impl Bench {
    pub fn new() -> Result<Self> {
        let lab = Lab::builder().families(Families::Both).backends(1).start()?;
        Ok(Self { lab, elb: elb_bin()? })
    }

    pub fn host(&self) -> &NetNs {
        self.lab.backend(0)
    }

    pub fn pin_dir(&self) -> PathBuf {
        self.lab.pins().join("up")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.lab.files().join("state")
    }

    pub fn command(&self, arguments: &str) -> Command {
        let mut command = self.host().command(&self.elb);
        command.args(["backend"]).args(arguments.split_whitespace());
        command.arg("--pin-dir").arg(self.pin_dir()).arg("--state-dir").arg(self.state_dir());
        command
    }

    /// What a command that must work prints.
    pub fn elb(&self, arguments: &str) -> Result<String> {
        output(self.command(arguments), LIMIT)
    }

    /// What a command that must fail says.
    pub fn refused(&self, arguments: &str) -> Result<String> {
        refusal(self.command(arguments))
    }

    /// What `status` prints where it finds a problem.
    pub fn refused_status(&self) -> Result<String> {
        let output = self.command("status").stdin(Stdio::null()).output()?;
        ensure!(output.status.code() == Some(1), "status ended with {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    pub fn up(&self, mode: &str, vips: &[IpAddr]) -> Result<String> {
        let from = self.lab.from_lbs(mode).join(" ");
        self.elb(&format!("up --mode {mode} --interface {DEVICE} {from} {}", list(vips)))
    }

    pub fn vips(&self) -> [IpAddr; 2] {
        FAMILIES.map(|family| self.lab.vip(family))
    }

    pub fn look(&self) -> Result<Traces> {
        let netns = self.host();
        let files = [self.pin_dir(), self.state_dir()].map(|directory| files(&directory));
        Ok(Traces {
            sysctls: netns.run(sysctls)??,
            addresses: addresses(netns)?,
            routes: ip(netns, &["route", "show", "table", "all"])?,
            files: files.concat(),
        })
    }

    /// The way the program is attached, as the kernel calls it.
    pub fn attached(&self) -> Result<Option<String>> {
        let links: Value = serde_json::from_str(&ip(self.host(), &["link", "show", DEVICE])?)?;
        let Some(xdp) = links[0].get("xdp") else {
            return Ok(None);
        };
        let mode = match xdp["mode"].as_u64() {
            Some(1) => "native",
            Some(2) => "generic",
            _ => "other",
        };
        Ok(Some(format!("{mode} {}", xdp["prog"]["name"].as_str().unwrap_or("?"))))
    }

    /// Packets that the program counted, by what became of them.
    pub fn counted(&self, kind: elb_common::path::unwrap::Unwrapped) -> Result<u64> {
        use aya::maps::{Map, MapData, PerCpuArray};
        let path =
            self.pin_dir().join(format!("v{}", names::ABI_VERSION)).join(names::DECAP_COUNTERS);
        let map = Map::from_map_data(MapData::from_pin(path)?)?;
        let counters: PerCpuArray<_, [u64; 2]> = map.try_into()?;
        Ok(counters.get(&(kind as u32), 0)?.iter().map(|counter| counter[0]).sum())
    }

    /// Sends `inner` to the host from the load balancer, by `tunnel`.
    pub fn send(&self, tunnel: Tunnel, inner: &Inner) -> Result<()> {
        let Tunnel { outer, gue, mark } = tunnel;
        let to = self.lab.member_addr(0, outer);
        let domain = match outer {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let protocol = if inner.source.is_ipv4() { 4 } else { 41 };
        let mut bytes = inner.bytes();
        if gue {
            bytes.splice(0..0, [0, protocol, 0, 0]);
        }
        let sent = self.lab.lb().run(|| -> Result<usize> {
            let (kind, protocol, port) = match gue {
                true => (Type::DGRAM, Protocol::UDP, 6080),
                false => (Type::RAW, Protocol::from(i32::from(protocol)), 0),
            };
            let socket = Socket::new(domain, kind, Some(protocol))?;
            match outer {
                Family::V4 => socket.set_tos_v4(mark)?,
                Family::V6 => socket.set_tclass_v6(mark)?,
            }
            Ok(socket.send_to(&bytes, &SockAddr::from(SocketAddr::new(to, port)))?)
        })??;
        ensure!(sent == bytes.len(), "only {sent} bytes were sent");
        Ok(())
    }

    /// A packet from the client to a virtual address.
    pub fn inner(&self, vip: IpAddr, protocol: u8, payload: Vec<u8>) -> Inner {
        let family = if vip.is_ipv4() { Family::V4 } else { Family::V6 };
        Inner { source: self.lab.client_addr(family), destination: vip, protocol, payload, mark: 0 }
    }

    /// Whether a datagram to `vip` that the load balancer sends by `tunnel` reaches a server there,
    /// and its answer the client.
    pub fn serves(&self, tunnel: impl Into<Tunnel>, vip: IpAddr) -> Result<bool> {
        self.serves_marked(tunnel, vip, 0)
    }

    /// As [`Bench::serves`], for a datagram that is marked inside.
    pub fn serves_marked(&self, tunnel: impl Into<Tunnel>, vip: IpAddr, mark: u8) -> Result<bool> {
        let wildcard = |vip: IpAddr| -> IpAddr {
            match vip {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            }
        };
        let server = self.host().run(|| bind(vip, PORT))??;
        let client = self.lab.client().run(|| bind(wildcard(vip), CLIENT_PORT))??;
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        }
        self.send(tunnel.into(), &Inner { mark, ..self.inner(vip, UDP, udp(b"ask")) })?;
        let mut buffer = [0; 64];
        let Ok((length, from)) = server.recv_from(&mut buffer) else {
            return Ok(false);
        };
        ensure!(&buffer[..length] == b"ask", "the payload changed");
        server.send_to(b"answer", from)?;
        let (length, from) = client.recv_from(&mut buffer).context("no answer at the client")?;
        ensure!(&buffer[..length] == b"answer", "the answer changed");
        ensure!(from == SocketAddr::new(vip, PORT), "the answer came from {from}");
        Ok(true)
    }
}

/// A socket with this port, once it is free: a program that another test is starting holds this
/// process's sockets until it executes, those too that were closed meanwhile.
fn bind(address: IpAddr, port: u16) -> Result<UdpSocket> {
    wait_for("the port to be free", LIMIT, || match UdpSocket::bind((address, port)) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error.into()),
    })
}

/// How packets come from the load balancer.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// The version of the outer header.
    pub outer: Family,
    /// In UDP, or alone.
    pub gue: bool,
    /// ECN of the outer header.
    pub mark: u32,
}

impl From<Family> for Tunnel {
    fn from(outer: Family) -> Self {
        Self { outer, gue: false, mark: 0 }
    }
}

/// Everything of a host that a set-up touches.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces {
    pub sysctls: BTreeMap<PathBuf, String>,
    pub addresses: String,
    pub routes: String,
    pub files: Vec<PathBuf>,
}

/// All settings of IPv4 and IPv6 interfaces in this network namespace.
pub fn sysctls() -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    for family in ["ipv4", "ipv6"] {
        for interface in fs::read_dir(Path::new("/proc/sys/net").join(family).join("conf"))? {
            for key in fs::read_dir(interface?.path())? {
                let path = key?.path();
                // Secrets that are not set, and triggers, cannot be read.
                if let Ok(value) = fs::read_to_string(&path) {
                    found.insert(path, value);
                }
            }
        }
    }
    ensure!(found.len() > 100, "only {} settings can be read", found.len());
    Ok(found)
}

/// Every file and folder below a folder.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| [vec![path.clone()], files(&path)].concat()).collect()
}

pub fn ip(netns: &NetNs, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(["-netns", netns.name(), "-json"]).args(arguments);
    output(command, LIMIT)
}

/// The addresses of every interface, without what changes by itself: the state of a new bridge, and
/// the number of the program, in the place of which comes a new one.
pub fn addresses(netns: &NetNs) -> Result<String> {
    let mut links: Value = serde_json::from_str(&ip(netns, &["address", "show"])?)?;
    for link in links.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        link.retain(|key, _| key != "xdp" && key != "operstate");
    }
    Ok(links.to_string())
}

pub fn list(vips: &[IpAddr]) -> String {
    vips.iter().map(|vip| format!("--vip {vip} ")).collect()
}

pub fn refusal(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.code() == Some(1), "{command:?} ended with {}", output.status);
    ensure!(output.stdout.is_empty(), "{command:?} printed a report");
    Ok(String::from_utf8(output.stderr)?)
}
