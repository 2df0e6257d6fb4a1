//! Checks of the host as a whole.

use std::path::Path;

use super::facts::{Bpffs, Facts, Kernel, Trial};
use crate::backend::privilege::{BPF, NET_ADMIN, PERFMON, SYS_ADMIN};
use crate::diagnosis::check::Check;
use crate::diagnosis::instrument::Fault;
use crate::diagnosis::report::{Finding, Outcome};

const NET_RAW: (u32, &str) = (13, "CAP_NET_RAW");

/// The oldest kernel that elb is tested on.
const OLDEST: (u32, u32) = (6, 1);

pub(super) fn kernel(kernel: &Kernel) -> Finding {
    let Kernel { release, program, jit, btf } = kernel;
    let found = |outcome, words: String| {
        Finding::seen(Check::Kernel, outcome, format!("Linux {release}: {words}"))
    };
    let newer = "uname -r    # install a kernel of 6.1 or later, and start it";
    match program {
        Trial::Refused(why) => return found(Outcome::Fail, why.to_string()).fix(newer),
        Trial::NotAllowed => {
            let words = "whether it takes the program can be tried by root only".to_owned();
            return found(Outcome::Unknown, words).fix("sudo elb doctor");
        }
        Trial::Accepted => {}
    }
    if *jit == Some(0) {
        let words = "it interprets programs instead of compiling them, which is slow".to_owned();
        return found(Outcome::Warn, words).fix("sysctl -w net.core.bpf_jit_enable=1");
    }
    if version(release).is_some_and(|version| version < OLDEST) {
        let words =
            "it takes the program, but it is untested: 6.1 is the oldest tested one".to_owned();
        return found(Outcome::Warn, words).fix(newer);
    }
    let types = if *btf { "with BTF" } else { "without BTF, which is not needed" };
    found(Outcome::Pass, format!("it takes the program; {types}"))
}

/// Major and minor number of a release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub(super) fn capabilities(effective: Option<u64>) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::Capabilities, outcome, words);
    let Some(effective) = effective else {
        let words = "/proc/thread-self/status is needed to know them".to_owned();
        return found(Outcome::Unknown, words).fix("mount -t proc proc /proc");
    };
    let missing = missing(effective);
    let fix = "sudo elb agent    # or systemctl start elb: the unit names what it takes";
    if !missing.is_empty() {
        let words = format!("an agent started as this process lacks {}", missing.join(", "));
        return found(Outcome::Fail, words).fix(fix);
    }
    if effective >> NET_RAW.0 & 1 == 0 {
        let words = format!("without {} an agent does not announce virtual addresses", NET_RAW.1);
        return found(Outcome::Warn, words).fix(fix);
    }
    found(Outcome::Pass, "an agent started as this process may do what it has to".to_owned())
}

/// What an agent cannot do without.
pub(super) fn missing(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    // CAP_SYS_ADMIN is older and wider than the other two.
    let needed = [NET_ADMIN, PERFMON, BPF].into_iter();
    let missing = needed.filter(|(bit, _)| !has(*bit) && (*bit == NET_ADMIN.0 || !has(SYS_ADMIN)));
    missing.map(|(_, name)| name).collect()
}

pub(super) fn bpffs(pin_dir: &Path, bpffs: &Bpffs) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::Bpffs, outcome, words);
    let directory = pin_dir.display();
    let parent = pin_dir.parent().unwrap_or(pin_dir).display();
    match bpffs {
        Bpffs::Writable => {
            found(Outcome::Pass, format!("pin_dir {directory} is on a BPF file system"))
        }
        Bpffs::Missing => {
            found(Outcome::Fail, format!("pin_dir {directory} is not on a BPF file system"))
                .fix(format!("mkdir -p {parent} && mount -t bpf bpf {parent}"))
        }
        Bpffs::ReadOnly => {
            let words = format!(
                "pin_dir {directory} is on a BPF file system that this process may not write to"
            );
            found(Outcome::Fail, words).fix("sudo elb agent    # or give its user the directory")
        }
        Bpffs::Unknown(why) => found(Outcome::Unknown, why.clone()).fix("sudo elb doctor"),
    }
}

/// elb forwards without the kernel. Where the kernel forwards, too, it sends what the program leaves
/// to it (a port without a listener) on by the route to the virtual address: where that goes to a
/// gateway, back to where the packet came from.
pub(super) fn forwarding(facts: &Facts) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::Forwarding, outcome, words);
    let words = match facts.forwarding {
        [false, false] => "off; the program forwards without it",
        _ => "on, which the program neither needs nor minds",
    };
    found(Outcome::Pass, words.to_owned())
}

/// Whether probes of members leave, and their answers get in.
pub(super) fn probes(faults: Option<&[Fault]>) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::Probes, outcome, words);
    match faults {
        None => found(Outcome::NotApplicable, "no agent has set up probes yet".to_owned()),
        Some([]) => found(
            Outcome::Pass,
            "their rule, route and addresses are there, and no filter rule stops them".to_owned(),
        ),
        Some(faults) => {
            let lines = |text: fn(&Fault) -> &str| {
                let mut lines: Vec<_> = faults.iter().map(text).collect();
                lines.dedup();
                lines.join("\n")
            };
            found(Outcome::Fail, lines(|fault| &fault.what)).fix(lines(|fault| &fault.fix))
        }
    }
}

pub(super) fn clock(synchronised: Option<bool>) -> Finding {
    let found = |outcome, words: &str| Finding::seen(Check::Clock, outcome, words);
    match synchronised {
        Some(true) => found(Outcome::Pass, "synchronised"),
        Some(false) => found(
            Outcome::Warn,
            "not synchronised: times in logs and states do not match those of other hosts",
        )
        .fix("timedatectl set-ntp true"),
        None => found(Outcome::Unknown, "adjtimex(2) is needed to know").fix("timedatectl"),
    }
}
