//! Which packets are reported: what the kernel looks for, and what is left for the agent to sort out
//! where several people trace at once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use elb_common::trace::Trace;

use super::{MAX_RATE, MAX_SNAP, MIN_SNAP, Raw, TraceRequest};
use crate::observe::names::Names;

/// A request whose names are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    record: Trace,
    /// The backends asked for; empty: any or none.
    members: BTreeSet<u16>,
}

impl Filter {
    /// What is asked for, as the maps know it.
    ///
    /// # Errors
    /// No member has that name or address.
    pub fn new(request: &TraceRequest, names: &Names) -> Result<Self, String> {
        let members = match &request.member {
            Some(member) => names.select(Some(member), None)?,
            None => BTreeSet::new(),
        };
        let addresses: BTreeSet<IpAddr> = members
            .iter()
            .filter_map(|id| names.member(*id).socket())
            .map(|socket| socket.ip())
            .collect();
        // The kernel looks for one address; among several, the agent sorts.
        let member = match addresses.first() {
            Some(only) if addresses.len() == 1 => address(*only),
            _ => [0; 2],
        };
        let (vip, vip_mask) = request.vip.map_or(ANY, |vip| (words(vip), [u64::MAX; 2]));
        let (client, client_mask) = request
            .client
            .map_or(ANY, |net| (words(net.addr()), mask(net.addr(), net.prefix_len())));
        let record = Trace {
            vip_mask,
            vip,
            client_mask,
            client,
            member,
            reasons: request.reason.map_or(0, |reasons| reasons.bits()),
            until: 0,
            sample: request.sample.max(1),
            limit: request.rate.clamp(1, MAX_RATE),
            snap: request.snap.clamp(MIN_SNAP, MAX_SNAP),
        };
        Ok(Self { record, members })
    }

    /// What the kernel is to look for, alone.
    pub const fn record(&self) -> Trace {
        self.record
    }

    /// Whether a packet that the kernel reported for any subscriber is one of these.
    pub fn wants(&self, raw: &Raw<'_>) -> bool {
        (self.record.is_of(raw.received().ends()) || self.is_answer(raw))
            && self.record.wants_reason(raw.event.reason)
            && (self.members.is_empty()
                || raw.member().is_some_and(|id| self.members.contains(&id)))
    }

    /// Whether it is a member's answer to the client that was asked for, from the virtual address that was.
    fn is_answer(&self, raw: &Raw<'_>) -> bool {
        let is_to_client =
            || raw.received().ends().is_some_and(|ends| self.record.is_to_client(ends));
        // Only afterwards it has its virtual address, which does not show where the kernel gets it.
        let has_any_vip = self.record.vip_mask == [0; 2];
        match raw.sent() {
            Some(sent) if raw.is_for_listener() => self.record.is_of_answer(sent.ends()),
            None if raw.is_for_listener() => has_any_vip && is_to_client(),
            _ => raw.is_lost_answer() && has_any_vip && is_to_client(),
        }
    }
}

const ANY: ([u64; 2], [u64; 2]) = ([0; 2], [0; 2]);

/// What the kernel is to look for so that every one of `filters` gets what it asks for; without
/// any, nothing.
pub fn union<'f>(filters: impl Iterator<Item = &'f Filter>) -> Trace {
    filters.map(Filter::record).reduce(both).unwrap_or_default()
}

fn both(a: Trace, b: Trace) -> Trace {
    let same_vip = (a.vip, a.vip_mask) == (b.vip, b.vip_mask);
    let same_client = (a.client, a.client_mask) == (b.client, b.client_mask);
    let all = a.reasons == 0 || b.reasons == 0;
    Trace {
        vip_mask: if same_vip { a.vip_mask } else { [0; 2] },
        client_mask: if same_client { a.client_mask } else { [0; 2] },
        member: if a.member == b.member { a.member } else { [0; 2] },
        reasons: if all { 0 } else { a.reasons | b.reasons },
        sample: divisor(a.sample, b.sample),
        limit: a.limit.saturating_add(b.limit).min(MAX_RATE),
        snap: a.snap.max(b.snap),
        ..a
    }
}

/// The greatest common divisor.
const fn divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// An address as [`elb_common::path::peek::Ends`] hold it.
fn words(address: IpAddr) -> [u64; 2] {
    let mapped = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    bytemuck::cast(mapped.octets())
}

