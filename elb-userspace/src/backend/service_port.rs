//! The ports of a service that answers come from, as `elb backend up --port` names them: `80`, `53/udp`,
//! `8000-8010/tcp`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::port_range::PortRange;
use crate::model::transport::TransportProtocol;
use crate::model::value::Invalid;

const FIX: &str = "use PORT or FIRST-LAST, with /tcp (if nothing is said) or /udp, as in 80, 53/udp, 8000-8010/tcp";

/// Ports that answers of a service come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct ServicePort {
    /// The transport protocol.
    pub protocol: TransportProtocol,
    /// The ports: one, or more.
    pub ports: PortRange,
}

impl ServicePort {
    /// One port.
    ///
    /// # Errors
    /// It is port 0.
    pub fn one(protocol: TransportProtocol, port: u16) -> Result<Self, Invalid> {
        Ok(Self { protocol, ports: PortRange::new(port, port)? })
    }
}

impl FromStr for ServicePort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new(format!("{text:?} is no port of a service"), FIX);
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), TransportProtocol::Tcp),
            Some((ports, "udp")) => (ports, TransportProtocol::Udp),
            Some(_) => return Err(wrong()),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        let ports = PortRange::new(number(first)?, number(last)?).map_err(|_| wrong())?;
        Ok(Self { protocol, ports })
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", PortText(self.ports), self.protocol.name())
    }
}

/// Ports as `ip rule` writes them, too.
pub(super) struct PortText(pub(super) PortRange);

impl fmt::Display for PortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start_port(), self.0.end_port()) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl Serialize for ServicePort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServicePort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_comes_back_from_its_text() {
        for (text, shown) in [
            ("80", "80/tcp"),
            ("80/tcp", "80/tcp"),
            ("53/udp", "53/udp"),
            ("8000-8010", "8000-8010/tcp"),
            ("1-65535/udp", "1-65535/udp"),
        ] {
            let port: ServicePort = text.parse().unwrap();
            assert_eq!(port.to_string(), shown);
            assert_eq!(shown.parse::<ServicePort>().unwrap(), port);
        }
    }

    #[test]
    fn what_is_no_port_says_how_to_write_one() {
        for text in ["", "0", "65536", "80/sctp", "9-8", "tcp", "80/", "-", "udp/53", "80/tcp/tcp"]
        {
            let error = text.parse::<ServicePort>().unwrap_err();
            assert!(error.to_string().contains("as in 80, 53/udp"), "{text}: {error}");
        }
    }
}
