//! Where a frontend listens.

use std::net::IpAddr;

use crate::source::import::haproxy_words::Line;

/// An address with ports, first and last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// An unspecified one is every address of the host, of its family.
    pub(super) address: Option<IpAddr>,
    pub(super) ports: (u16, u16),
    /// As it was written.
    pub(super) text: String,
    /// Why elb cannot listen there.
    pub(super) refused: Option<String>,
}

/// The addresses of a `bind` line, or of a `listen` line that has some.
pub(super) fn bindings(line: &Line, at: usize) -> Vec<Binding> {
    let ends_tls = line.from(at).iter().any(|word| word == "ssl");
    let mut found: Vec<Binding> =
        line.word(at).split(',').filter(|text| !text.is_empty()).map(binding).collect();
    if ends_tls {
        for one in &mut found {
            let why = "haproxy ends TLS there (ssl); elb hands it on to members that do".to_owned();
            one.refused.get_or_insert(why);
        }
    }
    found
}

fn binding(text: &str) -> Binding {
    let refused = |why: &str| Binding {
        address: None,
        ports: (0, 0),
        text: text.to_owned(),
        refused: Some(format!("`{text}`: {why}")),
    };
    let bare = text.strip_prefix("ipv4@").or(text.strip_prefix("ipv6@")).unwrap_or(text);
    if bare.contains('@') || bare.starts_with('/') {
        return refused("elb listens on addresses and ports only");
    }
    let Some((address, ports)) = bare.rsplit_once(':') else {
        return refused("it has no port");
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else {
        return refused("its port is no number");
    };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = if ["", "*"].contains(&address) { "0.0.0.0" } else { address };
    let Ok(address) = address.parse() else {
        return refused("its address is a name");
    };
    Binding { address: Some(address), ports: (first, last), text: text.to_owned(), refused: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(Option<String>, (u16, u16), bool)> {
        let line = Line {
            number: 1,
            words: format!("bind {text}").split(' ').map(str::to_owned).collect(),
        };
        let found = bindings(&line, 1).into_iter();
        found
            .map(|one| (one.address.map(|a| a.to_string()), one.ports, one.refused.is_none()))
            .collect()
    }

    #[test]
    fn addresses_are_understood() {
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(of("192.0.2.1:80"), [(at("192.0.2.1"), (80, 80), true)]);
        assert_eq!(of("[2001:db8::1]:443,ipv4@192.0.2.1:80-90").len(), 2);
        assert_eq!(of("ipv4@192.0.2.1:80-90"), [(at("192.0.2.1"), (80, 90), true)]);
        for every in ["*:80", ":80", "0.0.0.0:80"] {
            assert_eq!(of(every), [(at("0.0.0.0"), (80, 80), true)], "{every}");
        }
        for every in ["[::]:80", ":::80", "ipv6@:::80"] {
            assert_eq!(of(every), [(at("::"), (80, 80), true)], "{every}");
        }
        for wrong in
            ["/run/x.sock", "fd@3", "localhost:80", "192.0.2.1", "192.0.2.1:http", "*:80 ssl"]
        {
            assert!(of(wrong).iter().all(|(_, _, right)| !right), "{wrong}");
        }
    }
}
