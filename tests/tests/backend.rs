//! `elb backend up` and `down` on a real host: what it then accepts, what it keeps to itself, and
//! that nothing is left of it.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
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
};
use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const LIMIT: Duration = Duration::from_secs(10);
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const PORT: u16 = 5300;
const CLIENT_PORT: u16 = 40_000;
const DEVICE: &str = "eth0";

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A lab with one backend server that is not set up.
struct Bench {
    lab: Lab,
    elb: PathBuf,
}

impl Bench {
    fn new() -> Result<Self> {
        let lab = Lab::builder().families(Families::Both).backends(1).start()?;
        Ok(Self { lab, elb: elb_bin()? })
    }

    fn host(&self) -> &NetNs {
        self.lab.backend(0)
    }

    fn pin_dir(&self) -> PathBuf {
        self.lab.pins().join("up")
    }

    fn state_dir(&self) -> PathBuf {
        self.lab.files().join("state")
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = self.host().command(&self.elb);
        command.args(["backend"]).args(arguments.split_whitespace());
        command.arg("--pin-dir").arg(self.pin_dir()).arg("--state-dir").arg(self.state_dir());
        command
    }

    /// What a command that must work prints.
    fn elb(&self, arguments: &str) -> Result<String> {
        output(self.command(arguments), LIMIT)
    }

    /// What a command that must fail says.
    fn refused(&self, arguments: &str) -> Result<String> {
        refusal(self.command(arguments))
    }

    fn up(&self, mode: &str, vips: &[IpAddr]) -> Result<String> {
        self.elb(&format!("up --mode {mode} --interface {DEVICE} {}", list(vips)))
    }

    fn vips(&self) -> [IpAddr; 2] {
        FAMILIES.map(|family| self.lab.vip(family))
    }

    fn look(&self) -> Result<Traces> {
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
    fn attached(&self) -> Result<Option<String>> {
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
    fn counted(&self, kind: elb_common::path::unwrap::Unwrapped) -> Result<u64> {
        use aya::maps::{Map, MapData, PerCpuArray};
        let path =
            self.pin_dir().join(format!("v{}", names::ABI_VERSION)).join(names::DECAP_COUNTERS);
        let map = Map::from_map_data(MapData::from_pin(path)?)?;
        let counters: PerCpuArray<_, [u64; 2]> = map.try_into()?;
        Ok(counters.get(&(kind as u32), 0)?.iter().map(|counter| counter[0]).sum())
    }

    /// Sends `inner` to the host from the load balancer, in a packet of `outer`.
    fn send(&self, outer: Family, inner: &Inner) -> Result<()> {
        let to = self.lab.member_addr(0, outer);
        let domain = match outer {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let protocol = if inner.source.is_ipv4() { 4 } else { 41 };
        let sent = self.lab.lb().run(|| -> Result<usize> {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))?;
            Ok(socket.send_to(&inner.bytes(), &SockAddr::from(SocketAddr::new(to, 0)))?)
        })??;
        ensure!(sent == inner.bytes().len(), "only {sent} bytes were sent");
        Ok(())
    }

    /// A packet from the client to a virtual address.
    fn inner(&self, vip: IpAddr, protocol: u8, payload: Vec<u8>) -> Inner {
        let family = if vip.is_ipv4() { Family::V4 } else { Family::V6 };
        Inner { source: self.lab.client_addr(family), destination: vip, protocol, payload }
    }

    /// Whether a datagram to `vip` that the load balancer wraps in `outer` reaches a server there,
    /// and its answer the client.
    fn serves(&self, outer: Family, vip: IpAddr) -> Result<bool> {
        let wildcard = |vip: IpAddr| -> IpAddr {
            match vip {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            }
        };
        let server = self.host().run(|| UdpSocket::bind((vip, PORT)))??;
        let client = self.lab.client().run(|| UdpSocket::bind((wildcard(vip), CLIENT_PORT)))??;
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        }
        self.send(outer, &self.inner(vip, UDP, udp(b"ask")))?;
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

/// Everything of a host that a set-up touches.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    sysctls: BTreeMap<PathBuf, String>,
    addresses: String,
    routes: String,
    files: Vec<PathBuf>,
}

/// All settings of IPv4 and IPv6 interfaces in this network namespace.
fn sysctls() -> Result<BTreeMap<PathBuf, String>> {
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
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| [vec![path.clone()], files(&path)].concat()).collect()
}

