//! Why a packet was refused, by the numbers of sFlow (`drop_reason` of sflow_drops.txt; those below 256 are
//! ICMP's codes of an unreachable destination).

use elb_common::reason::Reason;

/// Nothing in sFlow's list is it.
const UNKNOWN: u32 = 256;

/// The number for this reason.
pub(super) const fn number(reason: Option<Reason>) -> u32 {
    const HOST_UNREACHABLE: u32 = 1;
    const PORT_UNREACHABLE: u32 = 3;
    const PROHIBITED: u32 = 13;
    const TTL_EXCEEDED: u32 = 257;
    const ACL: u32 = 258;
    const NO_BUFFER_SPACE: u32 = 259;
    const TRAFFIC_SHAPING: u32 = 261;
    const TOO_BIG: u32 = 262;
    const UNRESOLVED_NEIGHBOUR: u32 = 279;
    let Some(reason) = reason else { return UNKNOWN };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most packets are not refused by the others"
    )]
    match reason {
        Reason::NoBackend | Reason::NoBackendAnswered => HOST_UNREACHABLE,
        Reason::ClosedPort | Reason::ClosedPortAnswered => PORT_UNREACHABLE,
        Reason::Disabled => PROHIBITED,
        Reason::TtlExpired => TTL_EXCEEDED,
        Reason::AccessDenied | Reason::Cut | Reason::CutAnswered => ACL,
        Reason::NoRoom | Reason::NoRecord => NO_BUFFER_SPACE,
        Reason::RateLimited
        | Reason::ConnectionLimit
        | Reason::MemberLimit
        | Reason::MemberLimitAnswered => TRAFFIC_SHAPING,
        Reason::TooBig | Reason::TooBigAnswered | Reason::Joined => TOO_BIG,
        Reason::NoNextHop => UNRESOLVED_NEIGHBOUR,
        _ => UNKNOWN,
    }
}