fn mask(address: IpAddr, prefix: u8) -> [u64; 2] {
    let free = if address.is_ipv4() { 32 } else { 128 } - u32::from(prefix);
    bytemuck::cast(u128::MAX.checked_shl(free).unwrap_or(0).to_be_bytes())
}

/// An address as the record of a backend holds it.
fn address(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            bytemuck::cast([[a, b, c, d, 0, 0, 0, 0], [0; 8]])
        }
        IpAddr::V6(v6) => bytemuck::cast(v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elb_common::path::peek::Ends;
    use elb_common::reason::Reason;

    fn request() -> TraceRequest {
        TraceRequest { sample: 1, rate: 100, snap: 1, ..TraceRequest::default() }
    }

    fn filter(request: &TraceRequest) -> Filter {
        Filter::new(request, &Names::default()).unwrap()
    }

    fn ends(source: &str, destination: &str) -> Option<Ends> {
        let [source, destination] = [source, destination].map(|end| words(end.parse().unwrap()));
        Some(Ends { source, destination })
    }

    #[test]
    fn addresses_and_networks() {
        let both = filter(&TraceRequest {
            vip: Some("192.0.2.10".parse().unwrap()),
            client: Some("198.51.100.0/25".parse().unwrap()),
            ..request()
        });
        assert!(both.record.wants(ends("198.51.100.127", "192.0.2.10")));
        assert!(!both.record.wants(ends("198.51.100.128", "192.0.2.10")));
        assert!(!both.record.wants(ends("198.51.100.127", "192.0.2.11")));
        assert!(!both.record.wants(None));
        let v6 =
            filter(&TraceRequest { client: Some("2001:db8::/33".parse().unwrap()), ..request() });
        assert!(v6.record.wants(ends("2001:db8:7fff::1", "::1")));
        assert!(!v6.record.wants(ends("2001:db8:8000::1", "::1")));
        let all = filter(&TraceRequest { client: Some("0.0.0.0/0".parse().unwrap()), ..request() });
        assert!(all.record.wants(ends("1.2.3.4", "5.6.7.8")));
        assert!(!all.record.wants(ends("2001:db8::1", "::1")), "of IPv4 only");
    }

    #[test]
    fn numbers_are_bounded() {
        let record = filter(&TraceRequest { sample: 0, rate: 0, snap: 0, ..request() }).record();
        assert_eq!((record.sample, record.limit, record.snap), (1, 1, MIN_SNAP));
        let record = filter(&TraceRequest { rate: u32::MAX, snap: u32::MAX, ..request() }).record();
        assert_eq!((record.limit, record.snap), (MAX_RATE, MAX_SNAP));
    }

    #[test]
    fn an_unknown_member_is_an_error() {
        let request = TraceRequest { member: Some("10.0.0.9".parse().unwrap()), ..request() };
        let error = Filter::new(&request, &Names::default()).unwrap_err();
        assert_eq!(
            error,
            "no member is called \"10.0.0.9\"; there are: none; write a name or an id as \
             `elb status -o json` has them, or POOL/MEMBER or LB/LISTENER"
        );
    }

    #[test]
    fn a_union_lets_every_filter_have_its_packets() {
        let web = TraceRequest { vip: Some("192.0.2.10".parse().unwrap()), ..request() };
        let dropped = [Reason::NoBackend].into_iter().collect();
        let drops = TraceRequest { reason: Some(dropped), sample: 6, snap: 900, ..web.clone() };
        let dns =
            TraceRequest { vip: Some("192.0.2.11".parse().unwrap()), sample: 4, ..drops.clone() };
        let [web, drops, dns] = [web, drops, dns].map(|request| filter(&request));
        assert_eq!(union([].into_iter()), Trace::default());
        assert_eq!(union([&web].into_iter()), web.record());
        let one_vip = union([&web, &drops].into_iter());
        assert!(one_vip.wants(ends("10.0.0.1", "192.0.2.10")));
        assert!(!one_vip.wants(ends("10.0.0.1", "192.0.2.11")));
        assert_eq!((one_vip.reasons, one_vip.sample, one_vip.snap), (0, 1, 900));
        let two_vips = union([&drops, &dns].into_iter());
        assert!(two_vips.wants(ends("10.0.0.1", "192.0.2.11")));
        assert_eq!(two_vips.sample, 2);
        assert!(two_vips.wants_reason(Reason::NoBackend as u32));
        assert!(!two_vips.wants_reason(Reason::NotVip as u32));
    }
}
