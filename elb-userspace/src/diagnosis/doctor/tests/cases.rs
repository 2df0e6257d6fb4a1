//! Each trouble of a host, one change at a time.

use super::*;

/// One change of the host: which check sees it, what comes of it, and what the fix starts with.
pub(super) type Case = (&'static str, Facts, Check, Outcome, &'static str);

#[expect(clippy::too_many_lines, reason = "a table of cases")]
pub(super) fn cases() -> Vec<Case> {
    let general = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        facts
    };
    let foreign = |native, link| {
        let name = Some("xdp_filter".to_owned());
        Some(AttachedProgram { program: 7, name, ours: false, native, link })
    };
    let attached = |name: Option<&str>| {
        let name = name.map(str::to_owned);
        Some(AttachedProgram { program: 7, name, ours: false, native: true, link: Some(9) })
    };
    let veth = |features, peer: Option<bool>| {
        with(|interface| {
            interface.driver = Some("veth".to_owned());
            interface.xdp_features = features;
            interface.peer = peer.map(|xdp| Peer { name: "far".to_owned(), xdp, offloads: None });
        })
    };
    let on = |offload: &str| with(|eth0| eth0.offloads = Some([offload.to_owned()].into()));
    vec![
        (
            "refused",
            general(|f| f.kernel.program = Trial::Refused("no".to_owned())),
            Check::Kernel,
            Outcome::Fail,
            "uname -r",
        ),
        (
            "not allowed",
            general(|f| f.kernel.program = Trial::NotAllowed),
            Check::Kernel,
            Outcome::Unknown,
            "sudo elb doctor",
        ),
        (
            "no JIT",
            general(|f| f.kernel.jit = Some(0)),
            Check::Kernel,
            Outcome::Warn,
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        (
            "old",
            general(|f| f.kernel.release = "5.15.0-91-generic".to_owned()),
            Check::Kernel,
            Outcome::Warn,
            "uname -r",
        ),
        (
            "no capability",
            general(|f| f.capabilities = Some(0)),
            Check::Capabilities,
            Outcome::Fail,
            "sudo elb agent",
        ),
        (
            "no CAP_NET_RAW",
            general(|f| f.capabilities = Some(!(1 << 13))),
            Check::Capabilities,
            Outcome::Warn,
            "sudo elb agent",
        ),
        (
            "no bpffs",
            general(|f| f.bpffs = Bpffs::Missing),
            Check::Bpffs,
            Outcome::Fail,
            "mkdir -p /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf",
        ),
        (
            "another's bpffs",
            general(|f| f.bpffs = Bpffs::ReadOnly),
            Check::Bpffs,
            Outcome::Fail,
            "sudo elb agent",
        ),
        (
            "another agent has the pin directory",
            general(|f| {
                f.holders = vec!["pin_dir /sys/fs/bpf/elb is in use by process 7".to_owned()];
            }),
            Check::Owner,
            Outcome::Fail,
            "stop that process",
        ),
        (
            "an agent whose socket file was removed",
            general(|f| {
                f.holders = vec!["state_dir /var/lib/elb/elb is in use by process 7".to_owned()];
                f.silence = Some(Silence::NoSocket("/run/elb/elb.sock".into()));
            }),
            Check::Owner,
            Outcome::Fail,
            "elb doctor    # again",
        ),
        (
            "an agent that a signal stopped",
            general(|f| {
                f.holders = vec!["state_dir /var/lib/elb/elb is in use by process 7".to_owned()];
                f.silence = Some(Silence::Stopped(7));
            }),
            Check::Owner,
            Outcome::Fail,
            "kill -CONT 7",
        ),
        (
            "an agent that can open no more files",
            general(|f| {
                f.holders = vec!["state_dir /var/lib/elb/elb is in use by process 7".to_owned()];
                f.silence = Some(Silence::NoFile { pid: 7, open: 135, limit: 60 });
            }),
            Check::Owner,
            Outcome::Fail,
            "prlimit --pid 7 --nofile=65536",
        ),
        (
            "a member behind another interface",
            general(|f| {
                let eth1 = f.network.links.get_mut(&3).unwrap();
                eth1.mac = Some(elb_common::addr::Mac::new([2, 0, 0, 0, 0, 3]));
                f.network.routes.insert(address("10.0.0.11"), via(3, None));
            }),
            Check::WayOut,
            Outcome::Fail,
            "add \"eth1\" to interfaces in [agent]",
        ),
        (
            "a virtual address of the host's own",
            general(|f| f.own_vips = own_vip(None, false)),
            Check::OwnAddress,
            Outcome::Warn,
            "ip address show to 192.0.2.10",
        ),
        (
            "a source address of the host's own",
            general(|f| f.own_sources = vec![(address("10.0.0.17"), "eth0".to_owned())]),
            Check::OwnAddress,
            Outcome::Warn,
            "ip address show to 10.0.0.17; ip address del 10.0.0.17 dev eth0, or use another [snat]",
        ),
        (
            "a listener that takes the host's ssh",
            general(|f| f.own_vips = own_vip(Some("listener \"all\" takes ssh"), false)),
            Check::OwnAddress,
            Outcome::Fail,
            "ip address show to 192.0.2.10; ip address del 192.0.2.10 dev eth0",
        ),
        (
            "a listener that may take it",
            general(|f| f.own_vips = own_vip(Some("listener \"all\" takes ssh"), true)),
            Check::OwnAddress,
            Outcome::Warn,
            "ip address show to",
        ),
        (
            "a full disk",
            general(|f| f.state_dir = state_dir(DirectoryRoom::Free { bytes: 0, files: true })),
            Check::StateDir,
            Outcome::Fail,
            "df -h /var/lib/elb/elb",
        ),
        (
            "no inode",
            general(|f| {
                f.state_dir = state_dir(DirectoryRoom::Free { bytes: 1 << 30, files: false });
            }),
            Check::StateDir,
            Outcome::Fail,
            "df -h /var/lib/elb/elb",
        ),
        (
            "a read-only disk",
            general(|f| f.state_dir = state_dir(DirectoryRoom::ReadOnly)),
            Check::StateDir,
            Outcome::Fail,
            "findmnt -T /var/lib/elb/elb",
        ),
        (
            "a disk that is nearly full",
            general(|f| {
                f.state_dir = state_dir(DirectoryRoom::Free { bytes: 100 << 10, files: true });
            }),
            Check::StateDir,
            Outcome::Warn,
            "df -h /var/lib/elb/elb",
        ),
        (
            "clock",
            general(|f| f.synchronised = Some(false)),
            Check::Clock,
            Outcome::Warn,
            "timedatectl set-ntp true",
        ),
        (
            "no interface",
            general(|f| f.interfaces.clear()),
            Check::Interface,
            Outcome::Fail,
            "ip -brief link",
        ),
        (
            "down",
            with(|eth0| eth0.up = false),
            Check::Interface,
            Outcome::Fail,
            "ip link set dev eth0 up",
        ),
        (
            "no carrier",
            with(|eth0| eth0.carrier = false),
            Check::Interface,
            Outcome::Fail,
            "ip link show dev eth0",
        ),
        (
            "no native XDP",
            with(|eth0| eth0.xdp_features = Some(0)),
            Check::NativeXdp,
            Outcome::Fail,
            "set attach_mode = \"generic\"",
        ),
        (
            "before 6.3, unknown driver",
            with(|eth0| {
                (eth0.xdp_features, eth0.driver) = (None, Some("e1000".to_owned()));
            }),
            Check::NativeXdp,
            Outcome::Fail,
            "set attach_mode = \"generic\"",
        ),
        (
            "before 6.3, no driver",
            with(|eth0| (eth0.xdp_features, eth0.driver) = (None, None)),
            Check::NativeXdp,
            Outcome::Unknown,
            "ethtool -i eth0",
        ),
        (
            "veth without XDP behind",
            veth(Some(3), Some(false)),
            Check::NativeXdp,
            Outcome::Fail,
            "xdp-loader load -m native far",
        ),
        (
            "veth, GRO alone behind",
            veth(Some(7), Some(false)),
            Check::NativeXdp,
            Outcome::Fail,
            "xdp-loader load -m native far",
        ),
        (
            "veth, behind not visible",
            veth(Some(7), None),
            Check::NativeXdp,
            Outcome::Unknown,
            "sudo elb doctor",
        ),
        (
            "veth, behind not visible, nothing there",
            veth(Some(3), None),
            Check::NativeXdp,
            Outcome::Fail,
            "xdp-loader",
        ),
        (
            "veth with fewer queues",
            veth(Some(0), None),
            Check::NativeXdp,
            Outcome::Fail,
            "ethtool -l eth0",
        ),
        (
            "foreign, native",
            with(|eth0| eth0.attached = foreign(true, None)),
            Check::OtherXdp,
            Outcome::Fail,
            "ip link set dev eth0 xdp off",
        ),
        (
            "foreign, generic",
            with(|eth0| eth0.attached = foreign(false, None)),
            Check::OtherXdp,
            Outcome::Fail,
            "ip link set dev eth0 xdpgeneric off",
        ),
        (
            "whose is not known",
            with(|eth0| eth0.attached = attached(None)),
            Check::OtherXdp,
            Outcome::Unknown,
            "sudo elb doctor",
        ),
        (
            "another elb's",
            with(|eth0| eth0.attached = attached(Some("elb"))),
            Check::OtherXdp,
            Outcome::Fail,
            "elb detach --config FILE",
        ),
        (
            "foreign, by a link",
            with(|eth0| eth0.attached = foreign(true, Some(9))),
            Check::OtherXdp,
            Outcome::Fail,
            "bpftool link detach id 9",
        ),
        ("LRO", on("rx-lro"), Check::Offloads, Outcome::Fail, "ethtool -K eth0 lro off"),
        ("GRO", on("rx-gro-hw"), Check::Offloads, Outcome::Warn, "ethtool -K eth0 rx-gro-hw off"),
        (
            "one queue",
            with(|eth0| eth0.queues = Some(Queues { now: 1, most: 64, combined: true })),
            Check::Queues,
            Outcome::Warn,
            "ethtool -L eth0 combined 2",
        ),
        (
            "RSS to one queue",
            with(|eth0| eth0.rss = vec![1; 128]),
            Check::Queues,
            Outcome::Warn,
            "ethtool -X eth0 equal 2",
        ),
        (
            "uneven RSS",
            with(|eth0| {
                eth0.queues = Some(Queues { now: 4, most: 64, combined: true });
                eth0.rss = [vec![0; 9], vec![1, 2, 3], vec![1, 2, 3], vec![1]].concat();
            }),
            Check::Queues,
            Outcome::Warn,
            "ethtool -X eth0 equal 4",
        ),
        (
            "one CPU",
            with(|eth0| eth0.interrupts = [24, 25].map(|n| (n, [0].into())).into()),
            Check::Queues,
            Outcome::Warn,
            "echo 0 > /proc/irq/24/smp_affinity_list\necho 1 >",
        ),
        (
            "too small",
            general(|f| f.network.links.get_mut(&2).unwrap().mtu = 1500),
            Check::Mtu,
            Outcome::Warn,
            "ip link set dev eth0 mtu 1520",
        ),
        (
            "strict, other way",
            general(|f| {
                f.rp_filter_all = Some(1);
                f.network.routes.insert(address("192.0.2.10"), via(3, None));
            }),
            Check::RpFilter,
            Outcome::Fail,
            "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        ),
    ]
}
