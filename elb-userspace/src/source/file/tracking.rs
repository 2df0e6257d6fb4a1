//! Reads what a pool says of how its flows are identified, and how long they stay.

use super::table::Table;
use crate::model::persistence::{ClientBits, ClientBitsV6};
use crate::model::quic::{CidLength, CidOffset};
use crate::model::{
    CidStrategy, DrainTimeout, LbAlgorithm, Protocol, RiseTime, SessionPersistence,
};

/// The part of a connection id that counts; `None` with other algorithms than QUIC_CID.
pub(super) fn quic_cid_hash_strategy(
    t: &mut Table<'_>,
    algorithm: LbAlgorithm,
) -> Option<CidStrategy> {
    const KEY: &str = "quic_cid_hash_strategy";
    if algorithm != LbAlgorithm::QuicCid {
        if t.has(KEY) {
            let what = "quic_cid_hash_strategy is for lb_algorithm QUIC_CID";
            t.wrong(KEY, what, "remove it, or set lb_algorithm = \"QUIC_CID\"");
        }
        t.known(KEY);
        return None;
    }
    let object = format!("{}, {KEY}", t.object());
    let Some(mut table) = t.table(KEY, object) else { return Some(CidStrategy::default()) };
    table.require("offset", "set it to 0 to 19, the bytes before the part that counts");
    table.require("len", "set it to 1 to 20, the bytes of the part that counts");
    let offset: Option<CidOffset> = table.number("offset", " bytes");
    let len: Option<CidLength> = table.number("len", " bytes");
    let strategy = offset.zip(len).and_then(|(offset, len)| {
        let strategy = CidStrategy::new(offset, len);
        strategy.map_err(|invalid| table.wrong("len", invalid.what, invalid.fix)).ok()
    });
    let (sound, _) = table.finish();
    if !sound {
        t.mark_invalid();
    }
    strategy
}

/// For how long clients are remembered; `None`: they are not.
pub(super) fn session_persistence(t: &mut Table<'_>) -> Option<SessionPersistence> {
    const KEY: &str = "session_persistence";
    let object = format!("{}, {KEY}", t.object());
    let mut table = t.table(KEY, object)?;
    table.require("timeout", "set it to the seconds for which a client may be away");
    let timeout = table.number("timeout", " seconds");
    let prefix = table.number_or("prefix", " bits", ClientBits::constant(32));
    let ipv6_prefix = table.number_or("ipv6_prefix", " bits", ClientBitsV6::constant(128));
    let (sound, _) = table.finish();
    if !sound {
        t.mark_invalid();
    }
    Some(SessionPersistence { timeout: timeout?, prefix, ipv6_prefix })
}

/// How long members that leave serve their flows on; `None`: until these end.
pub(super) fn connection_drain(t: &mut Table<'_>) -> Option<DrainTimeout> {
    const KEY: &str = "connection_drain";
    let object = format!("{}, {KEY}", t.object());
    let mut table = t.table(KEY, object)?;
    table.require("enable", "set it to true or false");
    let enable = table.flag("enable");
    let timeout = table.number("timeout", " seconds");
    if enable == Some(true) {
        table.require("timeout", "set it to 10 to 4000 seconds");
    }
    let (sound, _) = table.finish();
    if !sound {
        t.mark_invalid();
    }
    timeout.filter(|_| enable == Some(true))
}

/// In which time a new member rises to its share; 0: at once.
pub(super) fn slow_start(
    t: &mut Table<'_>,
    protocol: Option<Protocol>,
    algorithm: LbAlgorithm,
) -> RiseTime {
    const KEY: &str = "slow_start";
    let seconds = t.number_or(KEY, " seconds; 0 is off", RiseTime::constant(0));
    if protocol == Some(Protocol::Udp) && !algorithm.is_tracked() && seconds.get() > 0 {
        let what = format!(
            "slow_start does not work for UDP with lb_algorithm {algorithm}: after each step, datagrams of \
             unknown flows would still go to the former member for udp_hold"
        );
        t.wrong(KEY, what, "remove it, or set lb_algorithm to ROUND_ROBIN or LEAST_CONNECTIONS");
    }
    seconds
}

#[cfg(test)]
mod tests {
    use crate::model::Pool;
    use crate::source::file::parse;

    fn pool(protocol: &str, keys: &str, member: &str) -> Result<Pool, String> {
        let text = format!(
            "[agent]\ninterfaces = [\"eth0\"]\n[[pool]]\nname = \"p\"\nprotocol = \"{protocol}\"\n\
             forwarding = \"ipip\"\n{keys}\n[[pool.member]]\naddress = \"10.0.0.1\"\n\
             protocol_port = 443\n{member}\n[[pool.member]]\naddress = \"10.0.0.2\"\n\
             protocol_port = 443\n{member}\n"
        );
        let config = parse("p", &text).map_err(|errors| {
            let errors = errors.iter().filter(|error| !error.to_string().contains("warning"));
            errors.map(ToString::to_string).collect::<Vec<_>>().join("\n")
        })?;
        Ok(config.model.pools()[0].clone())
    }

