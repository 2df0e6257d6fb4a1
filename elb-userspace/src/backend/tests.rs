//! What needs no kernel: plans, the state file, what can be a virtual address.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::plan::{absolute, vips};
use super::privilege::missing;
use super::state::{Changed, Interface, State, StateFile, Vip};
use super::sysctl::{Sysctl, SysctlKey, plan};
use super::{
    Answers, Attach, AttachedMode, BackendError, BackendReport, Mode, PIN_DIR, STATE_DIR, Setup,
    StateError, Step, up,
};

const NAMESPACE: u64 = 4_026_531_840;

/// The changes of a plan, for values of `all` and of `eth0` in the order of the keys.
fn changes(mode: Mode, all: [i32; 3], eth0: [i32; 3]) -> Vec<String> {
    let keys = [SysctlKey::ArpIgnore, SysctlKey::ArpAnnounce, SysctlKey::RpFilter];
    let mut values = HashMap::new();
    for (interface, now) in [("all", all), ("eth0", eth0)] {
        for (key, value) in keys.into_iter().zip(now) {
            values.insert(Sysctl { interface: interface.to_owned(), key }.to_string(), value);
        }
    }
    let read = |sysctl: &Sysctl| Ok::<_, BackendError>(values[&sysctl.to_string()]);
    let wanted = plan("eth0", mode, read).unwrap();
    let changes = wanted.iter().filter(|wanted| wanted.from != wanted.to);
    changes.map(|wanted| format!("{} {} {}", wanted.sysctl, wanted.from, wanted.to)).collect()
}

#[test]
fn a_fresh_host_is_made_quiet() {
    let quiet = [
        "net.ipv4.conf.all.arp_ignore 0 1",
        "net.ipv4.conf.eth0.arp_ignore 0 1",
        "net.ipv4.conf.all.arp_announce 0 2",
        "net.ipv4.conf.eth0.arp_announce 0 2",
    ];
    assert_eq!(changes(Mode::L2, [0; 3], [0; 3]), quiet);
    assert_eq!(changes(Mode::Ipip, [0; 3], [0; 3]), quiet);
}

#[test]
fn what_is_quiet_or_stricter_stays() {
    for ignore in [1, 2, 3, 8] {
        assert!(changes(Mode::Ipip, [ignore, 2, 0], [1, 2, 0]).is_empty(), "{ignore}");
        assert!(changes(Mode::Ipip, [1, 2, 0], [ignore, 2, 0]).is_empty(), "{ignore}");
    }
    // Values that the kernel does not define answer for every address.
    assert_eq!(changes(Mode::L2, [5, 2, 0], [1, 2, 0]), ["net.ipv4.conf.all.arp_ignore 5 1"]);
    assert_eq!(changes(Mode::L2, [1, 1, 0], [1, 2, 0]), ["net.ipv4.conf.all.arp_announce 1 2"]);
}

#[test]
fn reverse_path_filtering_becomes_loose_only_where_it_is_strict() {
    let filtered = |all, eth0| changes(Mode::Ipip, [1, 2, all], [1, 2, eth0]);
    for (all, eth0) in [(0, 0), (2, 0), (0, 2), (1, 2), (2, 1)] {
        assert!(filtered(all, eth0).is_empty(), "{all} {eth0}");
    }
    assert_eq!(filtered(0, 1), ["net.ipv4.conf.eth0.rp_filter 1 2"]);
    assert_eq!(filtered(1, 1), ["net.ipv4.conf.eth0.rp_filter 1 2"]);
    assert_eq!(filtered(1, 0), ["net.ipv4.conf.eth0.rp_filter 0 2"]);
    assert!(changes(Mode::L2, [1, 2, 1], [1, 2, 1]).is_empty());
}

#[test]
fn a_setting_is_called_what_sysctl_calls_it() {
    let sysctl = Sysctl { interface: "eth0.100".to_owned(), key: SysctlKey::ArpIgnore };
    assert_eq!(sysctl.to_string(), "net.ipv4.conf.eth0/100.arp_ignore");
}

#[test]
fn only_unicast_addresses_of_a_service_are_virtual_addresses() {
    let all = |texts: &[&str]| -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let given = all(&["192.0.2.10", "2001:db8::10", "192.0.2.10", "10.0.0.1", "fd00::1"]);
    let kept = all(&["192.0.2.10", "2001:db8::10", "10.0.0.1", "fd00::1"]);
    assert_eq!(vips(&given).unwrap(), kept);
    for text in [
        "0.0.0.0",
        "::",
        "127.0.0.1",
        "::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "169.254.0.1",
        "fe80::1",
        "::ffff:192.0.2.10",
    ] {
        let error = vips(&all(&["192.0.2.10", text])).unwrap_err();
        assert!(matches!(error, BackendError::NotVip { .. }), "{text}: {error}");
    }
    assert!(matches!(vips(&[]), Err(BackendError::NoVip)));
}

