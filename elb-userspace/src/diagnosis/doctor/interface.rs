//! Checks of one interface.

use elb_common::names;

use super::facts::{AttachedProgram, Facts, InterfaceFacts};
use super::{Duty, netdev, queues, translation};
use crate::control::network::Route;
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};
use crate::kernel::host::joining;
use crate::source::file::AttachMode;

/// Drivers that run XDP natively, for kernels before 6.3, which do not say it themselves.
const NATIVE: &[&str] = &[
    "amazon-ena",
    "ena",
    "bnxt_en",
    "dpaa2-eth",
    "fsl_dpaa2_eth",
    "gve",
    "hv_netvsc",
    "i40e",
    "iavf",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx4_core",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "thunder-nicvf",
    "tun",
    "veth",
    "virtio_net",
    "vmxnet3",
];

/// Offloads that join packets, as ethtool names them, and what that means before the program is
/// attached. Drivers refuse XDP next to LRO; most turn the other off by themselves. Generic XDP turns
/// both off.
const JOINING: &[(&str, &str, Outcome)] =
    &[("rx-lro", "lro", Outcome::Fail), ("rx-gro-hw", "rx-gro-hw", Outcome::Warn)];

/// What is to be said of an interface; of one that is not there, only that.
pub(super) fn findings(duty: &Duty, facts: &Facts, name: &str) -> Vec<Finding> {
    let Some(interface) = facts.interfaces.get(name) else {
        let words = "there is no such interface";
        let fix = "ip -brief link    # correct [agent] interfaces, or --interface";
        return vec![Finding::seen(Check::Interface, Outcome::Fail, words).fix(fix)];
    };
    let mut findings = vec![
        state(name, interface),
        native(duty.attach_mode, name, interface),
        other(name, interface.attached.as_ref()),
        offloads(duty.attach_mode, name, interface),
        queues::queues(name, interface, facts.cpus),
        rp_filter(duty, facts, name, interface),
    ];
    findings.extend(translation::checksums(duty, interface));
    findings
}

fn state(name: &str, interface: &InterfaceFacts) -> Finding {
    let found = |outcome, words: &str| Finding::seen(Check::Interface, outcome, words);
    if !interface.up {
        return found(Outcome::Fail, "down").fix(format!("ip link set dev {name} up"));
    }
    if !interface.carrier {
        let fix = format!("ip link show dev {name}    # its cable, or what is at the other end");
        return found(Outcome::Fail, "up, but without a carrier").fix(fix);
    }
    found(Outcome::Pass, "up")
}

fn native(mode: AttachMode, name: &str, interface: &InterfaceFacts) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::NativeXdp, outcome, words);
    let driver = interface.driver.as_deref().unwrap_or("driver unknown");
    if mode == AttachMode::Generic {
        let words = format!("{driver}: attach_mode is \"generic\", which every driver can");
        return found(Outcome::NotApplicable, words);
    }
    let runs = match interface.xdp_features {
        Some(features) => Some(features & netdev::BASIC != 0),
        None => interface.driver.as_deref().map(|driver| NATIVE.contains(&driver)),
    };
    let generic = "set attach_mode = \"generic\" in [agent] of the configuration; it is slower";
    match runs {
        None => {
            let words = "the driver is not known, and the kernel does not say what it can; an \
                         agent will try"
                .to_owned();
            found(Outcome::Unknown, words).fix(format!("ethtool -i {name}"))
        }
        Some(false) if driver == "veth" => {
            let words = "veth whose other end sends by more queues than this end receives by";
            found(Outcome::Fail, words.to_owned()).fix(format!(
                "ethtool -l {name}    # and ethtool -L {name} rx N: no fewer than the other end's TX"
            ))
        }
        Some(false) => found(Outcome::Fail, format!("{driver}: runs no XDP natively")).fix(generic),
        Some(true) if driver == "veth" => veth(interface),
        Some(true) => found(Outcome::Pass, driver.to_owned()),
    }
}

/// A veth sends what its program sends only if the other end runs XDP, too.
fn veth(interface: &InterfaceFacts) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::NativeXdp, outcome, words);
    let fix = |peer: &str| {
        format!("xdp-loader load -m native {peer} xdp_pass.o    # any program that passes packets")
    };
    let transmits = interface.xdp_features.map(|features| features & netdev::TRANSMITS != 0);
    match (&interface.peer, transmits) {
        (Some(peer), _) if peer.xdp => {
            found(Outcome::Pass, format!("veth, and its other end {} runs XDP, too", peer.name))
        }
        (Some(peer), _) => {
            let words = format!(
                "veth, whose other end {} runs no XDP program: what is forwarded by this \
                 interface is lost",
                peer.name
            );
            found(Outcome::Fail, words).fix(fix(&peer.name))
        }
        (None, Some(false)) => {
            let words = "veth, whose other end runs no XDP program: what is forwarded by this \
                         interface is lost";
            found(Outcome::Fail, words.to_owned()).fix(fix("OTHER-END"))
        }
        (None, _) => {
            let words = "veth, whose other end is not visible from here: it must run XDP, too";
            found(Outcome::Unknown, words.to_owned()).fix("sudo elb doctor")
        }
    }
}