fn ip(netns: &NetNs, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(["-netns", netns.name(), "-json"]).args(arguments);
    output(command, LIMIT)
}

/// The addresses of every interface, without what changes by itself: the state of a new bridge, and
/// the number of the program, in the place of which comes a new one.
fn addresses(netns: &NetNs) -> Result<String> {
    let mut links: Value = serde_json::from_str(&ip(netns, &["address", "show"])?)?;
    for link in links.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        link.retain(|key, _| key != "xdp" && key != "operstate");
    }
    Ok(links.to_string())
}

fn list(vips: &[IpAddr]) -> String {
    vips.iter().map(|vip| format!("--vip {vip} ")).collect()
}

fn refusal(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.code() == Some(1), "{command:?} ended with {}", output.status);
    ensure!(output.stdout.is_empty(), "{command:?} printed a report");
    Ok(String::from_utf8(output.stderr)?)
}

/// A packet that goes inside another.
struct Inner {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: Vec<u8>,
}

impl Inner {
    fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(self.payload.len()).expect("test packets are small");
        let mut payload = self.payload.clone();
        let at = if self.protocol == TCP { 16 } else { 6 };
        let pseudo = [
            octets(self.source),
            octets(self.destination),
            [0, self.protocol].to_vec(),
            length.to_be_bytes().to_vec(),
            payload.clone(),
        ];
        payload[at..at + 2].copy_from_slice(&checksum(&pseudo.concat()).to_be_bytes());
        [self.header(length), payload].concat()
    }

    fn header(&self, length: u16) -> Vec<u8> {
        let mut header = match self.source {
            IpAddr::V4(_) => vec![0x45, 0],
            IpAddr::V6(_) => vec![0x60, 0, 0, 0],
        };
        let length = if self.source.is_ipv4() { length + 20 } else { length };
        header.extend(length.to_be_bytes());
        match self.source {
            IpAddr::V4(_) => header.extend([0, 1, 0x40, 0, 64, self.protocol, 0, 0]),
            IpAddr::V6(_) => header.extend([self.protocol, 64]),
        }
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        if self.source.is_ipv4() {
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        header
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("carries are folded in")
}

fn udp(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).expect("test packets are small");
    let header = [CLIENT_PORT, PORT, length, 0].map(u16::to_be_bytes);
    [header.as_flattened(), data].concat()
}

