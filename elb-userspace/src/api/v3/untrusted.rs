//! What strangers write into the head of a request, read as the server reads it: for tests of hostile input.

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use ring::hmac;

use super::query::QueryPairs;
use super::route::route;
use super::signature::{Authorization, SignedRequest, hex};
use super::table::TABLE;

/// A request without a body, and a header `Authorization`.
#[derive(Clone, Copy, Debug)]
pub struct UntrustedHead<'a> {
    /// Its method.
    pub method: &'a str,
    /// As it is received.
    pub path: &'a str,
    /// As it is received.
    pub query: &'a str,
    /// Lower-case names, and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// Who signed it, and how.
    pub authorization: &'a str,
}

impl UntrustedHead<'_> {
    /// The header as it was understood, written by us.
    pub fn understood(&self) -> Option<String> {
        let read = Authorization::parse(self.authorization)?;
        Some(read.written())
    }

    /// Whether it is signed with this secret.
    pub fn is_signed(&self, secret: &str) -> bool {
        let read = Authorization::parse(self.authorization);
        read.is_some_and(|read| self.request(|request| request.is_signed(&read, secret)))
    }

    /// The header that signs it with this secret, of the headers that the given one names; none: it cannot be read, or
    /// names one that is not there.
    pub fn signed(&self, secret: &str) -> Option<String> {
        let read = Authorization::parse(self.authorization)?;
        let text = self.request(|request| request.string_to_sign(&read.signed, request.query))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = hmac::sign(&key, text.as_bytes()).as_ref().to_vec();
        Some(Authorization { signature, ..read }.written())
    }

    fn request<T>(&self, judge: impl FnOnce(&SignedRequest<'_>) -> T) -> T {
        let header = |name: &str| {
            let found = self.headers.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let Self { method, path, query, .. } = *self;
        judge(&SignedRequest { method, path, query, header: &header, body: b"" })
    }
}

impl Authorization {
    fn written(&self) -> String {
        let (access, signed, signature) =
            (&self.access, self.signed.join(";"), hex(&self.signature));
        format!("SDK-HMAC-SHA256 Access={access}, SignedHeaders={signed}, Signature={signature}")
    }
}

/// A path that the API has.
#[derive(Debug, PartialEq, Eq)]
pub struct UntrustedPath {
    /// The operation.
    pub operation: &'static str,
    /// Its parameters.
    pub parameters: Vec<(&'static str, String)>,
}

impl UntrustedPath {
    /// What a request is for.
    pub fn read(method: &str, path: &str) -> Option<Self> {
        let routed = route(method, path)?;
        Some(Self {
            operation: &routed.operation.name,
            parameters: routed.parameters.into_iter().collect(),
        })
    }

    /// The same path, with every byte of its parameters encoded.
    pub fn written(&self) -> String {
        let found = TABLE.operations.iter().find(|one| one.name == self.operation);
        let pattern = found.map(|operation| &*operation.path).unwrap_or_default();
        let segment = |pattern: &String| {
            let name = pattern.trim_matches(['{', '}']);
            let value = self.parameters.iter().find(|(one, _)| *one == name);
            value.map_or_else(|| pattern.clone(), |(_, value)| encoded(value))
        };
        pattern.iter().map(segment).collect::<Vec<_>>().join("/")
    }
}

/// Keys and values of a query of an operation, or why it is refused.
///
/// # Errors
/// What is wrong, for people.
pub fn untrusted_query(operation: &str, raw: &str) -> Result<Vec<(String, String)>, String> {
    let found = TABLE.operations.iter().find(|one| one.name == operation);
    let found = found.ok_or_else(|| format!("there is no operation {operation:?}"))?;
    let pairs = QueryPairs::read(raw, found).map_err(|refusal| refusal.message)?;
    let by_key = pairs.by_key().into_iter();
    let pairs = by_key.flat_map(|(key, values)| {
        values.into_iter().map(move |value| (key.to_owned(), value.to_owned()))
    });
    Ok(pairs.collect())
}

/// Keys and values as the text of a query.
pub fn written_query(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
    pairs.join("&")
}

/// Every byte but letters and digits encoded, and the first one always: no segment of a path that is fixed.
fn encoded(text: &str) -> String {
    let Some(first) = text.bytes().next() else { return String::new() };
    let text = utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let rest = if text.starts_with('%') { return text } else { text.get(1..).unwrap_or_default() };
    let text = format!("%{first:02X}{rest}");
    debug_assert!(percent_decode_str(&text).decode_utf8().is_ok(), "{text}");
    text
}
