//! Packets as a file that Wireshark reads: pcapng, each frame as it came and as it went.

use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{PcapNgBlock as _, PcapNgWriter};

use crate::observe::trace::{Bytes, PacketEvent};

/// Which way a frame went: the lowest bits of a packet's flags (pcapng §4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Received = 1,
    Sent = 2,
}

impl Direction {
    const fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

/// A capture file. Each interface stands in it twice: `lb0 received` and `lb0 sent`.
pub struct Capture<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: Vec<(String, Direction)>,
    snap: u32,
}

impl<W: Write> Capture<W> {
    /// Begins a file of frames of which at most `snap` bytes are kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(writer: W, snap: u32) -> Result<Self> {
        let writer = PcapNgWriter::new(writer)?;
        Ok(Self { writer, interfaces: Vec::new(), snap })
    }

    /// Adds a packet: as it came, with a comment that says what became of it, and as it went.
    ///
    /// # Errors
    /// The file cannot be written, or the event brings no bytes.
    pub fn add(&mut self, event: &PacketEvent) -> Result<()> {
        let time = humantime::parse_rfc3339(&event.time)?.duration_since(SystemTime::UNIX_EPOCH)?;
        let received = event.received_bytes.as_ref().context("the agent sent no bytes")?;
        let comment = what_became(event);
        let (received_by, length) = (&event.interface, event.length);
        self.frame(received_by, Direction::Received, time, received, length, comment)?;
        if let (Some(sent), Some(bytes)) = (&event.sent, &event.sent_bytes) {
            let comment = format!("to {}", sent.next_hop_mac);
            self.frame(&sent.interface, Direction::Sent, time, bytes, sent.length, comment)?;
        }
        Ok(())
    }

    /// What was written.
    pub fn into_inner(self) -> W {
        self.writer.into_inner()
    }

    fn frame(
        &mut self,
        interface: &str,
        direction: Direction,
        timestamp: Duration,
        Bytes(bytes): &Bytes,
        original_len: u32,
        comment: String,
    ) -> Result<()> {
        let interface_id = self.interface(interface, direction)?;
        let packet = EnhancedPacketBlock {
            interface_id,
            timestamp,
            original_len,
            data: Cow::Borrowed(bytes),
            options: vec![
                EnhancedPacketOption::Flags(direction as u32),
                EnhancedPacketOption::Common(CommonOption::Comment(comment.into())),
            ],
        };
        self.writer.write_block(&packet.into_block())?;
        Ok(())
    }

    /// The number of an interface in the file, which describes it before its first packet.
    fn interface(&mut self, name: &str, direction: Direction) -> Result<u32> {
        let known = |one: &(String, Direction)| one.0 == name && one.1 == direction;
        let number = match self.interfaces.iter().position(known) {
            Some(number) => number,
            None => {
                let mut block = InterfaceDescriptionBlock::new(DataLink::ETHERNET, self.snap);
                let title = format!("{name} {}", direction.word());
                block.options = vec![
                    InterfaceDescriptionOption::IfName(title.into()),
                    InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
                ];
                self.writer.write_block(&block.into_block())?;
                self.interfaces.push((name.to_owned(), direction));
                self.interfaces.len() - 1
            }
        };
        Ok(u32::try_from(number)?)
    }
}

fn what_became(event: &PacketEvent) -> String {
    match (&event.reason, &event.meaning, &event.member) {
        (Some(reason), Some(meaning), _) => format!("{}: {reason}: {meaning}", event.fate),
        (_, _, Some(member)) => {
            let listener = event.listener.as_deref().unwrap_or("?");
            format!("{}: listener {listener} → member {}", event.fate, member.name())
        }
        _ => event.fate.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::packet::Sent;
    use pcap_file::pcapng::{Block, PcapNgReader};

    fn event() -> PacketEvent {
        PacketEvent {
            time: "2026-01-02T03:04:05.000000678Z".to_owned(),
            interface: "lb0".to_owned(),
            protocol: "tcp".to_owned(),
            source: None,
            destination: None,
            syn: false,
            fragment: false,
            length: 70,
            listener: Some("web".to_owned()),
            fate: "dropped".to_owned(),
            reason: Some("no_backend".to_owned()),
            meaning: Some("no member takes it".to_owned()),
            member: None,
            translated: None,
            sent: None,
            received_bytes: Some(Bytes(vec![1; 60])),
            sent_bytes: None,
        }
    }

    #[test]
    fn frames_are_read_back_as_they_came_and_went() {
        let sent = Sent {
            interface: "lb1".to_owned(),
            source_mac: String::new(),
            next_hop_mac: "02:00:00:00:00:09".to_owned(),
            length: 90,
            encapsulation: None,
        };
        let member = serde_json::from_str(
            r#"{"number":1,"name":"m","pool":"web","address":"10.0.0.11","protocol_port":80}"#,
        )
        .unwrap();
        let forwarded = PacketEvent {
            fate: "forwarded".to_owned(),
            reason: None,
            meaning: None,
            member: Some(member),
            sent: Some(sent),
            sent_bytes: Some(Bytes(vec![2; 61])),
            ..event()
        };
        let mut capture = Capture::new(Vec::new(), 64).unwrap();
        capture.add(&event()).unwrap();
        capture.add(&forwarded).unwrap();

        let file = capture.into_inner();
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let (mut names, mut packets) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            let (block, _) = block.unwrap();
            if let Block::InterfaceDescription(block) = block {
                names.push(block.options[0].clone().into_owned());
            } else if let Block::EnhancedPacket(packet) = block {
                packets.push(packet.into_owned());
            }
        }
        let named = |name: &str| InterfaceDescriptionOption::IfName(name.to_owned().into());
        assert_eq!(names, [named("lb0 received"), named("lb1 sent")]);
        let read: Vec<_> = packets
            .iter()
            .map(|packet| {
                let EnhancedPacketOption::Common(CommonOption::Comment(comment)) =
                    &packet.options[1]
                else {
                    panic!("no comment")
                };
                (packet.interface_id, packet.data.len(), packet.original_len, comment.as_ref())
            })
            .collect();
        assert_eq!(
            read,
            [
                (0, 60, 70, "dropped: no_backend: no member takes it"),
                (0, 60, 70, "forwarded: listener web → member m"),
                (1, 61, 90, "to 02:00:00:00:00:09"),
            ]
        );
        assert_eq!(packets[0].timestamp, Duration::new(1_767_323_045, 678));
        assert_eq!(packets[2].options[0], EnhancedPacketOption::Flags(2));
    }
}
