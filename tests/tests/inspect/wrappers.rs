//! hosts.deny, with a server that heeds it, in a mount namespace where the file is ours.

use std::{fs, process::Command};

use anyhow::Result;
use elb_tests::{process::Process, wait::wait_for};
use elb_userspace::diagnosis::{check::Check, inspect::Inspection, report::Outcome};

use crate::scene::*;

const PORT: u16 = 7001;

/// Files in the place of those in /etc, for what runs after [`Etc::mounted`].
struct Etc<'a> {
    bench: &'a Bench,
}

impl<'a> Etc<'a> {
    fn new(bench: &'a Bench, allow: &str, deny: &str) -> Result<Self> {
        fs::write(bench.lab.files().join("hosts.allow"), allow)?;
        fs::write(bench.lab.files().join("hosts.deny"), deny)?;
        Ok(Self { bench })
    }

    /// A shell that finds the files in /etc.
    fn command(&self, script: &str) -> Command {
        let files = self.bench.lab.files().display();
        let mount = |name: &str| {
            format!(
                "[ -e /etc/{name} ] || touch /etc/{name}; mount --bind {files}/{name} /etc/{name}\n"
            )
        };
        let script = mount("hosts.allow") + &mount("hosts.deny") + script;
        self.bench.shell_of(&["unshare", "--mount", "sh"], &script)
    }

    fn inspect(&self, question: &str) -> Result<Inspection> {
        self.bench.inspect_in(|script| self.command(script), question)
    }
}

fn serve(etc: &Etc<'_>, wrapped: &str) -> Result<Process> {
    let script =
        format!("exec socat TCP-LISTEN:{PORT},fork,reuseaddr{wrapped} SYSTEM:\"echo hello\"");
    let process = Process::start("socat", etc.command(&script))?;
    wait_for("socat to listen", LIMIT, || {
        let inspection = etc.bench.inspect(&format!("--port {PORT}"))?;
        Ok((verdict(&inspection, Check::Listening) == Some(Outcome::Pass)).then_some(()))
    })?;
    Ok(process)
}

fn greeted(bench: &Bench) -> Result<bool> {
    let to = std::net::SocketAddr::new(bench.member(), PORT);
    bench.lab.lb().run(|| -> Result<bool> {
        let mut stream = std::net::TcpStream::connect(to)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut said = String::new();
        // A server that turns one away may close with a reset.
        let _ = std::io::Read::read_to_string(&mut stream, &mut said);
        Ok(said.contains("hello"))
    })?
}

#[test]
fn a_line_that_turns_probes_away_is_named_and_its_fix_lets_them_in() -> Result<()> {
    for (deny, words) in [
        ("ALL: ALL\n", "line 1 of hosts.deny (`ALL: ALL`)"),
        ("# nobody\nsshd: ALL\nsocat: 10.0.0.\n", "line 3 of hosts.deny"),
        ("socat: ALL EXCEPT 10.0.1.0/255.255.255.0\n", "EXCEPT"),
    ] {
        let bench = Bench::new()?;
        let etc = Etc::new(&bench, "", deny)?;
        let _server = serve(&etc, ",tcpwrap")?;
        assert!(!greeted(&bench)?, "{deny}");
        let question = format!("--port {PORT} --from {}", bench.lb());
        let inspection = etc.inspect(&question)?;
        let finding = named(&inspection, Check::HostsDeny, &[words, "socat", "10.0.0.2"])?;

        let fix = finding.fix.unwrap_or_default();
        assert!(etc.command(&fix).status()?.success(), "{fix}");
        clean(&etc.inspect(&question)?)?;
        assert!(greeted(&bench)?, "{deny}");
    }
    Ok(())
}

#[test]
fn lines_for_others_are_no_cause() -> Result<()> {
    let bench = Bench::new()?;
    for (allow, deny) in [
        ("", "sshd: ALL\n"),
        ("socat: 10.0.0.2\n", "ALL: ALL\n"),
        ("", "ALL: ALL EXCEPT 10.0.0.0/8\n"),
    ] {
        let etc = Etc::new(&bench, allow, deny)?;
        let _server = serve(&etc, ",tcpwrap")?;
        assert!(greeted(&bench)?, "{deny}");
        let question = format!("--port {PORT} --from {}", bench.lb());
        clean(&etc.inspect(&question)?)?;
    }
    Ok(())
}

#[test]
fn a_server_without_libwrap_heeds_no_line() -> Result<()> {
    let bench = Bench::new()?;
    let etc = Etc::new(&bench, "", "ALL: ALL\n")?;
    let _server = bench.serve()?;
    clean(&etc.inspect(&bench.http())?)
}
