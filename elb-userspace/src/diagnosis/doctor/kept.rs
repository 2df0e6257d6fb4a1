//! Whether what the agent keeps in this host is there.

use super::Duty;
use super::facts::{Facts, InterfaceFacts};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};
use crate::source::file::AttachMode;

/// Nothing is missed on a host that serves nothing: one without pins and without an agent.
pub(super) fn kept(duty: &Duty, facts: &Facts) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::Kept, outcome, words);
    let kept = &facts.kept;
    if !kept.agent && !kept.pins {
        return found(Outcome::Pass, "nothing is served from here yet".to_owned());
    }
    let said = kept.missing.iter().map(|(object, why)| format!("{object}: {why}"));
    let mut missing: Vec<String> = said.collect();
    for name in &duty.interfaces {
        let what = match facts.interfaces.get(name) {
            None => Some("there is no such interface; the program is attached when it comes"),
            Some(interface) => lacks(interface, duty.attach_mode),
        };
        // What the agent said is not said twice.
        let said = kept.missing.iter().any(|(object, _)| object.ends_with(name.as_str()));
        missing.extend(what.filter(|_| !said).map(|what| format!("{name}: {what}")));
    }
    if !kept.pins {
        let pin_dir = duty.pin_dir.display();
        missing.push(format!(
            "nothing is pinned in {pin_dir}: traffic goes on only as long as the agent runs"
        ));
    }
    let of_path = kept.probe_path.as_ref().filter(|_| kept.missing.is_empty());
    missing.extend(of_path.map(|what| format!("path of health probes: {what}")));
    if missing.is_empty() {
        return found(Outcome::Pass, "programs, pins, and the route of health probes".to_owned());
    }
    let fix = if kept.agent {
        "elb status    # says why the agent does not restore it"
    } else {
        "systemctl start elb    # the agent restores it"
    };
    found(Outcome::Fail, missing.join("\n")).fix(fix)
}

fn lacks(interface: &InterfaceFacts, mode: AttachMode) -> Option<&'static str> {
    let Some(attached) = &interface.attached else {
        return Some("it carries no program: nothing that arrives by it is forwarded");
    };
    if attached.ours && attached.native != (mode == AttachMode::Native) {
        return Some("it carries the program in another mode than attach_mode");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::diagnosis::doctor::facts::{AttachedProgram, KeptFacts};
    use crate::diagnosis::doctor::tests::{duty, facts};

    fn outcome(kept: KeptFacts, attached: Option<AttachedProgram>) -> Finding {
        let interface = InterfaceFacts { attached, ..InterfaceFacts::default() };
        let interfaces = BTreeMap::from([("eth0".to_owned(), interface)]);
        super::kept(&duty(), &Facts { kept, interfaces, ..facts() })
    }

    fn ours(native: bool) -> Option<AttachedProgram> {
        Some(AttachedProgram { program: 7, name: None, ours: true, native, link: None })
    }

    #[test]
    fn what_an_agent_left_is_missed() {
        let serving = || KeptFacts { agent: true, pins: true, ..KeptFacts::default() };
        assert_eq!(outcome(KeptFacts::default(), None).outcome, Outcome::Pass);
        assert_eq!(outcome(serving(), ours(true)).outcome, Outcome::Pass);
        for (kept, attached, word) in [
            (serving(), None, "eth0: it carries no program"),
            (serving(), ours(false), "another mode"),
            (KeptFacts { pins: false, ..serving() }, ours(true), "nothing is pinned"),
            (KeptFacts { probe_path: Some("no rule".into()), ..serving() }, ours(true), "no rule"),
            (KeptFacts { agent: false, ..serving() }, None, "carries no program"),
        ] {
            let found = outcome(kept, attached);
            assert_eq!(found.outcome, Outcome::Fail, "{word}");
            assert!(found.evidence.contains(word), "{}", found.evidence);
        }
        let missing = vec![("XDP program on eth0".to_owned(), "busy".to_owned())];
        let found = outcome(KeptFacts { missing, ..serving() }, None);
        assert_eq!(found.evidence, "XDP program on eth0: busy");
    }
}
