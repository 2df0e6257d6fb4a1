//! The API of this agent and the store behind it, `[api]`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::de::DeTable;

use super::file::table::Table;
use super::subnet::{self, Subnet};
use crate::model::{Announce, Forwarding};

/// Where the API is served, and what its resources have that the API has no name for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiSettings {
    /// Where it is served.
    pub listen: SocketAddr,
    /// The certificate chain with which it is served by TLS.
    pub tls_certificate: Option<PathBuf>,
    /// Its key.
    pub tls_key: Option<PathBuf>,
    /// The file of the keys that clients sign with; none: in the state directory.
    pub keys: Option<PathBuf>,
    /// The file that keeps the resources; none: in the state directory.
    pub store: Option<PathBuf>,
    /// How packets reach the members of its pools.
    pub forwarding: Forwarding,
    /// Who attracts the traffic for its addresses.
    pub announce: Announce,
    /// Subnets from which its load balancers get their addresses.
    pub subnets: Vec<Subnet>,
}

impl ApiSettings {
    const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9443));

    /// The file of the keys.
    pub fn keys_file(&self, state_dir: &Path) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| state_dir.join("api-keys.json"))
    }

    /// The file with the dates of signed changes, which the agent writes.
    pub fn signed_file(state_dir: &Path) -> PathBuf {
        state_dir.join("api-signed.json")
    }

    /// The file of the store.
    pub fn store_file(&self, state_dir: &Path) -> PathBuf {
        self.store.clone().unwrap_or_else(|| state_dir.join("store.db"))
    }
}

/// Reads `[api]`; `None` if anything in it is wrong.
pub(super) fn read(mut table: Table<'_>) -> Option<ApiSettings> {
    let t = &mut table;
    let listen = t.parsed_as("listen", ("an address and a port", "127.0.0.1:9443"));
    let (tls_certificate, tls_key) = t.certificate_and_key();
    let (subnets, is_right) = subnet::read_all(t.tables("subnet", label_of));
    if !is_right {
        t.mark_invalid();
    }
    let settings = ApiSettings {
        listen: listen.unwrap_or(ApiSettings::LISTEN),
        tls_certificate,
        tls_key,
        keys: t.path("keys"),
        store: t.path("store"),
        forwarding: t.parsed_or("forwarding", Forwarding::Nat),
        announce: t.parsed_or("announce", Announce::Arp),
        subnets,
    };
    if !settings.listen.ip().is_loopback() && settings.tls_certificate.is_none() {
        let what =
            format!("tokens for the API on {} could be read on the network", settings.listen);
        t.wrong("listen", what, "use 127.0.0.1 or [::1], or set tls_certificate and tls_key");
    }
    let (sound, _) = table.finish();
    sound.then_some(settings)
}

/// What a subnet is called in messages.
fn label_of(table: &DeTable<'_>) -> Option<String> {
    let text = |key: &str| table.get(key).and_then(|value| value.get_ref().as_str());
    text("name").or_else(|| text("id")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{Errors, parse};

    fn of(lines: &str) -> Result<Option<ApiSettings>, Errors> {
        let text = format!("[agent]\ninterfaces = [\"eth0\"]\n{lines}\n");
        parse("file", &text).map(|config| config.api)
    }

    #[test]
    fn without_the_table_there_is_no_api() {
        assert_eq!(of("").unwrap(), None);
    }

    #[test]
    fn it_listens_on_loopback_and_keeps_its_files_in_the_state_directory() {
        let api = of("[api]\nforwarding = \"ipip\"").unwrap().unwrap();
        assert_eq!((api.listen, api.forwarding), (ApiSettings::LISTEN, Forwarding::Ipip));
        assert_eq!(of("[api]").unwrap().unwrap().forwarding, Forwarding::Nat);
        assert_eq!(api.store_file(Path::new("/s")), Path::new("/s/store.db"));
        assert_eq!(api.keys_file(Path::new("/s")), Path::new("/s/api-keys.json"));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let tls = "tls_certificate = \"/c\"\ntls_key = \"/k\"";
        let far = "[api]\nforwarding = \"l2\"\nlisten = \"10.0.0.1:9443\"";
        assert!(of(&format!("{far}\n{tls}")).is_ok());
        let pool = "[[pool]]\nname = \"p\"\nprotocol = \"TCP\"\nforwarding = \"l2\"";
        for (wrong, said) in [
            (far.to_owned(), "could be read on the network"),
            ("[api]\nforwarding = \"l2\"\ntls_key = \"/k\"".to_owned(), "without tls_certificate"),
            ("[api]\nforwarding = \"l2\"\nstore = \"x\"".to_owned(), "is not an absolute path"),
            (format!("[api]\nforwarding = \"l2\"\n{pool}"), "has its resources in the store"),
        ] {
            let errors = of(&wrong).unwrap_err().to_string();
            assert!(errors.contains(said), "{wrong}: {errors}");
        }
    }
}
