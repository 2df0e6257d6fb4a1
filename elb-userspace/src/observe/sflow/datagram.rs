//! The bytes of a datagram, after sflow_version_5.txt and sflow_drops.txt of sflow.org: words of four bytes, the
//! highest first. Interfaces are in the expanded form, which has room for all of their numbers.

use std::net::IpAddr;

/// A datagram has no more bytes, so that it is one packet on any usual way.
pub(super) const MOST: usize = 1_400;

/// What a datagram begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Who sends.
    pub(super) agent: IpAddr,
    /// Its number; they rise by one.
    pub(super) sequence: u32,
    /// Milliseconds since sending began.
    pub(super) uptime: u32,
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'f> {
    /// Bytes of all of it, without the check sequence.
    pub(super) length: u32,
    /// The first of them.
    pub(super) bytes: &'f [u8],
}

/// A sampled packet, which came in by the interface that samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowSample<'f> {
    pub(super) interface: u32,
    /// Its number among those of this interface.
    pub(super) sequence: u32,
    /// One of so many packets is a sample.
    pub(super) rate: u32,
    /// Packets that could have been samples.
    pub(super) pool: u32,
    /// Samples that were lost.
    pub(super) drops: u32,
    pub(super) frame: Frame<'f>,
}

/// A packet that was refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct DiscardedPacket<'f> {
    pub(super) interface: u32,
    /// Its number among those of this interface.
    pub(super) sequence: u32,
    /// Others that are not sent.
    pub(super) drops: u32,
    /// A `drop_reason`.
    pub(super) reason: u32,
    /// None: it is not as it came any more.
    pub(super) frame: Option<Frame<'f>>,
}

/// Puts a datagram together from whole samples.
pub(super) fn datagram(head: Head, samples: &[u8], count: u32) -> Vec<u8> {
    const VERSION: u32 = 5;
    const SUB_AGENT: u32 = 0;
    let mut out = Vec::with_capacity(HEAD + samples.len());
    word(&mut out, VERSION);
    match head.agent {
        IpAddr::V4(address) => {
            word(&mut out, 1);
            out.extend(address.octets());
        }
        IpAddr::V6(address) => {
            word(&mut out, 2);
            out.extend(address.octets());
        }
    }
    for next in [SUB_AGENT, head.sequence, head.uptime, count] {
        word(&mut out, next);
    }
    out.extend(samples);
    out
}

/// Bytes before the first sample, at most.
pub(super) const HEAD: usize = 40;

impl FlowSample<'_> {
    /// Adds it to others.
    pub(super) fn add(&self, out: &mut Vec<u8>) {
        const FORMAT: u32 = 3;
        within(out, FORMAT, |out| {
            word(out, self.sequence);
            source(out, self.interface);
            [self.rate, self.pool, self.drops].into_iter().for_each(|next| word(out, next));
            // By which interface it came in, and that nothing is said of the one by which it left.
            [0, self.interface, 0, 0].into_iter().for_each(|next| word(out, next));
            records(out, Some(self.frame));
        });
    }
}

impl DiscardedPacket<'_> {
    /// Adds it to others.
    pub(super) fn add(&self, out: &mut Vec<u8>) {
        const FORMAT: u32 = 5;
        within(out, FORMAT, |out| {
            word(out, self.sequence);
            source(out, self.interface);
            word(out, self.drops);
            [self.interface, 0, self.reason].into_iter().for_each(|next| word(out, next));
            records(out, self.frame);
        });
    }
}

/// The data source: an interface.
fn source(out: &mut Vec<u8>, interface: u32) {
    const BY_INDEX: u32 = 0;
    word(out, BY_INDEX);
    word(out, interface);
}

/// Records of a sample: the beginning of the frame, if there is one.
fn records(out: &mut Vec<u8>, frame: Option<Frame<'_>>) {
    const RAW_PACKET_HEADER: u32 = 1;
    const ETHERNET: u32 = 1;
    // Lengths count the frame's check sequence, which is not there.
    const CHECK_SEQUENCE: u32 = 4;
    length(out, frame.iter().len());
    let Some(Frame { length: all, bytes }) = frame else { return };
    within(out, RAW_PACKET_HEADER, |out| {
        word(out, ETHERNET);
        word(out, all.saturating_add(CHECK_SEQUENCE));
        word(out, CHECK_SEQUENCE);
        length(out, bytes.len());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
    });
}

/// Something with its format and its length before it.
fn within(out: &mut Vec<u8>, format: u32, inner: impl FnOnce(&mut Vec<u8>)) {
    word(out, format);
    let mut all = Vec::new();
    inner(&mut all);
    length(out, all.len());
    out.append(&mut all);
}

/// A length, or a number of things: far less than what a word holds.
fn length(out: &mut Vec<u8>, value: usize) {
    word(out, u32::try_from(value).unwrap_or(u32::MAX));
}

fn word(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn a_datagram_begins_with_who_sends_it() {
        let head = Head { agent: [192, 0, 2, 1].into(), sequence: 7, uptime: 1_500 };
        let v4 = datagram(head, &[0; 8], 1);
        assert_eq!(words(&v4), [5, 1, 0xc000_0201, 0, 7, 1_500, 1, 0, 0]);
        let agent = "2001:db8::1".parse().unwrap();
        let v6 = datagram(Head { agent, ..head }, &[], 0);
        assert_eq!(words(&v6), [5, 2, 0x2001_0db8, 0, 0, 1, 0, 7, 1_500, 0]);
        assert_eq!(v6.len(), HEAD);
    }

    #[test]
    fn a_flow_sample_in_words() {
        let mut out = Vec::new();
        let frame = Frame { length: 60, bytes: &[1, 2, 3, 4, 5] };
        let (interface, sequence, rate, pool, drops) = (9, 3, 400, 1_234, 2);
        FlowSample { interface, sequence, rate, pool, drops, frame }.add(&mut out);
        // Format and length; number, source, rate, pool, lost; in by 9, out unknown; one record.
        let begins = [3, 76, 3, 0, 9, 400, 1_234, 2, 0, 9, 0, 0, 1];
        // Format and length; Ethernet, 64 bytes with the check sequence, 4 of them gone, 5 here.
        let record = [1, 24, 1, 64, 4, 5, 0x0102_0304, 0x0500_0000];
        assert_eq!(words(&out), [&begins[..], &record].concat());
    }

    #[test]
    fn a_discarded_packet_in_words() {
        let mut out = Vec::new();
        let packet =
            DiscardedPacket { interface: 9, sequence: 3, drops: 5, reason: 258, frame: None };
        packet.add(&mut out);
        assert_eq!(words(&out), [5, 32, 3, 0, 9, 5, 9, 0, 258, 0]);
        out.clear();
        let frame = Some(Frame { length: 4, bytes: &[1, 2, 3, 4] });
        DiscardedPacket { frame, ..packet }.add(&mut out);
        let record = [1, 20, 1, 8, 4, 4, 0x0102_0304];
        assert_eq!(words(&out), [&[5, 60, 3, 0, 9, 5, 9, 0, 258, 1][..], &record].concat());
    }

    #[test]
    fn a_datagram_has_room_for_seven_of_the_largest() {
        let mut out = Vec::new();
        let frame =
            Some(Frame { length: 1_514, bytes: &[0; elb_common::flow_log::HEADER as usize] });
        let packet = DiscardedPacket { interface: 9, sequence: 3, drops: 5, reason: 258, frame };
        packet.add(&mut out);
        assert!(HEAD + 7 * out.len() <= MOST, "{}", out.len());
    }
}