fn other(name: &str, attached: Option<&AttachedProgram>) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::OtherXdp, outcome, words);
    let Some(AttachedProgram { program, name: called, ours, native, link }) = attached else {
        return found(Outcome::Pass, "it carries no program".to_owned());
    };
    let mode = if *native { "native" } else { "generic" };
    if *ours {
        return found(Outcome::Pass, format!("it carries elb's program {program}, {mode}"));
    }
    let Some(called) = called.as_deref() else {
        let words =
            format!("it carries program {program}, {mode}; whose that is only root may ask");
        return found(Outcome::Unknown, words).fix("sudo elb doctor");
    };
    if [names::PROGRAM, names::TRACED_PROGRAM, names::LOGGED_PROGRAM].contains(&called) {
        let words = format!(
            "it carries elb's program {program}, {mode}, which an agent with another pin_dir attached: \
             FILE is the configuration of that one, which doctor takes with --config, too"
        );
        return found(Outcome::Fail, words).fix("elb detach --config FILE");
    }
    let words =
        format!("it carries program {program} ({called}), {mode}, which is not this agent's");
    found(Outcome::Fail, words).fix(match link {
        Some(link) => format!("bpftool link detach id {link}"),
        None if *native => format!("ip link set dev {name} xdp off"),
        None => format!("ip link set dev {name} xdpgeneric off"),
    })
}

fn offloads(mode: AttachMode, name: &str, interface: &InterfaceFacts) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::Offloads, outcome, words);
    if mode == AttachMode::Generic {
        let interfaces = [name.to_owned()];
        return found(Outcome::Warn, joining::what(&interfaces)).fix(joining::fix(&interfaces));
    }
    let Some(on) = &interface.offloads else {
        let words = "the driver does not say which are on".to_owned();
        return found(Outcome::Unknown, words).fix(format!("ethtool -k {name}"));
    };
    let carries = interface.attached.as_ref().is_some_and(|attached| attached.native);
    if mode == AttachMode::Native && !carries {
        for (feature, key, outcome) in JOINING {
            if on.contains(*feature) {
                let words = format!(
                    "{feature} is on: the card joins packets, with which some drivers refuse XDP"
                );
                let fix = format!("ethtool -K {name} {key} off");
                return Finding::inferred(Check::Offloads, *outcome, words).fix(fix);
            }
        }
    }
    if interface.vlans && on.contains("rx-vlan-hw-parse") {
        let words = "rx-vlan-hw-parse is on: the card takes VLAN tags off before the program sees \
                     them"
            .to_owned();
        return found(Outcome::Warn, words).fix(format!("ethtool -K {name} rxvlan off"));
    }
    found(Outcome::Pass, "none that keeps XDP from packets as they came".to_owned())
}

/// A probe through a virtual address is answered from that address, by the route to the
/// member. Strict rp_filter drops what comes in by another interface than the route back goes out.
fn rp_filter(duty: &Duty, facts: &Facts, name: &str, interface: &InterfaceFacts) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::RpFilter, outcome, words);
    // The greater of the two counts (Linux, Documentation/networking/ip-sysctl.rst).
    let Some(value) = interface.rp_filter.max(facts.rp_filter_all) else {
        return found(Outcome::NotApplicable, "the host has no IPv4".to_owned());
    };
    let loose = format!("sysctl -w net.ipv4.conf.{}.rp_filter=2", name.replace('.', "/"));
    if value != 1 {
        return found(Outcome::Pass, format!("{value}, not strict"));
    }
    let by = |address| match facts.network.routes.get(address) {
        Some(Route::Via { ifindex, .. }) => Some(*ifindex),
        Some(Route::Local | Route::None) | None => None,
    };
    let answers = duty.members.iter().any(|(member, _)| by(member) == Some(interface.index));
    let elsewhere = duty.vips.iter().filter(|vip| vip.is_ipv4());
    let elsewhere = elsewhere.clone().find(|vip| by(vip) != Some(interface.index));
    match elsewhere {
        Some(vip) if answers => {
            let words = format!(
                "strict, and the route to {vip} does not go out here: answers of members from \
                 that address, which probes through it get, are dropped"
            );
            found(Outcome::Fail, words).fix(loose)
        }
        _ => found(
            Outcome::Pass,
            "strict, and nothing comes in by it that goes out elsewhere".to_owned(),
        ),
    }
}
