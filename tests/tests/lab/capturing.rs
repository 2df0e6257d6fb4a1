//! `elb capture` next to real traffic: a file that others read, with packets as they came and went.

use std::fs::File;

use anyhow::Result;
use elb_tests::{config::Forwarding, environment::elb_bin, running::Running};
use pcap_file::pcapng::{
    Block, PcapNgReader,
    blocks::{
        enhanced_packet::EnhancedPacketOption, interface_description::InterfaceDescriptionOption,
        opt_common::CommonOption,
    },
};

use crate::{
    scene::{LIMIT, Scene},
    tracing::{start, wait_plain},
};

/// A packet of the file: the interface's name, the bytes, the length of the whole, and the comment.
type Captured = (String, Vec<u8>, u32, String);

fn read(file: File) -> Result<Vec<Captured>> {
    let (mut names, mut packets) = (Vec::new(), Vec::new());
    let mut reader = PcapNgReader::new(file)?;
    while let Some(block) = reader.next_block() {
        let (block, _) = block?;
        if let Block::InterfaceDescription(interface) = block {
            for option in interface.options {
                if let InterfaceDescriptionOption::IfName(name) = option {
                    names.push(name.into_owned());
                }
            }
        } else if let Block::EnhancedPacket(packet) = block {
            let mut comment = String::new();
            for option in &packet.options {
                if let EnhancedPacketOption::Common(CommonOption::Comment(text)) = option {
                    comment = text.clone().into_owned();
                }
            }
            let name = names[packet.interface_id as usize].clone();
            packets.push((name, packet.data.into_owned(), packet.original_len, comment));
        }
    }
    Ok(packets)
}

#[test]
fn packets_stand_in_the_file_as_they_came_and_as_they_went() -> Result<()> {
    const HEADERS: usize = 14 + 20 + 20;
    let scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    let traffic = scene.traffic()?;
    let file = scene.lab.files().join("web.pcapng");
    let vip = scene.lab.vip4();
    let arguments = [
        "capture",
        "-w",
        file.to_str().expect("a path in UTF-8"),
        "--vip",
        &vip.to_string(),
        "--count",
        "50",
    ];
    start(&scene, &arguments)?.finish(LIMIT)?;
    // Into a pipe, and into one that is closed early.
    let (elb, socket) = (elb_bin()?, &scene.config.agent.socket);
    let piped = scene.lab.files().join("piped.pcapng");
    let run = |script: String| -> Result<()> {
        let mut shell = scene.lab.lb().command("sh");
        let (elb, socket) = (elb.display(), socket.display());
        let capture = format!("capture='{elb} capture -w - --socket {socket} --vip {vip}'");
        shell.args(["-c", &format!("{capture}; {script}")]);
        Running::start("elb capture into a pipe", shell)?.finish(LIMIT).map(drop)
    };
    run(format!("$capture --count 5 | cat > {}", piped.display()))?;
    assert_eq!(read(File::open(&piped)?)?.len(), 10);
    run("$capture 2>&1 >/dev/full | grep -q 'No space left'".to_owned())?;
    let code = scene.lab.files().join("code");
    let ends = format!("{{ $capture; echo $? > {}; }} | head -c 100 > /dev/null", code.display());
    run(format!("{ends}; test $(cat {}) = 0", code.display()))?;
    traffic.was_never_disturbed()?;
    wait_plain(&scene)?;

    let packets = read(File::open(&file)?)?;
    assert_eq!(packets.len(), 100);
    let std::net::IpAddr::V4(vip) = vip else { unreachable!("an IPv4 address") };
    let members: Vec<_> = (0..2).map(|index| scene.member(index).to_string()).collect();
    for pair in packets.chunks(2) {
        let [received, sent] = pair else { unreachable!("an even number") };
        assert_eq!((received.0.as_str(), sent.0.as_str()), ("lb0 received", "lb0 sent"));
        assert!(received.3.starts_with("forwarded: listener "), "{}", received.3);
        assert!(received.1.len() >= HEADERS && received.1.len() <= 256);
        assert_eq!(received.1[30..34], vip.octets());
        assert_eq!(sent.2, received.2 + 20);
        // An outer header to a member, and behind it the packet as it came, but for the hop that
        // the tunnel is.
        let mut inner = sent.1[34..HEADERS].to_vec();
        assert_eq!((sent.1[23], inner[8] + 1), (4, received.1[22]));
        inner[8] = received.1[22];
        inner[10..12].copy_from_slice(&received.1[24..26]);
        assert_eq!(inner, received.1[14..34]);
        let outer: [u8; 4] = sent.1[30..34].try_into()?;
        assert!(members.contains(&std::net::Ipv4Addr::from(outer).to_string()), "{outer:?}");
        assert!(sent.3.starts_with("to "), "{}", sent.3);
    }
    Ok(())
}
