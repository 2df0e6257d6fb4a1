//! A load balancer's host, and a doctor in it.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    config::{Config, Forwarding, Pool, Protocol},
    environment::elb_bin,
    lab::{Builder, Lab},
    wire::HTTP_PORT,
};
use elb_userspace::diagnosis::{
    check::Check,
    report::{Conclusion, Finding, Outcome, Report},
};

/// A lab whose load balancer is to serve HTTP, and the file that says so.
pub struct Scene {
    pub lab: Lab,
    pub config: Config,
}

/// What a doctor said.
pub struct Answer {
    pub report: Report,
    pub code: Option<i32>,
}

impl Scene {
    pub fn new(lab: Builder) -> Result<Self> {
        let lab = lab.start()?;
        let mut config = Config::new(&lab);
        for family in lab.families().list() {
            let name = format!("web-{family:?}");
            let pool = Pool::of(&lab, &name, *family, Protocol::Tcp, HTTP_PORT);
            config = config.balance(&lab, *family, HTTP_PORT, pool.forwarding(Forwarding::Ipip));
        }
        Ok(Self { lab, config })
    }

    /// Where the configuration is, as it is now.
    pub fn file(&self) -> Result<PathBuf> {
        let file = self.lab.files().join("doctor.toml");
        fs::write(&file, self.config.text()?)?;
        Ok(file)
    }

    /// What a doctor says.
    pub fn ask(&self) -> Result<Answer> {
        self.ask_under(&[])
    }

    /// What a doctor says that is started by `wrapper`, a command that ends as its last arguments.
    pub fn ask_under(&self, wrapper: &[&str]) -> Result<Answer> {
        let mut command = self.command(wrapper)?;
        let output = command.arg("doctor").arg("--config").arg(self.file()?);
        let output = output.args(["-o", "json"]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = std::str::from_utf8(&output.stdout)?;
        let report = serde_json::from_value(
            elb_tests::printed::value(&["doctor"], printed).context(errors)?,
        )?;
        Ok(Answer { report, code: output.status.code() })
    }

    /// `elb` in the load balancer, started by `wrapper`.
    pub fn command(&self, wrapper: &[&str]) -> Result<Command> {
        let elb = elb_bin()?;
        let [program, arguments @ ..] = wrapper else { return Ok(self.lab.lb().command(elb)) };
        let mut command = self.lab.lb().command(program);
        command.args(arguments).arg(elb);
        Ok(command)
    }

    /// Does what a report says.
    pub fn repair(&self, finding: &Finding) -> Result<()> {
        let fix = finding.fix.as_deref().context("a fix")?;
        let output = self.lab.lb().command("sh").args(["-ec", fix]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{fix}: {errors}");
        Ok(())
    }
}

impl Answer {
    /// What one check found, which is the cause.
    pub fn cause(&self, check: Check) -> &Finding {
        assert_eq!(self.report.cause, Some(check), "{:#?}", self.report);
        assert_eq!(self.code, Some(1));
        self.finding(check, Outcome::Fail)
    }

    /// What one check found, which is `outcome`.
    pub fn finding(&self, check: Check, outcome: Outcome) -> &Finding {
        let finding = self.report.finding(check).expect("every check is there");
        assert_eq!(finding.outcome, outcome, "{:#?}", self.report);
        finding
    }

    /// Nothing is wrong, and of `check` there is nothing to say.
    pub fn is_clean(&self, check: Check) {
        assert_eq!(self.report.conclusion, Conclusion::Healthy, "{:#?}", self.report);
        assert_eq!(self.code, Some(0));
        self.finding(check, Outcome::Pass);
    }
}

/// One family, one backend.
pub fn small() -> Builder {
    Lab::builder().backends(1)
}