/// A segment that opens a connection.
fn syn() -> Vec<u8> {
    let mut segment = [CLIENT_PORT, PORT].map(u16::to_be_bytes).concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

#[test]
fn wrapped_packets_of_every_kind_reach_a_server_and_its_answer_the_client() -> Result<()> {
    use elb_common::path::unwrap::Unwrapped;

    let bench = Bench::new()?;
    bench.up("ipip", &bench.vips())?;
    assert_eq!(bench.attached()?.as_deref(), Some("native decap"));

    for outer in FAMILIES {
        for vip in bench.vips() {
            assert!(bench.serves(outer, vip)?, "{vip} in {outer:?}");
        }
    }
    assert_eq!(bench.counted(Unwrapped::Yes)?, 4);

    let stranger = "192.0.2.77".parse()?;
    bench.send(Family::V4, &bench.inner(stranger, UDP, udp(b"lost")))?;
    assert_eq!(bench.counted(Unwrapped::NotVip)?, 1);
    Ok(())
}

#[test]
fn a_wrapped_connection_request_is_answered_from_the_address() -> Result<()> {
    let bench = Bench::new()?;
    bench.up("ipip", &bench.vips())?;
    for (vip, domain) in bench.vips().into_iter().zip([Domain::IPV4, Domain::IPV6]) {
        let _listener = bench.host().run(|| TcpListener::bind((vip, PORT)))??;
        // A raw socket sees the segments that the client gets, whoever they are for.
        let wire = bench.lab.client().run(|| -> Result<Socket> {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            Ok(socket)
        })??;
        bench.send(Family::V4, &bench.inner(vip, TCP, syn()))?;
        let mut buffer = [std::mem::MaybeUninit::new(0); 256];
        let (length, from) = wire.recv_from(&mut buffer).context("no answer")?;
        assert_eq!(from.as_socket().map(|from| from.ip()), Some(vip));
        // SAFETY: the array was made of initialised bytes, and receiving writes bytes.
        let bytes: Vec<u8> =
            buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
        let segment = if vip.is_ipv4() { &bytes[20..] } else { &bytes[..] };
        assert_eq!(segment[..4], [PORT, CLIENT_PORT].map(u16::to_be_bytes).concat());
        assert_eq!((&segment[8..12], segment[13]), (&[0, 0, 0, 2][..], 0x12), "no SYN and ACK");
    }
    Ok(())
}

#[test]
fn up_twice_changes_nothing_and_down_restores_everything() -> Result<()> {
    for (mode, attached) in [("ipip", Some("native decap")), ("l2", None)] {
        let bench = Bench::new()?;
        bench.host().sysctl("ipv4/conf/all/rp_filter", "1")?;
        bench.host().sysctl(&format!("ipv4/conf/{DEVICE}/arp_announce"), "1")?;
        let before = bench.look()?;

        let first = bench.up(mode, &bench.vips())?;
        let after_first = bench.look()?;
        assert_eq!(bench.attached()?.as_deref(), attached);
        let second = bench.up(mode, &bench.vips())?;
        assert!(bench.look()? == after_first, "{second}");
        assert_eq!(first.lines().count(), second.lines().count());
        for line in second.lines() {
            assert!(line.contains(" already"), "{line}");
        }
        assert!(after_first != before, "{first}");

        let vips = list(&bench.vips());
        bench.elb(&format!("down {vips} --mode {mode} --interface {DEVICE}"))?;
        assert_eq!((bench.look()?, bench.attached()?), (before, None));
        assert!(!bench.pin_dir().exists());

        let nothing = bench.elb("down --all")?;
        assert_eq!(nothing, "no virtual address is set up here\n");
    }
    Ok(())
}

#[test]
fn what_is_done_is_said_and_is_so() -> Result<()> {
    let bench = Bench::new()?;
    let read = |path: &str| -> Result<String> {
        let path = Path::new("/proc/sys/net/ipv4/conf").join(path);
        Ok(bench.host().run(|| fs::read_to_string(path))??.trim().to_owned())
    };
    bench.host().sysctl(&format!("ipv4/conf/{DEVICE}/rp_filter"), "1")?;
    bench.host().sysctl("ipv4/conf/all/arp_announce", "2")?;

    assert_eq!(
        bench.up("ipip", &bench.vips())?,
        "set net.ipv4.conf.all.arp_ignore from 0 to 1\n\
         set net.ipv4.conf.eth0.arp_ignore from 0 to 1\n\
         net.ipv4.conf.all.arp_announce is 2 already\n\
         set net.ipv4.conf.eth0.arp_announce from 0 to 2\n\
         set net.ipv4.conf.eth0.rp_filter from 1 to 2\n\
         added 10.0.0.100/32 to lo\n\
         added fd00::100/128 to lo\n\
         decap unwraps packets for 10.0.0.100 now\n\
         decap unwraps packets for fd00::100 now\n\
         attached decap to eth0 (native)\n"
    );
    for (path, value) in [
        ("all/arp_ignore", "1"),
        ("eth0/arp_ignore", "1"),
        ("all/arp_announce", "2"),
        ("eth0/arp_announce", "2"),
        ("all/rp_filter", "0"),
        ("eth0/rp_filter", "2"),
    ] {
        assert_eq!(read(path)?, value, "{path}");
    }
    let report: Value = serde_json::from_str(&bench.elb("down --all -o json")?)?;
    let steps: Vec<_> = report["steps"].as_array().into_iter().flatten().collect();
    assert_eq!(steps[0]["step"], "detached");
    assert!(steps.iter().any(|step| step["sysctl"] == "net.ipv4.conf.eth0.rp_filter"));
    assert_eq!((read("all/arp_announce")?, read("eth0/rp_filter")?), ("2".into(), "1".into()));
    Ok(())
}

#[test]
fn an_address_comes_and_goes_beside_another() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    let [v4, v6] = bench.vips();
    bench.up("ipip", &[v4])?;
    let with_one = bench.look()?;
    assert!(bench.serves(Family::V4, v4)?);

    let added = bench.up("ipip", &[v6])?;
    assert_eq!(
        added,
        "added fd00::100/128 to lo\n\
         decap unwraps packets for fd00::100 now\n\
         decap is attached to eth0 already (native)\n"
    );
    assert!(bench.serves(Family::V4, v4)? && bench.serves(Family::V4, v6)?);

    let removed = bench.elb(&format!("down --vip {v6} --vip 192.0.2.77"))?;
    assert_eq!(
        removed,
        "192.0.2.77 is not set up here\n\
         decap unwraps packets for fd00::100 no more\n\
         removed fd00::100/128 from lo\n"
    );
    assert_eq!(bench.look()?, with_one);
    assert!(bench.serves(Family::V6, v4)?);

    bench.elb(&format!("down --vip {v4}"))?;
    assert_eq!((bench.look()?, bench.attached()?), (before, None));
    Ok(())
}

