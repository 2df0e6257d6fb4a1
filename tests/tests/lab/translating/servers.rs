//! Servers of others, in members, on ports other than the listeners'.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Result;
use elb_tests::{
    config::Protocol,
    daemon::daemon,
    environment::python,
    lab::Lab,
    netns::NetNs,
    process::Process,
    wait::{STUCK, wait_for},
};

/// What is balanced: by which name, and where listener and members have it.
pub(super) struct Offer {
    pub(super) name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) member_port: u16,
    /// Whether all connections must come to one server, which joins them.
    pub(super) by_one: bool,
}

const fn offer(name: &'static str, protocol: Protocol, port: u16, member_port: u16) -> Offer {
    Offer { name, protocol, port, member_port, by_one: false }
}

pub(super) const WEB: u16 = 80;
pub(super) const DNS: u16 = 53;
pub(super) const DIGEST: u16 = 7000;
pub(super) const REPEAT: u16 = 7001;
pub(super) const IPERF: u16 = 5201;
pub(super) const MAIL: u16 = 25;
pub(super) const CHAT: u16 = 8000;

/// Of programs that are packages of Debian.
pub(super) const OFFERS: [Offer; 7] = [
    offer("web", Protocol::Tcp, WEB, 8080),
    offer("dns", Protocol::Udp, DNS, 5300),
    offer("dns over tcp", Protocol::Tcp, DNS, 5300),
    offer("digest", Protocol::Tcp, DIGEST, 7070),
    offer("repeat", Protocol::Udp, REPEAT, 7071),
    Offer { by_one: true, ..offer("iperf", Protocol::Tcp, IPERF, 5201) },
    Offer { by_one: true, ..offer("iperf datagrams", Protocol::Udp, IPERF, 5201) },
];

/// Of programs in Python.
pub(super) const OFFERS_IN_PYTHON: [Offer; 2] =
    [offer("mail", Protocol::Tcp, MAIL, 2525), offer("chat", Protocol::Tcp, CHAT, 8800)];

/// The zone that is served, and names in it whose answers are of different sizes.
pub(super) const SMALL: &str = "small.example";
/// More than a packet, less than clients take by UDP: it comes in fragments.
pub(super) const LARGE: &str = "large.example";
/// More than clients take by UDP.
pub(super) const HUGE: &str = "huge.example";

/// Programs in a member, and where their files are.
pub(super) struct Member {
    _programs: Vec<Process>,
    folder: PathBuf,
}

impl Member {
    /// nginx, Knot DNS, socat and iperf3.
    pub(super) fn start(lab: &Lab, index: usize) -> Result<Self> {
        let place = Place::new(lab, index)?;
        let programs = vec![
            place.nginx()?,
            place.knot()?,
            place.socat("TCP6-LISTEN:7070,backlog=64", "SYSTEM:sha256sum")?,
            place.socat("UDP6-RECVFROM:7071", "EXEC:cat")?,
            place.iperf()?,
        ];
        place.wait_for_datagrams(7071)?;
        Ok(Self { _programs: programs, folder: place.folder })
    }

    /// A mail server, and one of WebSockets.
    pub(super) fn start_in_python(lab: &Lab, index: usize) -> Result<Self> {
        let place = Place::new(lab, index)?;
        let mut command = lab.backend(index).command(python()?);
        command.arg(script()).arg("serve").arg(&place.name).arg(&place.folder);
        let programs = vec![place.launch("servers in Python", command)?];
        Ok(Self { _programs: programs, folder: place.folder })
    }

    /// Lets clients find this under a name.
    pub(super) fn offer(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(fs::write(self.folder.join("www").join(name), bytes)?)
    }

    /// What was stored under a name.
    pub(super) fn stored(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join("www").join(name)).ok()
    }
}

/// The script whose programs serve and ask.
pub(super) fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/python/translated.py")
}

struct Place<'l> {
    netns: &'l NetNs,
    name: String,
    folder: PathBuf,
}

impl<'l> Place<'l> {
    fn new(lab: &'l Lab, index: usize) -> Result<Self> {
        let name = lab.backend_name(index);
        let folder = lab.files().join(&name);
        fs::create_dir_all(folder.join("www"))?;
        Ok(Self { netns: lab.backend(index), name, folder })
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }

    fn launch(&self, program: &str, mut command: Command) -> Result<Process> {
        let log = File::create(self.folder.join(format!("{program}.log")))?;
        command.stdout(Stdio::null()).stderr(log);
        Process::start(program, command)
    }

    fn nginx(&self) -> Result<Process> {
        let folder = self.folder.display();
        let bodies = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {folder}/{what};"))
            .join(" ");
        let text = format!(
            "daemon off; user root; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_max_body_size 100m; {bodies}\n\
             server {{ listen 8080 backlog=1024; listen [::]:8080 backlog=1024; root {folder}/www;\n\
             location = /who {{ return 200 \"{} $remote_addr $remote_port\\n\"; }}\n\
             location / {{ dav_methods PUT; }} }} }}\n",
            self.name
        );
        let file = self.file("nginx.conf", &text)?;
        let mut command = daemon(self.netns, "nginx")?;
        command.args(["-e", "stderr", "-p"]).arg(&self.folder).arg("-c").arg(file);
        self.launch("nginx", command)
    }

    fn knot(&self) -> Result<Process> {
        let text = |count: usize| {
            let one = |number| format!("\"{number:0>200}\"");
            (0..count).map(one).collect::<Vec<_>>().join(" ")
        };
        let zone = format!(
            "$ORIGIN example.\n$TTL 1\n@ SOA ns hostmaster 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n\
             small TXT \"{}\"\nlarge TXT {}\nhuge TXT {}\n",
            self.name,
            text(15),
            text(100)
        );
        let zone = self.file("zone", &zone)?;
        let folder = self.folder.display();
        let text = format!(
            "server:\n  listen: [ 0.0.0.0@5300, ::@5300 ]\n  rundir: {folder}\n  udp-workers: 1\n  \
             tcp-workers: 1\n  background-workers: 1\n  udp-max-payload: 4096\n\
             database:\n  storage: {folder}/db\nlog:\n  - target: stderr\n    any: warning\n\
             zone:\n  - domain: example.\n    file: {}\n    zonefile-load: whole\n",
            zone.display()
        );
        let file = self.file("knot.conf", &text)?;
        let mut command = daemon(self.netns, "knotd")?;
        command.arg("-c").arg(file);
        self.launch("knotd", command)
    }

    /// For both versions of IP, a child for each client.
    fn socat(&self, listen: &str, does: &str) -> Result<Process> {
        let mut command = self.netns.command("socat");
        command.args(["-t", "20", &format!("{listen},fork,reuseaddr,ipv6only=0"), does]);
        self.launch(&format!("socat {}", does.replace(':', " ")), command)
    }

    /// Waits until a port takes datagrams: of connections, probes tell.
    fn wait_for_datagrams(&self, port: u16) -> Result<()> {
        let bound = format!(":{port:04X} ");
        wait_for(&format!("port {port} of {}", self.name), STUCK, || {
            let sockets = self.netns.run(|| fs::read_to_string("/proc/thread-self/net/udp6"))??;
            Ok(sockets.contains(&bound).then_some(()))
        })
    }

    fn iperf(&self) -> Result<Process> {
        let mut command = daemon(self.netns, "iperf3")?;
        command.args(["-s", "-p", "5201"]);
        self.launch("iperf3", command)
    }
}
