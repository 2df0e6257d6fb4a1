//! Where events are sent, `[[notify]]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::Uri;
use serde::Serialize;

use super::file::table::Table;
use crate::model::value::{Invalid, ValueRule, choice};

/// Places that events are sent to.
const MOST: usize = 8;

/// A place that events are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notify {
    /// The place.
    pub url: WebhookUrl,
    /// Which events.
    pub events: Vec<NotifiedEvent>,
    /// The certificates of the authorities that an https URL is trusted by; none: those of the system.
    pub ca_file: Option<PathBuf>,
}

choice! {
    /// An event that may be sent.
    NotifiedEvent {
        /// A member became OFFLINE.
        Unhealthy = "unhealthy",
        /// A member became ONLINE after it was OFFLINE.
        Recovered = "recovered",
        /// A backup member takes new connections.
        InService = "in_service",
        /// It is in reserve again.
        InReserve = "in_reserve",
        /// A member begins to rise to its share of the new connections.
        SlowStart = "slow_start",
        /// It has all of its share.
        SlowStartOver = "slow_start_over",
        /// A fallback pool serves a listener.
        Fallback = "fallback",
        /// The default pool serves it again.
        FallbackOver = "fallback_over",
    }
    not yet: [], use "unhealthy, recovered, in_service, in_reserve, slow_start, slow_start_over, fallback or fallback_over"
}

/// The URL of a webhook: http or https, with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// Host and port.
    pub fn authority(&self) -> (String, u16) {
        let uri: Uri = self.0.parse().unwrap_or_default();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        (host, uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 }))
    }

    /// Whether it is asked by TLS.
    pub fn is_https(&self) -> bool {
        self.0.parse().is_ok_and(|uri: Uri| uri.scheme_str() == Some("https"))
    }

    /// What is asked for: path and query.
    pub fn path(&self) -> String {
        let uri: Uri = self.0.parse().unwrap_or_default();
        uri.path_and_query().map_or("/".to_owned(), ToString::to_string)
    }

    /// Host and port, as they are written.
    pub fn host_header(&self) -> String {
        let uri: Uri = self.0.parse().unwrap_or_default();
        uri.authority().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ValueRule for WebhookUrl {
    fn rule() -> String {
        "an http or https URL, as in https://hooks.example.com/elb".to_owned()
    }
}

impl FromStr for WebhookUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let against = |what: String| Err(Invalid::against_rule::<Self>(what));
        let Ok(uri) = text.parse::<Uri>() else {
            return against(format!("{text:?} is no URL"));
        };
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                against("a URL with a user in it is not supported".to_owned())
            }
            (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => {
                Ok(Self(text.to_owned()))
            }
            _ => against(format!("{text:?} is no http or https URL")),
        }
    }
}

/// Reads what is right of all `[[notify]]`.
pub(super) fn read_all(mut tables: Vec<Table<'_>>) -> Vec<Notify> {
    if let Some(table) = tables.get_mut(MOST) {
        let what = format!("it is the {}th, of at most {MOST}", MOST + 1);
        table.wrong("url", what, "let one of them pass events on");
    }
    tables.into_iter().filter_map(read).collect()
}

/// Reads a `[[notify]]`; `None` if anything in it is wrong.
fn read(mut table: Table<'_>) -> Option<Notify> {
    let t = &mut table;
    t.require("url", "name where events are sent, as in \"http://127.0.0.1:9000/elb\"");
    let url = t.parsed("url");
    let events = events(t);
    let ca_file = ca_file(t, url.as_ref());
    let (sound, _) = table.finish();
    Some(Notify { url: url?, events, ca_file }).filter(|_| sound)
}

fn ca_file(t: &mut Table<'_>, url: Option<&WebhookUrl>) -> Option<PathBuf> {
    let path = t.path("ca_file")?;
    if url.is_some_and(|url| !url.is_https()) {
        t.wrong(
            "ca_file",
            "ca_file is for an https URL",
            "remove it, or let the URL begin with https",
        );
    }
    Some(path)
}

fn events(t: &mut Table<'_>) -> Vec<NotifiedEvent> {
    let Some(names) = t.texts("events", &NotifiedEvent::rule()) else {
        return NotifiedEvent::ALL.to_vec();
    };
    let mut events = Vec::new();
    for name in names {
        match name.parse() {
            Ok(event) => events.push(event),
            Err(Invalid { what, fix }) => t.wrong("events", what, fix),
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_host_port_and_path() {
        let url = |text: &str| text.parse::<WebhookUrl>().unwrap();
        let parts = |text: &str| {
            let url = url(text);
            (url.authority(), url.path(), url.host_header())
        };
        let secure = (("a.example".to_owned(), 443), "/x".to_owned(), "a.example".to_owned());
        assert_eq!(parts("https://a.example/x"), secure);
        assert!(url("https://a.example/x").is_https() && !url("http://a.example/").is_https());
        let plain = (("a.example".to_owned(), 80), "/".to_owned(), "a.example".to_owned());
        assert_eq!(parts("http://a.example"), plain);
        let (authority, path, host) = parts("http://[::1]:9000/elb?x=1");
        assert_eq!(
            (authority, &path[..], &host[..]),
            (("::1".to_owned(), 9000), "/elb?x=1", "[::1]:9000")
        );
    }

    #[test]
    fn other_urls_are_refused() {
        let why = |text: &str| text.parse::<WebhookUrl>().unwrap_err().what;
        for wrong in [
            "ftp://a.example",
            "a.example",
            "/elb",
            "http:///x",
            "",
            "http://u:p@a.example/",
            "https://u:p@a.example/",
            "https:///x",
            "http://a b/",
        ] {
            assert!(!why(wrong).is_empty(), "{wrong}");
        }
    }
}