#[test]
fn what_others_did_stays() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    bench.host().ip(&format!("address add {v4}/32 dev lo"))?;
    bench.up("l2", &[v4, v6])?;
    bench.host().sysctl("ipv4/conf/all/arp_ignore", "2")?;
    bench.host().ip(&format!("address del {v6}/128 dev lo"))?;

    let down = bench.elb("down --all")?;
    assert_eq!(
        down,
        "left 10.0.0.100/32: it was there before\n\
         fd00::100/128 is not on lo any more\n\
         set net.ipv4.conf.eth0.arp_announce back from 2 to 0\n\
         set net.ipv4.conf.all.arp_announce back from 2 to 0\n\
         set net.ipv4.conf.eth0.arp_ignore back from 1 to 0\n\
         left net.ipv4.conf.all.arp_ignore at 2: somebody changed the 1 that was set here\n"
    );
    Ok(())
}

#[test]
fn nobody_learns_who_has_the_address() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    // Without the settings, the host would answer: the test can fail.
    bench.host().ip(&format!("address add {v4}/32 dev lo"))?;
    assert!(resolves(bench.lab.client(), v4)?);
    bench.host().ip(&format!("address del {v4}/32 dev lo"))?;
    bench.lab.client().ip(&format!("neighbour flush dev {DEVICE}"))?;

    bench.up("l2", &[v4, v6])?;
    assert!(!resolves(bench.lab.client(), v4)?);
    assert!(!resolves(bench.lab.client(), v6)?);
    Ok(())
}

/// Whether anybody tells `netns` the Ethernet address of `ip`.
fn resolves(netns: &NetNs, ip: IpAddr) -> Result<bool> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    netns.run(|| UdpSocket::bind((any, 0))?.send_to(b"who?", (ip, PORT)))??;
    let found = elb_tests::wait::wait_for("an answer or none", LIMIT, || {
        let neighbors = self::ip(netns, &["neighbour", "show", "to", &ip.to_string()])?;
        let neighbors: Value = serde_json::from_str(&neighbors)?;
        let state = neighbors[0]["state"][0].as_str().unwrap_or("NONE").to_owned();
        Ok((state != "INCOMPLETE" && state != "NONE").then_some(state))
    })?;
    Ok(found != "FAILED")
}

