//! Who may scrape metrics, and what they get, `[metrics]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::file::table::Table;
use crate::model::value::Ranged;

/// Members.
pub type MostMembers = Ranged<0, 65_535>;

/// How metrics are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricsSettings {
    /// Where they are served over TCP; none: only on the agent's socket.
    pub listen: Option<SocketAddr>,
    /// The file with the token that clients over TCP must show.
    pub bearer_token_file: Option<PathBuf>,
    /// The certificate chain with which TCP clients are served by TLS.
    pub tls_certificate: Option<PathBuf>,
    /// Its key.
    pub tls_key: Option<PathBuf>,
    /// Members from which on they have no metrics of their own.
    pub members: MostMembers,
}

const MEMBERS: MostMembers = MostMembers::constant(5_000);

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            listen: None,
            bearer_token_file: None,
            tls_certificate: None,
            tls_key: None,
            members: MEMBERS,
        }
    }
}

/// Reads `[metrics]`; `None` if anything in it is wrong.
pub(super) fn read(mut table: Table<'_>) -> Option<MetricsSettings> {
    let t = &mut table;
    let listen = t.parsed_as("listen", ("an address and a port", "127.0.0.1:9105"));
    let bearer_token_file = t.path("bearer_token_file");
    let (tls_certificate, tls_key) = t.certificate_and_key();
    let settings = MetricsSettings {
        listen,
        bearer_token_file,
        tls_certificate,
        tls_key,
        members: t.number_or("members", "", MEMBERS),
    };
    let is_secured = settings.bearer_token_file.is_some() || settings.tls_certificate.is_some();
    if let Some(listen) = settings.listen.filter(|listen| !listen.ip().is_loopback() && !is_secured)
    {
        let what = format!("metrics on {listen} could be read by every host that reaches it");
        let fix =
            "use 127.0.0.1 or [::1], or set bearer_token_file, or tls_certificate and tls_key";
        t.wrong("listen", what, fix);
    }
    let needs_listen = ["bearer_token_file", "tls_certificate"];
    if let Some(key) = needs_listen.into_iter().find(|key| t.has(key) && !t.has("listen")) {
        let what =
            format!("{key} is of no use without listen: on the agent's socket, its mode decides");
        t.wrong(key, what, "set listen, or remove it");
    }
    let (sound, _) = table.finish();
    sound.then_some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{Errors, parse};

    fn of(lines: &str) -> Result<MetricsSettings, Errors> {
        let text = format!("[agent]\ninterfaces = [\"eth0\"]\n[metrics]\n{lines}\n");
        parse("file", &text).map(|config| config.metrics)
    }

    #[test]
    fn loopback_needs_nothing() {
        for listen in ["127.0.0.1:9105", "[::1]:9105"] {
            let settings = of(&format!("listen = \"{listen}\"")).unwrap();
            assert_eq!(settings.listen, listen.parse().ok());
        }
        assert_eq!(of("").unwrap(), MetricsSettings::default());
    }

    #[test]
    fn beyond_loopback_something_must_protect_it() {
        let refused = of("listen = \"0.0.0.0:9105\"").unwrap_err().to_string();
        assert!(
            refused.contains("every host") && refused.contains("bearer_token_file"),
            "{refused}"
        );
        for keys in ["bearer_token_file = \"/t\"", "tls_certificate = \"/c\"\ntls_key = \"/k\""] {
            assert!(of(&format!("listen = \"10.0.0.1:9105\"\n{keys}")).is_ok(), "{keys}");
        }
    }

    #[test]
    fn keys_that_need_each_other_come_together() {
        for wrong in [
            "listen = \"127.0.0.1:9105\"\ntls_key = \"/k\"",
            "listen = \"127.0.0.1:9105\"\ntls_certificate = \"/c\"",
            "bearer_token_file = \"/t\"",
            "listen = \"127.0.0.1:9105\"\nbearer_token_file = \"t\"",
            "listen = \"localhost\"",
            "members = 65536",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
