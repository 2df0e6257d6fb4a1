//! Clients of others, each of which sees whether all arrives as it was sent.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{daemon::daemon, environment::python, lab::Lab, process::output, wait::STUCK};
use serde_json::Value;

use super::servers::{self, Member};
use crate::fullnat::is_source;

/// Bytes of what is carried up and down.
const BYTES: usize = 3_000_000;
/// Requests or questions in a row.
const SOME: usize = 24;

/// The client of a lab, and the virtual address that it knows.
pub(super) struct Client<'l> {
    pub(super) lab: &'l Lab,
    pub(super) vip: IpAddr,
    /// What servers know it by.
    pub(super) known: Known,
}

/// What servers know a client by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its own address and port.
    Itself,
    /// A source address of the load balancer.
    Source,
    /// An IPv6 address that holds its own, and its port.
    Embedded,
}

impl Known {
    /// Checks what a server knows a client by, an address and a port, as the client itself has them.
    fn check(self, name: &str, seen: &str, own: &str) -> Result<()> {
        let parts = |text: &str| -> Result<(String, String)> {
            let (address, port) = text.split_once(' ').context("an address and a port")?;
            Ok((address.to_owned(), port.to_owned()))
        };
        let ((address, port), (own_address, own_port)) = (parts(seen)?, parts(own)?);
        match self {
            Self::Itself => assert_eq!(seen, own, "{name} knows another client"),
            Self::Source => assert!(is_source(&address), "{name} knows {seen}"),
            Self::Embedded => {
                let [.., a, b, c, d] = address.parse::<Ipv6Addr>()?.octets();
                let client = Ipv4Addr::new(a, b, c, d);
                assert_eq!((client.to_string(), port), (own_address, own_port), "{name}");
            }
        }
        Ok(())
    }
}

