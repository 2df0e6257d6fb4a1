//! Where samples of packets are sent by sFlow, `[sflow]`.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::file::table::Table;
use crate::model::value::Ranged;

/// Packets.
pub type SamplingRate = Ranged<0, 16_777_216>;
/// Refused packets in a second.
pub type DiscardsPerSecond = Ranged<0, 10_000>;

/// Where samples of packets are sent, and of which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SflowSettings {
    /// Who gets them.
    pub collector: SocketAddr,
    /// By which address this host is known there; none: that which datagrams come from.
    pub agent_address: Option<IpAddr>,
    /// One of so many packets that come in is a sample; 0: none is.
    pub sampling_rate: SamplingRate,
    /// So many refused packets a second are sent at most; 0: none is.
    pub discards_per_second: DiscardsPerSecond,
}

const SAMPLING_RATE: SamplingRate = SamplingRate::constant(2_000);
const DISCARDS_PER_SECOND: DiscardsPerSecond = DiscardsPerSecond::constant(100);

/// Reads `[sflow]`; `None` if it is off, or anything in it is wrong.
pub(super) fn read(mut table: Table<'_>) -> Option<SflowSettings> {
    let t = &mut table;
    t.require("collector", "name who gets the samples, as in \"192.0.2.9:6343\"");
    let is_on = t.flag_or("enabled", true);
    let collector = t.parsed_as("collector", ("an address and a port", "192.0.2.9:6343"));
    let agent_address = t.parsed_as("agent_address", ("an IP address", "192.0.2.1"));
    let sampling_rate = t.number_or("sampling_rate", "", SAMPLING_RATE);
    let discards_per_second = t.number_or("discards_per_second", "", DISCARDS_PER_SECOND);
    if collector.is_some_and(|to: SocketAddr| to.port() == 0 || to.ip().is_unspecified()) {
        let what = "nothing can be sent to collector: it has no address, or no port";
        t.wrong("collector", what.to_owned(), "use an address and a port, as in 192.0.2.9:6343");
    }
    if sampling_rate.get() == 0 && discards_per_second.get() == 0 && is_on {
        let what = "neither packets nor refused ones are to be sent".to_owned();
        t.wrong(
            "sampling_rate",
            what,
            "set sampling_rate or discards_per_second, or enabled = false",
        );
    }
    let (sound, _) = table.finish();
    let settings =
        SflowSettings { collector: collector?, agent_address, sampling_rate, discards_per_second };
    Some(settings).filter(|_| sound && is_on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{Errors, parse};

    fn of(lines: &str) -> Result<Option<SflowSettings>, Errors> {
        let text = format!("[agent]\ninterfaces = [\"eth0\"]\n{lines}\n");
        parse("file", &text).map(|config| config.sflow)
    }

    #[test]
    fn it_is_off_unless_there_is_a_table() {
        assert_eq!(of("").unwrap(), None);
        assert_eq!(of("[sflow]\ncollector = \"192.0.2.9:6343\"\nenabled = false").unwrap(), None);
        let on = of("[sflow]\ncollector = \"[2001:db8::9]:6343\"").unwrap().unwrap();
        assert_eq!(on.collector, "[2001:db8::9]:6343".parse().unwrap());
        assert_eq!((on.sampling_rate.get(), on.discards_per_second.get()), (2_000, 100));
    }

    #[test]
    fn what_sends_nothing_is_refused() {
        let to = "collector = \"192.0.2.9:6343\"\n";
        for wrong in [
            String::new(),
            "collector = \"192.0.2.9\"".to_owned(),
            "collector = \"192.0.2.9:0\"".to_owned(),
            "collector = \"0.0.0.0:6343\"".to_owned(),
            format!("{to}agent_address = \"here\""),
            format!("{to}sampling_rate = 0\ndiscards_per_second = 0"),
            format!("{to}sampling_rate = 100000000"),
        ] {
            assert!(of(&format!("[sflow]\n{wrong}")).is_err(), "{wrong}");
        }
        assert!(of(&format!("[sflow]\n{to}sampling_rate = 0")).unwrap().is_some());
    }
}
