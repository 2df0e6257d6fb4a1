//! SDK-HMAC-SHA256: what a client signs of a request, as the public SDKs do it.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::{digest, hmac};

/// What is not encoded: RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ALGORITHM: &str = "SDK-HMAC-SHA256";
/// The header with the time of a signature.
pub(super) const DATE: &str = "x-sdk-date";

/// The `Authorization` header of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) access: String,
    /// Lower-case names, in the order in which they are signed.
    pub(super) signed: Vec<String>,
    pub(super) signature: Vec<u8>,
}

/// The parts of a request that a signature is of.
pub(super) struct SignedRequest<'a> {
    pub(super) method: &'a str,
    /// As it was received.
    pub(super) path: &'a str,
    /// As it was received.
    pub(super) query: &'a str,
    /// The value of a header by its lower-case name.
    pub(super) header: &'a dyn Fn(&str) -> Option<String>,
    pub(super) body: &'a [u8],
}

impl Authorization {
    /// Reads `SDK-HMAC-SHA256 Access=…, SignedHeaders=a;b, Signature=…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = text.strip_prefix(ALGORITHM)?.trim().split(',').map(str::trim);
        let (mut access, mut signed, mut signature) = (None, None, None);
        for part in parts {
            match part.split_once('=')? {
                ("Access", value) => access = Some(value.to_owned()),
                ("SignedHeaders", value) => {
                    signed = Some(signed_headers(value)?);
                }
                ("Signature", value) => signature = Some(unhex(value)?),
                _ => return None,
            }
        }
        Some(Self { access: access?, signed: signed?, signature: signature? })
    }
}

/// Names of headers that a signature is of: each once, and as many as a client may have reason for. What they name is
/// put together before it is known whether the signature is right.
fn signed_headers(text: &str) -> Option<Vec<String>> {
    const MOST: usize = 32;
    let names: Vec<String> = text.split(';').take(MOST + 1).map(str::to_ascii_lowercase).collect();
    let different: BTreeSet<&String> = names.iter().collect();
    (names.len() <= MOST && different.len() == names.len()).then_some(names)
}

impl SignedRequest<'_> {
    /// Whether it is signed with this secret; comparing takes as long for a wrong signature. Clients sign the query
    /// as they send it, or with its pairs sorted.
    pub(super) fn is_signed(&self, authorization: &Authorization, secret: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let is_of = |query: &str| {
            self.string_to_sign(&authorization.signed, query).is_some_and(|text| {
                hmac::verify(&key, text.as_bytes(), &authorization.signature).is_ok()
            })
        };
        is_of(self.query) || is_of(&sorted(self.query))
    }

    /// `None` if a header that is to be signed is not there.
    pub(super) fn string_to_sign(&self, signed: &[String], query: &str) -> Option<String> {
        let canonical = self.canonical(signed, query)?;
        let date = (self.header)(DATE)?;
        Some(format!("{ALGORITHM}\n{}\n{}", date.trim(), hash(canonical.as_bytes())))
    }

    pub(super) fn canonical(&self, signed: &[String], query: &str) -> Option<String> {
        let mut text = format!("{}\n{}\n{query}\n", self.method, uri(self.path));
        for name in signed {
            text.push_str(&format!("{name}:{}\n", (self.header)(name)?.trim()));
        }
        text.push_str(&format!("\n{}\n{}", signed.join(";"), hash(self.body)));
        Some(text)
    }
}

/// Each segment decoded and encoded again, with a slash at the end: an encoded slash within a segment separates
/// segments, as the SDK signs it.
fn uri(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<String> = decoded.split('/').map(encode).collect();
    let mut uri = segments.join("/");
    if !uri.ends_with('/') {
        uri.push('/');
    }
    uri
}

