//! The check is pickier than the clients (K12): servers that every browser reaches are ONLINE.

pub(crate) mod canned;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    netns::NetNs,
    status,
};
use serde_json::Value;

use self::canned::{Canned, end, offers_the_old, read_request, server_hello};

/// How long anything may take that is not measured.
const LIMIT: Duration = Duration::from_secs(40);
/// Connections of a client to each service.
const TRIES: usize = 5;

/// Pools of one member, each on a port of its own and checked in its own way, behind one address.
struct Services {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    lab: Lab,
}

impl Services {
    fn start(lab: Lab, services: &[(u16, HealthMonitor)]) -> Result<Self> {
        lab.backends_up(Forwarding::Ipip)?;
        let config = services.iter().fold(Config::new(&lab), |config, (port, monitor)| {
            let name = format!("pool-{port}");
            let pool = Pool::of(&lab, &name, Family::V4, Protocol::Tcp, *port);
            config.balance(&lab, Family::V4, *port, pool.watched(monitor.clone()))
        });
        Ok(Self { agent: Agent::start(&lab, &config)?, lab })
    }

    /// Waits until the member of a pool is in a state; all that is said of it then.
    fn wait(&self, port: u16, state: &str) -> Result<Value> {
        let member = |said: &Value| {
            status::pool(said, &format!("pool-{port}")).map(|pool| pool["members"][0].clone())
        };
        let is_there =
            |said: &Value| member(said).is_some_and(|one| one["operating_status"] == state);
        let said = self.agent.wait_status(&format!("{port} {state}"), LIMIT, is_there)?;
        member(&said).context("the pool went")
    }