#[test]
fn a_missing_capability_is_named() {
    let all = u64::MAX;
    assert!(missing(Mode::Ipip, all).is_empty());
    assert_eq!(missing(Mode::Gue, 1 << 12), missing(Mode::Ipip, 1 << 12));
    assert!(missing(Mode::L2, 1 << 12).is_empty());
    assert!(missing(Mode::Ipip, 1 << 12 | 1 << 21).is_empty());
    assert_eq!(missing(Mode::Ipip, 1 << 12), ["CAP_BPF", "CAP_PERFMON"]);
    assert_eq!(missing(Mode::Ipip, 0), ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"]);
    assert_eq!(missing(Mode::L2, all & !(1 << 12)), ["CAP_NET_ADMIN"]);
}

#[test]
fn a_pin_directory_is_written_in_one_way() {
    for text in ["/sys/fs/bpf/x", "/sys/fs/bpf/x/", "/sys//fs/./bpf/x"] {
        assert_eq!(absolute(Path::new(text)).unwrap(), Path::new("/sys/fs/bpf/x"));
    }
}

fn state() -> State {
    let mut state = State::new(Path::new("/sys/fs/bpf/elb-backend"), NAMESPACE);
    let vip = |text: &str, added| Vip { address: text.parse().unwrap(), added };
    state.vips = vec![vip("192.0.2.10", true), vip("2001:db8::10", false)];
    let (interface, key) = ("eth0.100".to_owned(), SysctlKey::RpFilter);
    state.sysctls = vec![Changed { interface, key, was: 1, set: 2 }];
    let name = "eth0.100".to_owned();
    state.interfaces = vec![Interface { name, index: 7, mode: AttachedMode::Generic }];
    state
}

#[test]
fn the_state_comes_back_as_it_was_saved() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("made");
    let file = StateFile::lock(&folder, Path::new("/sys/fs/bpf/elb-backend")).unwrap();
    assert_eq!(file.load(NAMESPACE).unwrap(), None);
    file.save(&State::new(Path::new("/other"), NAMESPACE)).unwrap();
    file.save(&state()).unwrap();
    assert_eq!(file.load(NAMESPACE).unwrap(), Some(state()));
    assert_eq!(file.path(), folder.join("sys+fs+bpf+elb-backend.json"));
    file.remove().unwrap();
    file.remove().unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn two_pin_directories_never_share_a_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for pin_dir in ["/a/b", "/a+b", "/a%2bb", "/a%2Bb", "/a-b", "/a b", "/ä"] {
        let file = StateFile::lock(directory.path(), Path::new(pin_dir)).unwrap();
        paths.push(file.path().to_owned());
    }
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), count, "{paths:?}");
}

#[test]
fn the_states_of_others_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let one = StateFile::lock(directory.path(), Path::new("/one")).unwrap();
    one.save(&State::new(Path::new("/one"), NAMESPACE)).unwrap();
    drop(one);
    fs::write(directory.path().join("broken.json"), "{").unwrap();
    let two = StateFile::lock(directory.path(), Path::new("/two")).unwrap();
    two.save(&State::new(Path::new("/two"), NAMESPACE)).unwrap();
    assert_eq!(two.others(NAMESPACE), [State::new(Path::new("/one"), NAMESPACE)]);
    assert_eq!(two.others(1), []);
}

#[test]
fn a_state_file_that_cannot_be_understood_is_an_error_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = StateFile::lock(directory.path(), Path::new("/pins")).unwrap();
    let text = serde_json::to_string(&state()).unwrap();
    let half = &text[..text.len() / 2];
    let other = text.replace("192.0.2.10", "somewhere");
    let unknown = text.replacen("{", "{\"more\":1,", 1);
    for broken in ["", "{}", "[]", half, &other, &unknown] {
        fs::write(file.path(), broken).unwrap();
        let error = file.load(NAMESPACE).unwrap_err();
        assert!(matches!(error, StateError::Corrupt { .. }), "{broken}: {error}");
        assert!(error.to_string().contains("pins.json cannot be understood"), "{error}");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), broken);
    }
    fs::write(file.path(), text.replace("\"version\":1", "\"version\":2")).unwrap();
    assert!(matches!(file.load(NAMESPACE), Err(StateError::Version { found: 2, .. })));
    fs::write(file.path(), &text).unwrap();
    assert!(matches!(file.load(1), Err(StateError::Elsewhere { .. })));
    assert_eq!(file.load(NAMESPACE).unwrap(), Some(state()));
}

#[test]
fn a_report_reads_as_a_list_of_steps() {
    let sysctl = Sysctl { interface: "all".to_owned(), key: SysctlKey::ArpIgnore };
    let vip: IpAddr = "192.0.2.10".parse().unwrap();
    let (interface, mode, native_refused) = ("eth0".to_owned(), AttachedMode::Native, None);
    let steps = vec![
        Step::SysctlSet { sysctl, from: 0, to: 1 },
        Step::AddressAdded { vip },
        Step::Attached { interface, mode, native_refused },
    ];
    let report = BackendReport::of(steps);
    assert!(report.changed);
    assert_eq!(
        report.to_string(),
        "set net.ipv4.conf.all.arp_ignore from 0 to 1\n\
         added 192.0.2.10/32 to lo\n\
         attached decap to eth0 (native)\n"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["steps"][0]["step"], "sysctl_set");
    assert_eq!(json["steps"][0]["sysctl"], "net.ipv4.conf.all.arp_ignore");
    assert_eq!(json["steps"][2]["mode"], "native");
}

#[test]
fn where_nothing_is_to_be_set_up_it_is_said_what_is_needed() {
    let said = |mode| {
        let (via, ports, from, vips) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (interface, answers) = (String::new(), Answers { via, ports });
        let (pin_dir, state_dir) = (PIN_DIR.into(), STATE_DIR.into());
        let attach = Attach::Auto;
        let setup =
            Setup { vips, mode, from, mss: None, answers, interface, pin_dir, state_dir, attach };
        up(&setup).unwrap_err().to_string()
    };
    let full = said(Mode::FullNat);
    assert!(full.contains("nothing is to be set up here"), "{full}");
    let to_v6 = said(Mode::Nat46);
    assert!(to_v6.contains("ip -6 route add PREFIX via LOAD-BALANCER"), "{to_v6}");
}
