//! A resource of a store as the file would have it. It is read once, and taken as often as it is what the store
//! holds: thousands of others need not be read again for a change of one.

use std::fmt;

use super::draft::Draft;
use super::error::ConfigError;

/// The TOML of one load balancer, pool or IP group, and what reading it came to.
pub struct Piece {
    pub(super) text: String,
    pub(super) draft: Draft,
    /// What is wrong with it by itself; the file is left open.
    pub(super) errors: Vec<ConfigError>,
}

impl Piece {
    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Piece {}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Piece").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::source::file::{self, Host, SourceText, read_piece};

    const FILE: &str = "[agent]\ninterfaces = [\"eth0\"]\n[api]\nforwarding = \"ipip\"\n";
    const BALANCER: &str = "[[load_balancer]]\nname = \"a\"\nvip_address = \"192.0.2.1\"\n\
                            [[load_balancer.listener]]\nname = \"w\"\nprotocol = \"TCP\"\n\
                            protocol_port = 80\ndefault_pool = \"p\"\n";
    const POOL: &str = "[[pool]]\nname = \"p\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
                        [[pool.member]]\naddress = \"10.0.0.1\"\nprotocol_port = 80\n";

    fn source(pieces: &[&str]) -> SourceText {
        let pieces = pieces.iter().map(|text| Arc::new(read_piece((*text).to_owned()))).collect();
        SourceText::of("elb.toml", FILE).with_store("the store".as_ref(), pieces)
    }

    #[test]
    fn pieces_are_what_a_file_with_their_texts_is() {
        let (config, errors) = file::parse_source(&source(&[BALANCER, POOL]), &Host::default());
        assert!(!errors.has_errors(), "{errors}");
        let whole = format!("[agent]\ninterfaces = [\"eth0\"]\n{BALANCER}{POOL}");
        assert_eq!(config.unwrap().model, file::parse("elb.toml", &whole).unwrap().model);
    }

    #[test]
    fn what_is_wrong_with_a_piece_or_between_them_has_no_line() {
        let wrong = BALANCER.replace("= 80", "= 0");
        let (config, errors) = file::parse_source(&source(&[&wrong, POOL]), &Host::default());
        let model = config.unwrap().model;
        assert_eq!((model.load_balancers().len(), model.listeners().count()), (1, 0));
        let text = errors.to_string();
        assert!(text.contains("the store: load balancer \"a\", listener \"w\": "), "{text}");
        let twice = BALANCER.replace("\"a\"", "\"b\"").replace("\"w\"", "\"v\"");
        let pieces = source(&[BALANCER, &twice, POOL]);
        let (config, errors) = file::parse_source(&pieces, &Host::default());
        assert_eq!(config.unwrap().model.load_balancers().len(), 1);
        let text = errors.to_string();
        let expected = "the store: load balancer \"b\": vip_address 192.0.2.1 is that of load balancer \"a\"; ";
        assert!(text.contains(expected), "{text}");
        let (config, errors) = file::parse_source(&source(&["[[pool"]), &Host::default());
        assert!(config.is_some() && errors.has_errors(), "{errors}");
    }
}