#[test]
fn the_address_is_not_a_source_of_the_hosts_own_connections() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    bench.up("l2", &[v4, v6])?;
    let source = |target: IpAddr, any: &str| -> Result<Option<IpAddr>> {
        let any: IpAddr = any.parse()?;
        bench.host().run(|| {
            let socket = UdpSocket::bind((any, 0))?;
            let connected = socket.connect((target, PORT));
            Ok(connected.ok().and(socket.local_addr().ok()).map(|address| address.ip()))
        })?
    };
    for (family, any) in [(Family::V4, "0.0.0.0"), (Family::V6, "::")] {
        let target = bench.lab.client_addr(family);
        assert_eq!(source(target, any)?, Some(bench.lab.member_addr(0, family)));
    }
    // Where the interface has no address, the kernel looks at lo: for scope host in vain.
    let own = bench.lab.member_addr(0, Family::V4);
    bench.host().ip(&format!("address del {own}/24 dev {DEVICE}"))?;
    bench.host().ip(&format!("route add 10.0.0.0/24 dev {DEVICE}"))?;
    let client = bench.lab.client_addr(Family::V4);
    assert_ne!(source(client, "0.0.0.0")?, Some(v4));
    // With the usual scope it would be a source: the test can fail.
    bench.elb("down --all")?;
    bench.host().ip(&format!("address add {v4}/32 dev lo scope global"))?;
    assert_eq!(source(client, "0.0.0.0")?, Some(v4));
    Ok(())
}

#[test]
fn a_set_up_that_cannot_be_changes_nothing() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    let [v4, _] = bench.vips();
    let member = bench.lab.member_addr(0, Family::V4);
    for (arguments, said) in [
        (format!("--vip {v4} --mode ipip --interface none0"), "interface \"none0\" does not exist"),
        (format!("--vip {v4} --mode ipip --interface lo"), "do not come in by lo"),
        (format!("--vip {v4} --mode ipip"), "there is no default route"),
        (format!("--vip {member} --mode ipip --interface {DEVICE}"), "is on interface \"eth0\""),
        (format!("--vip 127.0.0.1 --mode l2 --interface {DEVICE}"), "a loopback address"),
    ] {
        let error = bench.refused(&format!("up {arguments}"))?;
        assert!(error.contains(said), "{error}");
        assert_eq!(bench.look()?, before, "{arguments}");
    }
    let mut elsewhere = bench.host().command(&bench.elb);
    elsewhere.args(["backend", "up", "--mode", "ipip", "--interface", DEVICE, "--vip"]);
    elsewhere.arg(v4.to_string()).arg("--pin-dir").arg(bench.lab.files());
    elsewhere.arg("--state-dir").arg(bench.state_dir());
    let error = refusal(elsewhere)?;
    assert!(error.contains("is not in a BPF file system"), "{error}");
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn a_step_that_fails_takes_back_those_before_it() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    // The program of another owner is in the way: the last step fails.
    let _other = elb_tests::xdp::XdpPass::attach(bench.host(), &[DEVICE])?;
    let before = bench.look()?;
    let both = list(&[v4, v6]);
    let error = bench.refused(&format!("up {both} --mode ipip --interface {DEVICE}"))?;
    assert!(error.contains("already carries another XDP program"), "{error}");
    assert!(error.contains("undone: removed 10.0.0.100/32 from lo"), "{error}");
    assert!(!error.contains("not undone"), "{error}");
    assert_eq!(bench.look()?, before);

    // What an earlier call did stays.
    bench.up("l2", &[v4])?;
    let with_one = bench.look()?;
    let error = bench.refused(&format!("up {both} --mode ipip --interface {DEVICE}"))?;
    assert!(error.contains("undone: removed fd00::100/128 from lo"), "{error}");
    assert_eq!(bench.look()?, with_one);
    bench.elb("down --all")?;
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn the_network_stack_runs_the_program_where_it_is_told_to() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, _] = bench.vips();
    let up = format!("up --vip {v4} --mode ipip --interface {DEVICE}");
    let said = bench.elb(&format!("{up} --attach generic"))?;
    assert!(said.ends_with("attached decap to eth0 (generic)\n"), "{said}");
    assert_eq!(bench.attached()?.as_deref(), Some("generic decap"));
    assert!(bench.serves(Family::V4, v4)?);
    let said = bench.elb(&up)?;
    assert!(said.ends_with("decap is attached to eth0 already (generic)\n"), "{said}");
    let error = bench.refused(&format!("{up} --attach native"))?;
    assert!(error.contains("in generic mode"), "{error}");
    assert!(bench.serves(Family::V4, v4)?);
    Ok(())
}