fn sorted(query: &str) -> String {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// SHA-256, in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    if is_hex { (0..text.len()).step_by(2).map(digits).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Requests that the public SDK signed, with AKTEST and SKTEST.
    fn vectors() -> Vec<Value> {
        let text = include_str!("vectors.json");
        serde_json::from_str::<Value>(text).unwrap()["vectors"].as_array().cloned().unwrap()
    }

    /// What is signed is put together before it is known by whom: each header once, and not too many.
    #[test]
    fn signed_headers_are_few_and_different() {
        let parse = |signed: &str| {
            let signature = "0".repeat(64);
            let text =
                format!("{ALGORITHM} Access=A, SignedHeaders={signed}, Signature={signature}");
            Authorization::parse(&text).map(|found| found.signed.len())
        };
        let many = |count: u32| (0..count).map(|n| format!("h{n}")).collect::<Vec<_>>().join(";");
        assert_eq!((parse("Host;x-sdk-date"), parse(&many(32))), (Some(2), Some(32)));
        assert_eq!((parse("a;host;A"), parse(&many(33))), (None, None));
    }

    fn with<T>(
        vector: &Value,
        body: &str,
        judge: impl FnOnce(&SignedRequest<'_>, Authorization) -> T,
    ) -> T {
        let text = |key: &str| vector[key].as_str().unwrap().to_owned();
        let target = text("target");
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let header = |name: &str| {
            let headers = vector["headers"].as_object().unwrap();
            let found = headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_str()).map(str::to_owned)
        };
        let authorization = Authorization::parse(&header("authorization").unwrap()).unwrap();
        let method = text("method");
        let request =
            SignedRequest { method: &method, path, query, header: &header, body: body.as_bytes() };
        judge(&request, authorization)
    }

    #[test]
    fn the_vectors_of_the_sdk_verify() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 6);
        for vector in &vectors {
            let body = vector["body"].as_str().unwrap();
            with(vector, body, |request, authorization| {
                let name = &vector["name"];
                assert_eq!(authorization.access, "AKTEST");
                let canonical = request.canonical(&authorization.signed, request.query).unwrap();
                assert_eq!(canonical, vector["canonical_request"].as_str().unwrap(), "{name}");
                assert!(request.is_signed(&authorization, "SKTEST"), "{name}");
                assert!(!request.is_signed(&authorization, "SKTESU"), "{name}");
            });
        }
    }

    #[test]
    fn what_was_changed_does_not_verify() {
        for vector in &vectors() {
            let body = format!("{} ", vector["body"].as_str().unwrap());
            with(vector, &body, |request, authorization| {
                assert!(!request.is_signed(&authorization, "SKTEST"));
            });
            let mut other = vector.clone();
            other["target"] = format!("{}x", vector["target"].as_str().unwrap()).into();
            with(&other, vector["body"].as_str().unwrap(), |request, authorization| {
                assert!(!request.is_signed(&authorization, "SKTEST"));
            });
        }
    }

    #[test]
    fn pairs_in_another_order_than_they_were_signed_in_verify() {
        let query = "b=2&a=1&a=0";
        assert_eq!(sorted(query), "a=0&a=1&b=2");
        assert_eq!(sorted("k=a%20b*&z"), "k=a%20b%2A&z=");
    }

    #[test]
    fn other_headers_are_not_taken_for_signatures() {
        let signature = "0".repeat(64);
        let whole = format!("SDK-HMAC-SHA256 Access=A, SignedHeaders=host, Signature={signature}");
        assert!(Authorization::parse(&whole).is_some());
        for wrong in [
            "",
            "Bearer x",
            "SDK-HMAC-SHA256",
            "SDK-HMAC-SHA256 Access=A, SignedHeaders=host, Signature=00",
            "SDK-HMAC-SHA256 Access=A, SignedHeaders=host, Signature=é",
            &whole.replace("Access=A, ", ""),
            &whole.replace("Access", "Acces"),
        ] {
            assert_eq!(Authorization::parse(wrong), None, "{wrong}");
        }
    }
}
