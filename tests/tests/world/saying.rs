//! What is inherent is documented, warned of, and explained rightly.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{Load, http_requests},
    config::{Config, Forwarding, Member, Pool, Protocol},
    lab::Lab,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

const LIMIT: Duration = Duration::from_secs(20);

/// Of so many questions over UDP, each from a port of its own, how many are answered.
fn questions(lab: &Lab, target: SocketAddr, count: usize) -> Result<usize> {
    lab.client().run(|| -> Result<usize> {
        let sockets = (0..count).map(|_| -> Result<UdpSocket> {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.connect(target)?;
            Ok(socket)
        });
        let sockets = sockets.collect::<Result<Vec<_>>>()?;
        let mut answered = 0;
        // A flow counts with its second packet.
        for socket in &sockets {
            let ask = || -> bool {
                let asked = socket.send(b"question\n").is_ok();
                asked && socket.recv(&mut [0; 512]).is_ok()
            };
            answered += usize::from(ask() && ask());
            if answered + 3 < sockets.len() && answered >= 20 {
                // Beyond the limit each question waits for its timeout: a few are enough.
                let more = sockets[answered..answered + 3].iter();
                let late = more.filter(|socket| {
                    socket.send(b"question\n").is_ok() && socket.recv(&mut [0; 512]).is_ok()
                });
                return Ok(answered + late.count());
            }
        }
        Ok(answered)
    })?
}

/// UDP questions are connections without an end: the warning says what then happens, and it does.
#[test]
fn a_limit_of_udp_connections_is_warned_of() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let pool = Pool::of(&lab, "dns", Family::V4, Protocol::Udp, ECHO_PORT).by("ROUND_ROBIN");
    let mut config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, pool);
    let unlimited = config.text()?;
    config.listener_mut("dns").max_connection = 20;
    let agent = Agent::start(&lab, &config)?;
    agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    let file = agent.file().display().to_string();
    let check = |more: &[&str]| agent.end(&[&["check", "--config", &file], more].concat(), LIMIT);
    let said = check(&[])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let words = "warning: load balancer \"lb-0\", listener \"dns\": a UDP flow has no end: each question of \
                 a client counts as a connection until it was idle for 300 s, so 20 questions";
    assert!(said.printed.contains(words), "{said:?}");
    assert_eq!(check(&["--strict"])?.code, Some(1));
    let json = elb_tests::printed::value(&["check"], &check(&["-o", "json"])?.printed)?;
    assert_eq!(json[0]["severity"], "warning", "{json}");
    assert!(json[0]["line"].as_u64().is_some_and(|line| line > 1), "{json}");

    let target = lab.service(Family::V4, ECHO_PORT);
    assert_eq!(questions(&lab, target, 60)?, 20);
    assert!(status::packets_of(&agent.status()?, "connection_limit") > 0);
    agent.write(&unlimited)?;
    assert_eq!(agent.end(&["reload", "--wait"], LIMIT)?.code, Some(0));
    assert_eq!(check(&["--strict"])?.code, Some(0));
    assert_eq!(questions(&lab, target, 20)?, 20);
    drop((agent, servers));
    Ok(())
}

/// The load balancer as a member of its own pool: warned of, said in the status, and others serve.
#[test]
fn a_load_balancer_that_is_its_own_member_is_warned_of() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let said = lab.lb().ip("addr show dev lb0")?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "inet").skip(1);
    let own = words.next().and_then(|one| one.split('/').next()).unwrap_or_default().to_owned();
    let mut pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    pool.members.push(Member {
        address: own.parse()?,
        protocol_port: HTTP_PORT,
        weight: 1,
        backup: false,
        max_connection: 0,
    });
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
    let agent = Agent::start(&lab, &config)?;
    let member = |said: &serde_json::Value| {
        let own = status::member(said, "web", own.parse().ok()?)?;
        own["unreachable"].as_str().map(str::to_owned)
    };
    let others = |said: &serde_json::Value| {
        (0..2).all(|n| {
            let one = status::member(said, "web", lab.member_addr(n, Family::V4));
            one.is_some_and(|one| one["slots"] != 0)
        })
    };
    let said = agent.wait_status("the others to serve", LIMIT, others)?;
    let why = member(&said).unwrap_or_default();
    assert!(why.contains("is an address of the load balancer itself"), "{said}");
    let file = agent.file().display().to_string();
    let check = agent.end(&["check", "--config", &file], LIMIT)?;
    assert_eq!(check.code, Some(0), "{check:?}");
    let words =
        format!("{own} is an address of this host (lb0), which cannot be a member of its own pool");
    assert!(check.printed.contains(&words), "{check:?}");
    let web = lab.service(Family::V4, HTTP_PORT);
    assert_eq!(http_requests(lab.client(), Load::on(web), 60)?.failures().len(), 0);
    drop((agent, servers));
    Ok(())
}

/// Packets of the load balancer itself never meet the program, and those of a member to a virtual address that
/// it has reach itself: `elb explain` says so instead of where they would go.
#[test]
fn packets_that_never_come_here_are_explained_as_such() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::builder().backends(2).families(Families::Both).start()?;
        let mut servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pool = Pool::of(&lab, "web", family, Protocol::Tcp, HTTP_PORT);
        let config = Config::new(&lab).balance(&lab, family, HTTP_PORT, pool);
        let agent = Agent::start(&lab, &config)?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        let vip = lab.service(family, HTTP_PORT).to_string();
        let explain = |source: &str| {
            let source =
                if family == Family::V6 { format!("[{source}]") } else { source.to_owned() };
            let source = format!("{source}:50000");
            let arguments = ["explain", "--src", &source, "--dst", &vip, "--proto", "tcp", "--syn"];
            Ok::<_, anyhow::Error>((agent.ask(&arguments)?, agent.run(&arguments)?))
        };
        let own = if family == Family::V4 { "10.0.0.2" } else { "fd00::2" };
        let (shown, text) = explain(own)?;
        assert_eq!(shown["decision"]["fate"], "not seen", "{shown}");
        assert!(text.contains(&format!("{own} is an address of this host")), "{text}");
        assert!(text.contains("without meeting the program"), "{text}");

        let member = lab.member_addr(0, family).to_string();
        let (shown, text) = explain(&member)?;
        assert_eq!(shown["decision"]["fate"], "not seen", "{shown}");
        assert!(text.contains("reaches itself"), "{text}");
        // So it is.
        servers[0].kill()?;
        let refused = http_requests(lab.backend(0), Load::on(lab.service(family, HTTP_PORT)), 3)?;
        assert_eq!(refused.answered(), 0, "its own service does not run");

        let client = lab.client_addr(family).to_string();
        let (shown, _) = explain(&client)?;
        assert_eq!(shown["decision"]["fate"], "forwarded", "{shown}");
    }
    Ok(())
}
