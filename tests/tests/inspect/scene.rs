//! A backend server with a real service, and a question about it.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use elb_tests::{
    address::{Families, Family},
    environment::elb_bin,
    lab::Lab,
    netns::NetNs,
    process::{Process, output},
    server::Server,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use elb_userspace::diagnosis::{
    check::Check,
    inspect::Inspection,
    report::{Conclusion, Finding, Outcome},
};

pub const LIMIT: Duration = Duration::from_secs(30);
pub const DEVICE: &str = "eth0";
pub const HTTP: u16 = HTTP_PORT;
pub const ECHO: u16 = ECHO_PORT;

/// A lab with one backend server; probes come from the load balancer.
pub struct Bench {
    pub lab: Lab,
    elb: PathBuf,
}

impl Bench {
    pub fn new() -> Result<Self> {
        Self::of(Families::V4)
    }

    pub fn of(families: Families) -> Result<Self> {
        Self::in_lab(Lab::builder().families(families).backends(1).start()?)
    }

    pub fn in_lab(lab: Lab) -> Result<Self> {
        Ok(Self { lab, elb: elb_bin()? })
    }

    pub fn host(&self) -> &NetNs {
        self.lab.backend(0)
    }

    pub fn serve(&self) -> Result<Server> {
        Server::start(self.host(), "backend-0")
    }

    pub fn lb(&self) -> IpAddr {
        self.lb_addr(Family::V4)
    }

    pub fn lb_addr(&self, family: Family) -> IpAddr {
        elb_tests::address::Network::Back.address(family, elb_tests::address::Host::LoadBalancer)
    }

    pub fn member(&self) -> IpAddr {
        self.lab.member_addr(0, Family::V4)
    }

    /// `--port HTTP --from LOAD_BALANCER`
    pub fn http(&self) -> String {
        format!("--port {HTTP} --from {}", self.lb())
    }

    /// As [`Bench::http`], about the UDP service.
    pub fn udp(&self) -> String {
        format!("--protocol udp --port {ECHO} --from {}", self.lb())
    }

    /// As [`Bench::http`], about the virtual address.
    pub fn vip(&self, mode: &str) -> String {
        format!("{} --vip {} --mode {mode}", self.http(), self.lab.vip4())
    }

    /// Runs a shell's command on the host, with `elb` to be found.
    pub fn sh(&self, script: &str) -> Result<String> {
        output(self.shell(script), LIMIT)
    }

    pub fn shell(&self, script: &str) -> Command {
        self.shell_of(&["sh"], script)
    }

    /// A shell that a wrapper starts.
    pub fn shell_of(&self, wrapper: &[&str], script: &str) -> Command {
        let folder = self.elb.parent().unwrap_or(Path::new("/"));
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
        let mut command = self.host().command(wrapper[0]);
        command.args(&wrapper[1..]).args(["-e", "-c", script]).env("PATH", path);
        command.env("PLACES", self.places());
        command
    }

    /// Where this host's set-up is kept.
    fn places(&self) -> String {
        let (pins, state) = (self.lab.pins().join("up"), self.lab.files().join("state"));
        format!("--pin-dir {} --state-dir {}", pins.display(), state.display())
    }

    /// Makes the host a backend server of the lab's IPv4 address.
    pub fn up(&self, mode: &str) -> Result<String> {
        let vip = self.lab.vip4();
        let from = self.lab.from_lbs(mode).join(" ");
        self.sh(&format!(
            "elb backend up --vip {vip} --mode {mode} {from} --interface {DEVICE} $PLACES"
        ))
    }

    pub fn inspect(&self, question: &str) -> Result<Inspection> {
        self.inspect_in(|script| self.shell(script), question)
    }

    /// As [`Bench::inspect`], in a shell of the caller's making.
    pub fn inspect_in(
        &self,
        shell: impl FnOnce(&str) -> Command,
        question: &str,
    ) -> Result<Inspection> {
        let said =
            shell(&format!("exec elb backend inspect {question} $PLACES -o json")).output()?;
        let text = String::from_utf8(said.stdout)?;
        let said_so = || format!("no report: {text}{}", String::from_utf8_lossy(&said.stderr));
        let inspection = elb_tests::printed::value(&["backend", "inspect"], &text);
        let inspection: Inspection = serde_json::from_value(inspection.with_context(said_so)?)?;
        let code = i32::from(inspection.report.conclusion.exit_code());
        ensure!(said.status.code() == Some(code), "it ended with {}", said.status);
        Ok(inspection)
    }