    #[test]
    fn drain_has_a_switch_and_a_timeout() {
        let drain = |value: &str| {
            let pool = pool("TCP", &format!("connection_drain = {value}"), "");
            pool.map(|pool| pool.connection_drain.map(|timeout| timeout.get()))
        };
        assert_eq!(pool("TCP", "", "").unwrap().connection_drain, None);
        assert_eq!(drain("{ enable = true, timeout = 10 }"), Ok(Some(10)));
        assert_eq!(drain("{ enable = true, timeout = 4000 }"), Ok(Some(4000)));
        assert_eq!(drain("{ enable = false, timeout = 30 }"), Ok(None));
        assert_eq!(drain("{ enable = false }"), Ok(None));
        for (wrong, said) in [
            ("{ enable = true }", "timeout is missing"),
            ("{ timeout = 30 }", "enable is missing"),
            ("{ enable = true, timeout = 9 }", "timeout 9 is outside 10..=4000"),
            ("{ enable = true, timeout = 4001 }", "timeout 4001 is outside 10..=4000"),
            ("{ enable = true, timeout = 30, x = 1 }", "\"x\" is not a key here"),
            ("30", "connection_drain is of the type integer"),
        ] {
            let errors = drain(wrong).unwrap_err();
            assert!(errors.contains(said), "{wrong}: {errors}");
        }
    }

    #[test]
    fn a_rise_is_for_what_finds_its_member_at_once() {
        let rise =
            |protocol: &str, keys: &str| pool(protocol, keys, "").map(|pool| pool.rise_seconds());
        assert_eq!(rise("TCP", ""), Ok(None));
        for (seconds, wanted) in [(0, None), (1, Some(1)), (1200, Some(1200))] {
            assert_eq!(rise("TCP", &format!("slow_start = {seconds}")), Ok(wanted));
        }
        assert!(rise("TCP", "slow_start = 1201").unwrap_err().contains("1201 is outside 0..=1200"));
        let by = |algorithm: &str, seconds: u32| {
            rise("UDP", &format!("lb_algorithm = {algorithm:?}\nslow_start = {seconds}"))
        };
        for algorithm in ["ROUND_ROBIN", "LEAST_CONNECTIONS"] {
            assert_eq!(by(algorithm, 30), Ok(Some(30)));
        }
        for algorithm in ["5_TUPLE_HASH", "SOURCE_IP", "QUIC_CID"] {
            let refused = by(algorithm, 30).unwrap_err();
            let said = format!("slow_start does not work for UDP with lb_algorithm {algorithm}");
            assert!(refused.contains(&said), "{refused}");
            assert!(!by(algorithm, 0).is_err_and(|errors| errors.contains("slow_start")));
        }
    }

    #[test]
    fn clients_are_remembered_for_a_time_where_connections_are_recorded() {
        let said = |algorithm: &str, value: &str| {
            let keys = format!("lb_algorithm = \"{algorithm}\"\nsession_persistence = {value}");
            pool("TCP", &keys, "").map(|pool| pool.session_persistence.unwrap().text())
        };
        assert_eq!(pool("TCP", "", "").unwrap().session_persistence, None);
        for algorithm in ["ROUND_ROBIN", "LEAST_CONNECTIONS"] {
            let times = [1, 300, 86_400]
                .map(|seconds| said(algorithm, &format!("{{ timeout = {seconds} }}")).unwrap());
            assert_eq!(times, ["1 s", "300 s", "86400 s"]);
        }
        let networks = "{ timeout = 60, prefix = 24, ipv6_prefix = 64 }";
        assert_eq!(said("ROUND_ROBIN", networks).unwrap(), "60 s by /24 and IPv6 /64");
        for (wrong, error) in [
            ("{}", "timeout is missing"),
            ("{ timeout = 0 }", "timeout 0 is outside 1..=86400"),
            ("{ timeout = 86401 }", "timeout 86401 is outside 1..=86400"),
            ("{ timeout = 60, prefix = 33 }", "prefix 33 is outside 1..=32"),
            ("{ timeout = 60, ipv6_prefix = 0 }", "ipv6_prefix 0 is outside 1..=128"),
            ("{ timeout = 60, type = \"HTTP_COOKIE\" }", "\"type\" is not a key here"),
            ("300", "session_persistence is of the type integer"),
        ] {
            let errors = said("ROUND_ROBIN", wrong).unwrap_err();
            assert!(errors.contains(error), "{wrong}: {errors}");
        }
        for algorithm in ["5_TUPLE_HASH", "SOURCE_IP"] {
            let errors = said(algorithm, "{ timeout = 60 }").unwrap_err();
            assert!(
                errors.contains("session_persistence needs a pool that records every connection"),
                "{errors}"
            );
        }
    }

    #[test]
    fn connection_ids_are_for_quic() {
        let quic = "lb_algorithm = \"QUIC_CID\"\n";
        let part = |keys: &str| {
            let pool = pool("UDP", &format!("{quic}{keys}"), "");
            pool.map(|pool| pool.quic_cid_hash_strategy.unwrap().part())
        };
        assert_eq!(part(""), Ok((0, 8)));
        assert_eq!(part("quic_cid_hash_strategy = { offset = 1, len = 19 }"), Ok((1, 19)));
        let said = |result: Result<Pool, String>, said: &str| {
            let errors = result.unwrap_err();
            assert!(errors.contains(said), "{errors}");
        };
        let strategy = "quic_cid_hash_strategy = { offset = 2, len = 19 }";
        said(pool("UDP", &format!("{quic}{strategy}"), ""), "more than a connection id has");
        said(pool("UDP", strategy, ""), "is for lb_algorithm QUIC_CID");
        said(pool("TCP", quic, ""), "lb_algorithm QUIC_CID is not for TCP");
        said(pool("UDP", "", "server_id = \"00\""), "server_id is for pools with");
        said(pool("UDP", quic, "server_id = \"0102\""), "server_id 0102 has 2 bytes, not 8");
        let twice = "server_id = \"0102030405060708\"";
        said(pool("UDP", quic, twice), "is that of member \"10.0.0.1:443\"");
    }
}
