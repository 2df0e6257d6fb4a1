//! The health monitor of a pool: what a probe does and how its results count.

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use super::Member;
use super::value::{Invalid, Ranged, as_text, choice};

/// Seconds of a probe's interval or timeout.
pub type ProbeSeconds = Ranged<1, 50>;
/// How many results in a row change a verdict.
pub type Retries = Ranged<1, 10>;

/// How the members of a pool are probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthMonitor {
    /// False: members are not probed and count as healthy.
    pub admin_state_up: bool,
    /// What a probe does.
    #[serde(flatten)]
    pub check: Check,
    /// From the end of a probe to the start of the next, in seconds.
    pub delay: ProbeSeconds,
    /// For a whole probe, in seconds.
    pub timeout: ProbeSeconds,
    /// Successes in a row that make an OFFLINE member ONLINE.
    pub max_retries: Retries,
    /// Failures in a row that make an ONLINE member OFFLINE.
    pub max_retries_down: Retries,
    /// The port to probe; none: the member's own.
    pub monitor_port: Option<NonZeroU16>,
}

impl HealthMonitor {
    /// [`Self::delay`] unless set.
    pub const DEFAULT_DELAY: ProbeSeconds = ProbeSeconds::constant(5);
    /// [`Self::timeout`] unless set.
    pub const DEFAULT_TIMEOUT: ProbeSeconds = ProbeSeconds::constant(3);
    /// [`Self::max_retries`] and [`Self::max_retries_down`] unless set.
    pub const DEFAULT_RETRIES: Retries = Retries::constant(3);

    /// The port to probe on `member`; 0 only if neither has one, which no [`super::Model`] holds.
    pub fn port(&self, member: &Member) -> u16 {
        self.monitor_port.map_or(member.protocol_port, NonZeroU16::get)
    }
}

impl ProbeSeconds {
    /// The time span.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.get() as u64)
    }
}

/// What a probe does, named by `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "UPPERCASE")]
pub enum Check {
    /// A connection is established.
    Tcp,
    /// A request is answered with an expected status code.
    Http(HttpCheck),
}

choice! {
    /// The names of [`Check`].
    CheckType {
        /// [`Check::Tcp`]
        Tcp = "TCP",
        /// [`Check::Http`]
        Http = "HTTP",
    }
    not yet: ["HTTPS", "GRPC", "TLS", "UDP_CONNECT"], use "TCP or HTTP"
}

/// An HTTP/1.1 request and the answers that count as healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpCheck {
    /// The request's method.
    pub http_method: HttpMethod,
    /// The request's target.
    pub url_path: UrlPath,
    /// What the `Host` field says; none: [`super::Model::default_host`].
    pub domain_name: Option<DomainName>,
    /// The status codes that count as healthy.
    pub expected_codes: ExpectedCodes,
}

choice! {
    /// The method of a probe's request.
    HttpMethod {
        /// GET
        Get = "GET",
        /// HEAD
        Head = "HEAD",
        /// POST
        Post = "POST",
    }
    not yet: ["PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"], use "GET, HEAD or POST"
}

/// The target of a request: `/` and up to 79 more characters of the V3 API's alphabet.
///
/// What follows a `#` is accepted, as V3 does, but never sent (RFC 9110 §4.2.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UrlPath(String);

impl UrlPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for UrlPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl FromStr for UrlPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !text.starts_with('/') {
            return Err(Invalid::new(format!("{text:?} is not a path"), "start it with /"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-/.?#%&_;~!()*[]@$^:',+".contains(c);
        if let Some(c) = text.chars().find(|c| !allowed(*c)) {
            let fix = "use letters, digits and -/.?#%&_;~!()*[]@$^:',+ or percent-encode it";
            return Err(Invalid::new(format!("has the character {c:?}"), fix));
        }
        match text.len() {
            1..=80 => Ok(Self(text.to_owned())),
            length => Err(Invalid::new(format!("has {length} characters"), "use at most 80")),
        }
    }
}

/// A domain name of at least two labels, 1 to 100 characters, or an IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

impl DomainName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.starts_with(|c: char| c.is_ascii_alphanumeric())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.ends_with('-')
        };
        let labels = text.split('.').count();
        let is_name = labels >= 2 && text.len() <= 100 && text.split('.').all(is_label);
        if is_name || text.parse::<Ipv4Addr>().is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            format!("{text:?} is not a domain name"),
            "use two or more labels of letters, digits and hyphens, at most 100 characters, \
             for example www.example.com",
        ))
    }
}

/// Status codes that count as healthy: up to five codes or ranges of codes, `200,202-204`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedCodes {
    /// First and last code of each, both included.
    ranges: Vec<(u16, u16)>,
}

impl ExpectedCodes {
    /// Whether an answer with this status counts as healthy.
    pub fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl Default for ExpectedCodes {
    fn default() -> Self {
        Self { ranges: vec![(200, 200)] }
    }
}

impl FromStr for ExpectedCodes {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let code = |code: &str| {
            let digits = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
            let code = code.parse().ok().filter(|code| (200..=599).contains(code));
            code.filter(|_| digits)
        };
        let range = |item: &str| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            code(first).zip(code(last)).filter(|(first, last)| first <= last)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(|item| range(item.trim())).collect();
        let ranges = ranges.filter(|ranges| ranges.len() <= 5);
        ranges.map(|ranges| Self { ranges }).ok_or_else(|| {
            Invalid::new(
                format!("{text:?} is not a list of status codes"),
                "use at most 5 codes or ranges within 200..=599, for example 200,202-204",
            )
        })
    }
}

impl fmt::Display for ExpectedCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for ExpectedCodes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_text(self, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_codes() {
        let codes: ExpectedCodes = "200, 202-204".parse().unwrap();
        let counted: Vec<u16> = (100..700).filter(|status| codes.contains(*status)).collect();
        assert_eq!(counted, [200, 202, 203, 204]);
        assert_eq!(codes.to_string(), "200,202-204");
        assert!("200,201,202,203,599".parse::<ExpectedCodes>().is_ok());
        for text in
            ["", "199", "600", "2xx", "204-200", "200,", "0200", "+200", "200-202-204", "200,,202"]
        {
            assert!(text.parse::<ExpectedCodes>().is_err(), "{text}");
        }
        assert!("200,201,202,203,204,205".parse::<ExpectedCodes>().is_err());
    }

    #[test]
    fn paths() {
        for text in ["/", "/healthz", "/a-/.?#%&_;~!()*[]@$^:',+", &format!("/{}", "a".repeat(79))]
        {
            assert_eq!(text.parse::<UrlPath>().unwrap().as_str(), text);
        }
        for text in ["", "healthz", "/a b", "/é", "/a\r\nX: y", &format!("/{}", "a".repeat(80))] {
            assert!(text.parse::<UrlPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn domain_names() {
        for text in ["example.com", "1.example", "a-b.c", "10.0.0.1"] {
            assert_eq!(text.parse::<DomainName>().unwrap().as_str(), text);
        }
        let long = format!("{}.com", "a".repeat(64));
        let longer = ["a".repeat(50), "b".repeat(50)].join(".");
        for text in ["", "localhost", ".com", "a..b", "-a.b", "a-.b", "a_b.c", &long, &longer] {
            assert!(text.parse::<DomainName>().is_err(), "{text}");
        }
    }
}