    /// The report names `check`, and no other, as failed; all these words are in its evidence.
    pub fn names(&self, question: &str, check: Check, words: &[&str]) -> Result<Finding> {
        named(&self.inspect(question)?, check, words)
    }

    /// As [`Bench::names`]; then the fix is run, and the report must be clean.
    pub fn repairs(&self, question: &str, check: Check, words: &[&str]) -> Result<Finding> {
        let finding = self.names(question, check, words)?;
        self.sh(finding.fix.as_deref().context("there is no fix")?)?;
        self.clean(question)?;
        Ok(finding)
    }

    /// Nothing is wrong, but of `check` there is something to say, with all these words; then the fix
    /// is run, and there must be nothing to say.
    pub fn warns(&self, question: &str, check: Check, words: &[&str]) -> Result<()> {
        let inspection = self.inspect(question)?;
        clean(&inspection)?;
        let finding = inspection.report.finding(check).context("it is not checked")?;
        ensure!(finding.outcome == Outcome::Warn, "{finding:#?}");
        for word in words {
            ensure!(finding.evidence.contains(word), "no {word:?} in {finding:#?}");
        }
        self.sh(finding.fix.as_deref().context("there is no fix")?)?;
        let repaired = self.inspect(question)?;
        ensure!(verdict(&repaired, check) == Some(Outcome::Pass), "{:#?}", repaired.report);
        clean(&repaired)
    }

    /// Nothing is wrong with what is asked about.
    pub fn clean(&self, question: &str) -> Result<()> {
        clean(&self.inspect(question)?)
    }

    /// Whether a probe of the load balancer gets through.
    pub fn reached(&self, port: u16) -> Result<bool> {
        let member = SocketAddr::new(self.member(), port);
        let connect = || std::net::TcpStream::connect_timeout(&member, Duration::from_secs(1));
        Ok(self.lab.lb().run(connect)?.is_ok())
    }

    /// A listener of this process on the host.
    pub fn listen(&self, address: IpAddr, port: u16) -> Result<TcpListener> {
        self.bind(|| TcpListener::bind((address, port)))
    }

    /// What `bind` makes on the host, once its port is free: a process that another test is starting
    /// may have a socket for a moment that was closed here.
    pub fn bind<T: Send>(&self, bind: impl Fn() -> io::Result<T> + Sync) -> Result<T> {
        self.host().run(|| {
            wait_for("the port to be free", LIMIT, || match bind() {
                Ok(bound) => Ok(Some(bound)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
                Err(error) => Err(error.into()),
            })
        })?
    }

    /// A program of a shell on the host, which listens on `port` when this returns.
    pub fn start(&self, script: &str, port: u16) -> Result<Process> {
        let mut process = Process::start(script, self.shell(script))?;
        let question = format!("--port {port}");
        wait_for("the program to listen", LIMIT, || {
            if let Some(status) = process.ended()? {
                bail!("it ended: {status}");
            }
            let listening = self.inspect(&question)?;
            Ok((verdict(&listening, Check::Listening) == Some(Outcome::Pass)).then_some(()))
        })?;
        Ok(process)
    }
}

pub fn verdict(inspection: &Inspection, check: Check) -> Option<Outcome> {
    inspection.report.finding(check).map(|finding| finding.outcome)
}

/// The report names `check`, and no other, as failed; all these words are in its evidence.
pub fn named(inspection: &Inspection, check: Check, words: &[&str]) -> Result<Finding> {
    let report = &inspection.report;
    ensure!(report.cause == Some(check), "{report:#?}");
    ensure!(report.conclusion == Conclusion::CauseFound, "{report:#?}");
    let failed = report.findings.iter().filter(|finding| finding.outcome == Outcome::Fail);
    ensure!(failed.count() == 1, "{report:#?}");
    let finding = report.finding(check).context("the cause has no finding")?;
    for word in words {
        ensure!(finding.evidence.contains(word), "no {word:?} in {finding:#?}");
    }
    ensure!(finding.fix.is_some(), "no fix: {finding:#?}");
    Ok(finding.clone())
}

/// No check failed and none is unknown.
pub fn clean(inspection: &Inspection) -> Result<()> {
    ensure!(inspection.report.conclusion == Conclusion::Healthy, "{:#?}", inspection.report);
    Ok(())
}