#[test]
fn a_driver_that_cannot_is_told_and_replaced_by_the_network_stack() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, _] = bench.vips();
    // Bridges cannot run programs themselves.
    let member = bench.lab.member_addr(0, Family::V4);
    bench.host().ip(&format!(
        "link add br0 type bridge forward_delay 0\n\
         link set {DEVICE} master br0\n\
         address del {member}/24 dev {DEVICE}\n\
         address add {member}/24 dev br0\n\
         link set br0 up"
    ))?;
    let up = format!("up --vip {v4} --mode ipip --interface br0");
    let before = bench.look()?;
    let error = bench.refused(&format!("{up} --attach native"))?;
    assert!(error.contains("\"br0\" cannot run XDP in its driver: Operation not supp"), "{error}");
    assert!(bench.look()? == before, "{error}");

    let said = bench.elb(&up)?;
    assert!(said.contains("(generic, which is slower: the driver refused native XDP:"), "{said}");
    assert!(bench.serves(Family::V4, v4)?);
    Ok(())
}

#[test]
fn the_interface_of_the_default_route_is_taken() -> Result<()> {
    let bench = Bench::new()?;
    let gateway = bench.lab.client_addr(Family::V4);
    bench.host().ip(&format!("route add default via {gateway} dev {DEVICE} metric 5"))?;
    let said = bench.elb(&format!("up --vip {} --mode ipip", bench.lab.vip4()))?;
    assert!(said.ends_with("attached decap to eth0 (native)\n"), "{said}");
    Ok(())
}

#[test]
fn two_set_ups_do_not_share_a_host() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    bench.up("ipip", &[v4])?;
    let before = bench.look()?;
    let mut second = bench.host().command(&bench.elb);
    second.args(["backend", "up", "--mode", "ipip", "--interface", DEVICE, "--vip"]);
    second.arg(v6.to_string()).arg("--pin-dir").arg(bench.lab.pins().join("second"));
    second.arg("--state-dir").arg(bench.state_dir());
    let error = refusal(second)?;
    assert!(error.contains("has a set-up with pin_dir"), "{error}");
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn a_broken_state_file_is_kept_and_told() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, _] = bench.vips();
    bench.up("ipip", &[v4])?;
    let state = files(&bench.state_dir()).remove(0);
    let text = fs::read_to_string(&state)?;
    fs::write(&state, &text[..20])?;
    let broken = bench.look()?;
    for arguments in
        [format!("up --vip {v4} --mode ipip --interface {DEVICE}"), "down --all".into()]
    {
        let error = bench.refused(&arguments)?;
        assert!(error.contains("cannot be understood"), "{error}");
        assert_eq!(bench.look()?, broken);
        assert_eq!(fs::read_to_string(&state)?, text[..20]);
    }
    fs::write(&state, text)?;
    bench.elb("down --all")?;
    assert_eq!(bench.attached()?, None);
    Ok(())
}