impl Client<'_> {
    /// Connections that each carry a request, and one that carries many. Servers know who asks.
    pub(super) fn requests(&self) -> Result<()> {
        let url = format!("{}/who?[1-{SOME}]", self.url());
        let mut names = BTreeSet::new();
        for header in ["Connection: close", "Connection: keep-alive"] {
            let said = self.curl(&["-H", header, "-w", "%{local_ip} %{local_port}\n", &url])?;
            let lines: Vec<&str> = said.lines().collect();
            ensure!(lines.len() == 2 * SOME, "{said}");
            let mut connections = BTreeSet::new();
            for pair in lines.chunks(2) {
                let (name, client) = pair[0].split_once(' ').context("a name")?;
                self.known.check(name, client, pair[1])?;
                names.insert(name.to_owned());
                connections.insert(client);
            }
            let each = header.ends_with("close");
            assert_eq!(connections.len(), if each { SOME } else { 1 }, "{header}");
        }
        self.came_from_all(&names);
        Ok(())
    }

    /// Contents up and down.
    pub(super) fn contents(&self, members: &[Member]) -> Result<()> {
        let (bytes, file) = self.random("contents", BYTES)?;
        members.iter().try_for_each(|member| member.offer("down", &bytes))?;
        let got = self.lab.files().join("got");
        for _ in 0..2 {
            let url = format!("{}/down", self.url());
            self.curl(&["-o", &got.display().to_string(), &url])?;
            assert!(fs::read(&got)? == bytes, "other contents come down");
        }
        let name = format!("up-{}", if self.vip.is_ipv6() { 6 } else { 4 });
        let url = format!("{}/{name}", self.url());
        self.curl(&["-T", &file.display().to_string(), &url])?;
        let stored: Vec<_> = members.iter().filter_map(|member| member.stored(&name)).collect();
        assert!(stored == [bytes], "other contents come up");
        Ok(())
    }

    /// Answers of a packet, in fragments, and over TCP.
    pub(super) fn names(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for over in ["+notcp", "+tcp"] {
            for _ in 0..SOME / 2 {
                let said = self.dig(&[servers::SMALL, over])?;
                seen.insert(said.trim().trim_matches('"').to_owned());
            }
        }
        self.came_from_all(&seen);
        for _ in 0..4 {
            let large = self.dig(&[servers::LARGE, "+bufsize=4096", "+ignore"])?;
            assert_eq!(large.matches('"').count(), 2 * 15, "{large}");
        }
        let huge = self.dig(&[servers::HUGE])?;
        assert_eq!(huge.matches('"').count(), 2 * 100, "{huge}");
        Ok(())
    }

    /// A client that closes its side, and is answered then.
    pub(super) fn halves(&self) -> Result<()> {
        let (_, file) = self.random("half", BYTES)?;
        let expected = output(self.command("sha256sum", &[&file.display().to_string()]), STUCK)?;
        let target = SocketAddr::new(self.vip, servers::DIGEST);
        let digest = self.socat(&file, &format!("TCP:{target}"))?;
        assert_eq!(digest.split(' ').next(), expected.split(' ').next());
        Ok(())
    }

    /// Datagrams that fit into a packet, and that do not, both ways.
    pub(super) fn datagrams(&self) -> Result<()> {
        for size in [1, 1_000, 4_000, 8_000] {
            let (bytes, file) = self.random("datagram", size)?;
            let target = SocketAddr::new(self.vip, servers::REPEAT);
            let got = self.lab.files().join("repeated");
            let to = format!("UDP:{target},readbytes={size}");
            let sent = self.socat_to(&file, &got, &to);
            // The first of the fragments that do not fit on their way is answered with the size that does.
            let is_informed = self.known == Known::Embedded
                && sent.as_ref().is_err_and(|error| format!("{error:#}").contains("too long"));
            if is_informed {
                self.socat_to(&file, &got, &to)?;
            } else {
                sent?;
            }
            assert!(fs::read(&got)? == bytes, "{size} bytes come back as others");
        }
        Ok(())
    }

    /// Streams and datagrams as fast as they go, both ways.
    pub(super) fn streams(&self) -> Result<()> {
        // What is under way when all was sent, the receiver does not count any more.
        let many: &[&str] = &["-n", "20M", "-P", "2"];
        let datagrams: &[&str] = &["-u", "-n", "3M", "-b", "40M", "-l", "1200"];
        for (arguments, least) in [(many, 5 << 20), (datagrams, 1)] {
            for way in [&[][..], &["-R"]] {
                let report = self.iperf(&[arguments, way].concat())?;
                let sum = &report["end"];
                let received = ["sum_received", "sum"]
                    .iter()
                    .find_map(|name| sum[name]["bytes"].as_u64())
                    .with_context(|| report.to_string())?;
                assert!(received >= least, "{received} bytes: {report}");
                if arguments == datagrams {
                    let count = |name| sum["sum"][name].as_u64().unwrap_or_default();
                    assert!(count("packets") > 2 * count("lost_packets"), "{report}");
                }
            }
        }
        Ok(())
    }

    /// Letters and conversations.
    pub(super) fn mail_and_chat(&self) -> Result<()> {
        let mut command = self.lab.client().command(python()?);
        command.arg(servers::script()).arg("ask").arg(self.vip.to_string());
        command.args([servers::MAIL, servers::CHAT].map(|port| port.to_string())).arg("7");
        let said = output(command, STUCK)?;
        self.came_from_all(&said.split_whitespace().map(str::to_owned).collect());
        Ok(())
    }

    fn came_from_all(&self, names: &BTreeSet<String>) {
        let all = (0..self.lab.backends().len()).map(|index| self.lab.backend_name(index));
        assert_eq!(names, &all.collect(), "{}", self.vip);
    }

    fn url(&self) -> String {
        format!("http://{}", SocketAddr::new(self.vip, servers::WEB))
    }

    fn curl(&self, arguments: &[&str]) -> Result<String> {
        let usual = ["-sS", "--fail", "--max-time", "100"];
        output(self.command("curl", &[&usual, arguments].concat()), STUCK)
    }

    fn dig(&self, arguments: &[&str]) -> Result<String> {
        let mut command = daemon(self.lab.client(), "dig")?;
        command.arg(format!("@{}", self.vip)).args(["TXT", "+short", "+tries=2", "+time=20"]);
        command.args(arguments);
        output(command, STUCK)
    }

    fn socat(&self, file: &Path, target: &str) -> Result<String> {
        let got = self.lab.files().join("said");
        self.socat_to(file, &got, target)?;
        Ok(fs::read_to_string(got)?)
    }

    fn socat_to(&self, file: &Path, got: &Path, target: &str) -> Result<()> {
        let files = format!("OPEN:{},rdonly!!CREATE:{}", file.display(), got.display());
        output(self.command("socat", &["-t", "100", &files, target]), STUCK).map(drop)
    }

    fn iperf(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = daemon(self.lab.client(), "iperf3")?;
        command.arg("-c").arg(self.vip.to_string()).args(["-p", "5201", "-J"]).args(arguments);
        Ok(serde_json::from_str(&output(command, STUCK)?)?)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = self.lab.client().command(program);
        command.args(arguments);
        command
    }

    fn random(&self, name: &str, size: usize) -> Result<(Vec<u8>, PathBuf)> {
        let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(size).collect();
        let file = self.lab.files().join(name);
        fs::write(&file, &bytes)?;
        Ok((bytes, file))
    }
}
