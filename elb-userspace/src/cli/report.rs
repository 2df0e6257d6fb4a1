//! How commands write a report: the likely cause with its fix, then a line for each check.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::{Output, failure, print_json, print_text};
use crate::diagnosis::report::{Basis, Conclusion, Finding, Outcome, Report};

/// The exit code of a command that could not report: 0 to 2 are what a [`Conclusion`] has.
const NO_REPORT: u8 = 3;

/// The columns before the evidence: mark, check, and the spaces around them.
const MARGIN: usize = 30;

/// Writes the report, or why there is none; the exit code says which.
///
/// # Errors
/// Where the report cannot be written.
pub(super) fn show(report: Result<Report>, output: Output) -> Result<ExitCode> {
    show_as(report, output, text, |report| report.conclusion)
}

/// As [`show`], of what holds reports.
///
/// # Errors
/// As for [`show`].
pub(super) fn show_as<T: Serialize>(
    shown: Result<T>,
    output: Output,
    text: impl Fn(&T) -> String,
    conclusion: impl Fn(&T) -> Conclusion,
) -> Result<ExitCode> {
    let shown = match shown {
        Ok(shown) => shown,
        Err(error) => {
            failure::report(&error, output);
            return Ok(ExitCode::from(NO_REPORT));
        }
    };
    match output {
        Output::Json => print_json(&shown)?,
        Output::Table => print_text(&text(&shown))?,
    }
    Ok(ExitCode::from(conclusion(&shown).exit_code()))
}

/// The report, for people.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", printable(&report.subject), conclusion(report.conclusion));
    if let Some(finding) = report.cause.and_then(|check| report.finding(check)) {
        cause(&mut out, finding);
    }
    let _ = writeln!(out);
    report.findings.iter().for_each(|finding| line(&mut out, finding));
    if let Some(ask) = &report.ask {
        let _ = writeln!(out, "\nask the backend server's host what only it knows:");
        indented(&mut out, "  ", &ask.command);
        let _ = writeln!(out, "which runs there, by hand with `elb diagnose … --inspect FILE`:");
        indented(&mut out, "  ", &ask.runs);
    }
    out
}

fn cause(out: &mut String, finding: &Finding) {
    let _ = writeln!(out, "\nlikely cause: {}", finding.check.title());
    indented(out, "  ", &evidence(finding));
    if let Some(fix) = &finding.fix {
        indented(out, "  fix: ", fix);
    }
}

fn line(out: &mut String, finding: &Finding) {
    let start = format!("  {:<8} {:<18} ", mark(finding.outcome), finding.check);
    indented(out, &start, &evidence(finding));
    if let Some(fix) = &finding.fix {
        indented(out, &format!("{:MARGIN$}fix: ", ""), fix);
    }
}

/// Text of one or more lines, all of which start in the same column.
fn indented(out: &mut String, start: &str, text: &str) {
    let width = start.chars().count();
    for (index, line) in text.lines().enumerate() {
        let start = if index == 0 { start } else { "" };
        let _ = writeln!(out, "{start:<width$}{}", printable(line));
    }
}

fn evidence(finding: &Finding) -> String {
    let inferred = match finding.basis {
        Basis::Inferred => " (inferred)",
        Basis::Seen => "",
    };
    format!("{}{inferred}", finding.evidence)
}

/// Evidence may quote what a stranger sent: nothing of it moves the terminal's cursor, or turns the
/// direction of what follows (Unicode TR 9, §2).
pub(super) fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.replace(|c: char| c.is_control() || turns(c), "\u{fffd}")
}

const fn conclusion(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Healthy => "healthy",
        Conclusion::CauseFound => "a cause was found",
        Conclusion::Undecided => "undecided",
    }
}

const fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Warn => "warn",
        Outcome::Unknown => "unknown",
        Outcome::NotApplicable => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::check::Check;

    #[test]
    fn the_likely_cause_comes_first() {
        let findings = vec![
            Finding::seen(Check::Attached, Outcome::Pass, "pool web serves http"),
            Finding::inferred(Check::Firewall, Outcome::Unknown, "no answer, no error"),
            Finding::seen(Check::Listening, Outcome::Fail, "nothing listens\nat port 80")
                .fix("systemctl start nginx\ncurl http://10.0.0.11/"),
            Finding::seen(Check::Load, Outcome::Warn, "load 3.1 of 2"),
            Finding::seen(Check::AddressBound, Outcome::NotApplicable, "an HTTP listener"),
        ];
        assert_eq!(
            text(&Report::new("web-1", false, findings)),
            "\
web-1: a cause was found

likely cause: backend server listening
  nothing listens
  at port 80
  fix: systemctl start nginx
       curl http://10.0.0.11/

  pass     attached           pool web serves http
  -        address-bound      an HTTP listener
  FAIL     listening          nothing listens
                              at port 80
                              fix: systemctl start nginx
                                   curl http://10.0.0.11/
  unknown  firewall           no answer, no error (inferred)
  warn     load               load 3.1 of 2
"
        );
    }

    #[test]
    fn without_a_cause_there_are_only_lines() {
        let finding = || Finding::seen(Check::Clock, Outcome::Pass, "synchronised");
        let shown = |works| text(&Report::new("lb", works, vec![finding()]));
        let lines = "\n  pass     clock              synchronised\n";
        assert_eq!(shown(true), format!("lb: healthy\n{lines}"));
        assert_eq!(shown(false), format!("lb: undecided\n{lines}"));
    }

    #[test]
    fn how_to_ask_the_host_is_said_once() {
        let unknown = |check| Finding::inferred(check, Outcome::Unknown, "known to its host only");
        let findings = vec![unknown(Check::Firewall), unknown(Check::Load)];
        let mut report = Report::new("web/b1", false, findings);
        let (command, runs) = ("elb diagnose web/b1 --ssh b1".to_owned(), "elb …".to_owned());
        report.ask = Some(crate::diagnosis::report::Ask { command, runs });
        let shown = text(&report);
        assert_eq!(shown.matches("--ssh b1").count(), 1, "{shown}");
        let end = "  elb diagnose web/b1 --ssh b1\nwhich runs there, by hand with `elb diagnose … \
                   --inspect FILE`:\n  elb …\n";
        assert!(shown.ends_with(end), "{shown}");
    }

    #[test]
    fn what_strangers_sent_does_not_move_the_cursor() {
        let finding =
            Finding::seen(Check::Configuration, Outcome::Fail, "status \x1b[2Jgone\r\x07");
        let shown = text(&Report::new("web\x1b-1", false, vec![finding.fix("\x1b[A")]));
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.contains("status \u{fffd}[2Jgone"), "{shown:?}");
    }

    #[test]
    fn names_of_checks_fit_their_column() {
        assert!(Check::ALL.iter().all(|check| check.name().len() <= 18));
        assert_eq!(MARGIN, format!("  {:<8} {:<18} ", "", "").len());
    }
}
