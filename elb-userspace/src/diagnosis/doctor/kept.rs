//! Whether what the agent keeps in this host is there.

use super::Duty;
use super::facts::{Facts, Interface};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Verdict};
use crate::source::file::AttachMode;

/// Nothing is missed on a host that serves nothing: one without pins and without an agent.
pub(super) fn kept(duty: &Duty, facts: &Facts) -> Finding {
    let found = |verdict, words: String| Finding::seen(Check::Kept, verdict, words);
    let kept = &facts.kept;
    if !kept.agent && !kept.pins {
        return found(Verdict::Pass, "nothing is served from here yet".to_owned());
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
        return found(Verdict::Pass, "programs, pins, and the route of health probes".to_owned());
    }
    let fix = if kept.agent {
        "elb status    # says why the agent does not restore it"
    } else {
        "systemctl start elb    # the agent restores it"
    };
    found(Verdict::Fail, missing.join("\n")).fix(fix)
}

fn lacks(interface: &Interface, mode: AttachMode) -> Option<&'static str> {
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
    use crate::diagnosis::doctor::facts::{Attached, Kept};
    use crate::diagnosis::doctor::tests::{duty, facts};

    fn verdict(kept: Kept, attached: Option<Attached>) -> Finding {
        let interface = Interface { attached, ..Interface::default() };
        let interfaces = BTreeMap::from([("eth0".to_owned(), interface)]);
        super::kept(&duty(), &Facts { kept, interfaces, ..facts() })
    }

    fn ours(native: bool) -> Option<Attached> {
        Some(Attached { program: 7, name: None, ours: true, native, link: None })
    }

    #[test]
    fn what_an_agent_left_is_missed() {
        let serving = || Kept { agent: true, pins: true, ..Kept::default() };
        assert_eq!(verdict(Kept::default(), None).verdict, Verdict::Pass);
        assert_eq!(verdict(serving(), ours(true)).verdict, Verdict::Pass);
        for (kept, attached, word) in [
            (serving(), None, "eth0: it carries no program"),
            (serving(), ours(false), "another mode"),
            (Kept { pins: false, ..serving() }, ours(true), "nothing is pinned"),
            (Kept { probe_path: Some("no rule".into()), ..serving() }, ours(true), "no rule"),
            (Kept { agent: false, ..serving() }, None, "carries no program"),
        ] {
            let found = verdict(kept, attached);
            assert_eq!(found.verdict, Verdict::Fail, "{word}");
            assert!(found.evidence.contains(word), "{}", found.evidence);
        }
        let missing = vec![("XDP program on eth0".to_owned(), "busy".to_owned())];
        let found = verdict(Kept { missing, ..serving() }, None);
        assert_eq!(found.evidence, "XDP program on eth0: busy");
    }
}