    /// What a client gets that says this to a service.
    fn ask(&self, port: u16, words: &[u8]) -> Result<Vec<u8>> {
        let service = self.lab.service(Family::V4, port);
        self.lab.client().run(|| -> Result<Vec<u8>> {
            let mut stream = TcpStream::connect_timeout(&service, Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(words)?;
            let mut answer = vec![0; 64];
            let read = stream.read(&mut answer)?;
            answer.truncate(read);
            Ok(answer)
        })?
    }

    /// Every connection of a client gets an answer that begins so.
    fn is_served(&self, port: u16, words: &[u8], begins: &[u8]) -> Result<()> {
        for _ in 0..TRIES {
            let answer = self.ask(port, words).with_context(|| format!("port {port}"))?;
            ensure!(answer.starts_with(begins), "port {port}: {answer:?}");
        }
        Ok(())
    }
}

fn one_backend() -> Result<Lab> {
    Lab::builder().backends(1).start()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
/// What opens TLS, the part that these servers look at.
const OLD_CLIENT: &[u8] = &[22, 3, 1, 0, 2, 0, 0x2f];

/// How a server of the past refuses suites of today.
#[derive(Clone, Copy)]
enum Refuses {
    Alert,
    Reset,
    /// It says something of the name first, and goes on.
    Warning,
}

fn old_tls(netns: &NetNs, port: u16, refuses: Refuses) -> Result<Canned> {
    Canned::start(netns, port, move |stream| {
        match (offers_the_old(stream)?, refuses) {
            (true, Refuses::Warning) => {
                let hello = server_hello([3, 2], [0, 0x39]);
                end(stream, &[&[21, 3, 1, 0, 2, 1, 112][..], &hello].concat())
            }
            (true, _) => end(stream, &server_hello([3, 1], [0, 0x2f])),
            (false, Refuses::Reset) => {
                // What TLS of Windows Server 2012 does.
                let socket = socket2::SockRef::from(&*stream);
                Ok(socket.set_linger(Some(Duration::ZERO))?)
            }
            (false, _) => end(stream, &[21, 3, 1, 0, 2, 2, 40]),
        }
    })
}

#[test]
fn servers_of_the_past_answer_tls() -> Result<()> {
    let lab = one_backend()?;
    let ways = [
        (1001, MonitorKind::Tls, Refuses::Alert),
        (1002, MonitorKind::Https, Refuses::Alert),
        (1003, MonitorKind::Tls, Refuses::Reset),
        (1004, MonitorKind::Https, Refuses::Reset),
        (1005, MonitorKind::Tls, Refuses::Warning),
    ];
    let start = |(port, _, refuses)| old_tls(lab.backend(0), port, refuses);
    let _servers = ways.map(start).into_iter().collect::<Result<Vec<_>>>()?;
    // What answers in another protocol is still no TLS.
    let mail = b"220 mail.example ESMTP\r\n".to_vec();
    let _mail = Canned::start(lab.backend(0), 1009, move |stream| end(stream, &mail))?;
    let mut services = ways.map(|(port, kind, _)| (port, HealthMonitor::patient(kind))).to_vec();
    services.push((1009, HealthMonitor::patient(MonitorKind::Tls)));
    let services = Services::start(lab, &services)?;
    for (port, ..) in ways {
        services.wait(port, "ONLINE")?;
        let begins: &[u8] = if port == 1005 { &[21, 3] } else { &[22, 3] };
        services.is_served(port, OLD_CLIENT, begins)?;
    }
    let said = services.wait(1009, "OFFLINE")?;
    assert_eq!(said["reason"]["detail"], "the answer is not TLS", "{said}");
    // That less is checked than was asked for is said, once.
    let log = services.agent.log();
    assert!(log.contains("an HTTPS check cannot ask for a status"), "{log}");
    Ok(())
}

/// What browsers show without a word.
fn odd_answers() -> [(u16, Vec<u8>); 6] {
    let head = "HTTP/1.1 200 OK\r\n";
    let many = (0..101).map(|n| format!("X-{n}: {n}\r\n")).collect::<String>();
    let cookies = format!("Set-Cookie: {}\r\n", "c".repeat(4000)).repeat(5);
    [
        (1010, format!("{head}{many}{cookies}\r\nok").into_bytes()),
        (1011, format!("{head}X-A : b\r\n folded\r\n\tmore\r\n\r\nok").into_bytes()),
        (1012, format!("{head}Content-Length: 9\r\nContent-Length: 7\r\n\r\nok").into_bytes()),
        (1013, format!("{head}Content-Length: -1\r\nTransfer-Encoding: x\r\n\r\nok").into_bytes()),
        // Not among the reports: hints before the answer, and bytes that are no text.
        (1014, format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{head}\r\n").into_bytes()),
        (1015, [b"HTTP/1.1 200 \xff\xfe\nX\nY: \x01\n\n", &[0xff; 70_000][..]].concat()),
    ]
}

#[test]
fn the_status_line_decides() -> Result<()> {
    let lab = one_backend()?;
    let answers = odd_answers();
    let start =
        |(port, answer): &(u16, Vec<u8>)| Canned::http(lab.backend(0), *port, answer.clone());
    let _servers = answers.iter().map(start).collect::<Result<Vec<_>>>()?;
    // One that is no server of HTTP until it is repaired.
    let is_repaired = Arc::new(AtomicBool::new(false));
    let repaired = is_repaired.clone();
    let _ssh = Canned::start(lab.backend(0), 1019, move |stream| {
        let is_http = repaired.load(Ordering::Relaxed);
        read_request(stream)?;
        end(stream, if is_http { b"HTTP/1.0 200 OK\r\n\r\n" } else { b"SSH-2.0-OpenSSH_9.2\r\n" })
    })?;
    let http = || HealthMonitor::patient(MonitorKind::Http);
    let mut checks: Vec<_> = answers.iter().map(|(port, _)| (*port, http())).collect();
    checks.push((1019, http()));
    let services = Services::start(lab, &checks)?;
    for (port, _) in &answers {
        services.wait(*port, "ONLINE")?;
        services.is_served(*port, GET, b"HTTP/1.1")?;
    }
    let said = services.wait(1019, "OFFLINE")?;
    let detail = said["reason"]["detail"].as_str().unwrap_or_default();
    assert_eq!(detail, "the answer is not HTTP: it begins with \"SSH-2.0-OpenSSH_9.2\"", "{said}");
    let address = services.lab.member_addr(0, Family::V4);
    let diagnosis = services.agent.diagnose(&[&format!("{address}:1019")])?;
    assert_eq!(diagnosis.cause(), Some("configuration"), "{}", diagnosis.report());
    assert!(diagnosis.evidence().contains("does not speak HTTP"), "{}", diagnosis.report());
    is_repaired.store(true, Ordering::Relaxed);
    services.wait(1019, "ONLINE")?;
    services.is_served(1019, GET, b"HTTP/1.0 200")
}

/// A server that answers only requests like those of clients.
fn strict(netns: &NetNs, port: u16, host: String) -> Result<Canned> {
    Canned::start(netns, port, move |stream| {
        let request = read_request(stream)?.to_lowercase();
        let answer = if !request.contains(&format!("\r\nhost: {host}\r\n")) {
            "HTTP/1.1 400 Which host?\r\n\r\n"
        } else if !request.contains("\r\naccept: */*\r\n") {
            "HTTP/1.1 406 Not Acceptable\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\n\r\n"
        };
        end(stream, answer.as_bytes())
    })
}

#[test]
fn a_probe_asks_as_clients_do_and_ends_in_order() -> Result<()> {
    let lab = one_backend()?;
    let netns = lab.backend(0);
    let http = || HealthMonitor::patient(MonitorKind::Http);
    let vip = lab.vip4();
    let hosts = [
        (80, vip.to_string(), http()),
        (1020, format!("{vip}:1020"), http()),
        (1021, "web:1021".to_owned(), http().host("web")),
        (1022, "my_host.example:8080".to_owned(), http().host("my_host.example:8080")),
    ];
    let start = |(port, host, _): &(u16, String, _)| strict(netns, *port, host.clone());
    let _servers = hosts.iter().map(start).collect::<Result<Vec<_>>>()?;
    let body = |length: usize| {
        [
            format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(),
            &vec![b'x'; length],
        ]
        .concat()
    };
    let bodies = [(1023, body(200_000)), (1024, body(7))];
    let start = |(port, answer): &(u16, Vec<u8>)| Canned::http(netns, *port, answer.clone());
    let written = bodies.iter().map(start).collect::<Result<Vec<_>>>()?;
    let checks = hosts.iter().map(|(port, _, monitor)| (*port, monitor.clone()));
    let checks = checks.chain(bodies.iter().map(|(port, _)| (*port, http()))).collect::<Vec<_>>();
    let services = Services::start(lab, &checks)?;
    for (port, _) in &checks {
        services.wait(*port, "ONLINE")?;
    }
    for (port, host, _) in &hosts {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
        services.is_served(*port, request.as_bytes(), b"HTTP/1.1 200")?;
    }
    let enough = |server: &Canned| server.served() + server.broken() >= 4;
    elb_tests::wait::wait_for("four probes of each", LIMIT, || {
        Ok(written.iter().all(enough).then_some(()))
    })?;
    for server in &written {
        assert_eq!(server.broken(), 0, "a server was disturbed while it wrote");
    }
    Ok(())
}
