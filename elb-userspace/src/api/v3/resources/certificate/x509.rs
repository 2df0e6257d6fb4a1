//! What is in a certificate, and whether a private key belongs to it. No message quotes a key.

use std::net::IpAddr;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::super::super::refusal::Refusal;
use crate::source::store::Body;

/// Certificates of one chain.
const MOST: usize = 11;

/// A certificate with those that vouch for it, in this order.
pub(super) struct Chain {
    all: Vec<CertificateDer<'static>>,
    first: Facts,
}

/// What a certificate says.
struct Facts {
    expires: String,
    common_name: String,
    names: Vec<String>,
    key: PublicKey,
}

/// The public key of a certificate: its algorithm, the parameters of that, and the key, as they are written.
pub(super) struct PublicKey {
    pub(super) algorithm: String,
    pub(super) curve: Option<String>,
    pub(super) bits: Vec<u8>,
}

impl Chain {
    /// Reads the certificates of a PEM text.
    pub(super) fn read(attribute: &str, text: &str) -> Result<Self, Refusal> {
        // It is shown to all who may see the certificate.
        if text.contains("PRIVATE KEY") {
            let why = format!("{attribute} has a private key in it, use private_key for that");
            return Err(Refusal::invalid(why));
        }
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let all = all.map_err(|error| no_pem(attribute, &error))?;
        if all.len() > MOST {
            let why = format!("{attribute} has {} certificates, of at most {MOST}", all.len());
            return Err(Refusal::invalid(why));
        }
        let facts = all.iter().enumerate().map(|(n, der)| {
            facts(der).map_err(|why| {
                let place = n + 1;
                Refusal::invalid(format!("{attribute}: certificate {place} of it {why}"))
            })
        });
        let facts: Vec<Facts> = facts.collect::<Result<_, _>>()?;
        let first = facts.into_iter().next();
        let first = first.ok_or_else(|| {
            let why = "is none, use one in PEM (-----BEGIN CERTIFICATE-----), or a chain of them";
            Refusal::invalid(format!("{attribute} {why}"))
        })?;
        Ok(Self { all, first })
    }

    /// Whether a private key, as a PEM text, is that of the first certificate.
    pub(super) fn owns(&self, attribute: &str, text: &str) -> Result<(), Refusal> {
        let key = key(attribute, text)?;
        let owned = CertifiedKey::from_der(self.all.clone(), key, &default_provider());
        match owned {
            Ok(_) => Ok(()),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(not_its(attribute)),
            Err(_) => Err(Refusal::invalid(format!(
                "{attribute} is none that can be used, use RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519"
            ))),
        }
    }

    pub(super) const fn public_key(&self) -> &PublicKey {
        &self.first.key
    }

    /// What is shown of the first certificate.
    pub(super) fn facts(&self) -> Body {
        let Facts { expires, common_name, names, .. } = &self.first;
        let all = json!({
            "expire_time": expires, "common_name": common_name, "subject_alternative_names": names,
            "fingerprint": self.all.first().map(|der| hex(digest(&SHA256, der).as_ref())),
        });
        let Value::Object(all) = all else { return Body::new() };
        all
    }
}

/// The private key of a PEM text.
pub(super) fn key(attribute: &str, text: &str) -> Result<PrivateKeyDer<'static>, Refusal> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        if matches!(error, PemError::NoItemsFound) {
            let rule = "use one in PEM, not encrypted: -----BEGIN PRIVATE KEY-----, RSA or EC";
            return Refusal::invalid(format!("{attribute} is none, {rule}"));
        }
        no_pem(attribute, &error)
    })
}

pub(super) fn not_its(attribute: &str) -> Refusal {
    let certificate = attribute.replace("private_key", "certificate");
    let why = format!("{attribute} is not that of {certificate}, whose first one has another key");
    Refusal::invalid(why)
}

/// What the reader of PEM says may quote the text.
fn no_pem(attribute: &str, error: &PemError) -> Refusal {
    let what = match error {
        PemError::MissingSectionEnd { .. } => "a line -----END …----- is missing",
        PemError::Base64Decode(_) => "what is between BEGIN and END is no Base64",
        PemError::IllegalSectionStart { .. }
        | PemError::Io(_)
        | PemError::NoItemsFound
        | PemError::SectionTooLarge
        | _ => "a line with BEGIN is none",
    };
    Refusal::invalid(format!("{attribute} is no PEM: {what}"))
}

fn facts(der: &[u8]) -> Result<Facts, &'static str> {
    let no_x509 = "is none of X.509";
    let (rest, read) = X509Certificate::from_der(der).map_err(|_| no_x509)?;
    if !rest.is_empty() {
        return Err(no_x509);
    }
    let names = read.subject_alternative_name().map_err(|_| "has names that cannot be read")?;
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(name);
    let common = read.subject().iter_common_name().next();
    Ok(Facts {
        expires: time(read.validity().not_after),
        common_name: common.and_then(|one| one.as_str().ok()).unwrap_or_default().to_owned(),
        names: names.collect(),
        key: public_key(read.public_key()),
    })
}

fn public_key(key: &SubjectPublicKeyInfo<'_>) -> PublicKey {
    let curve = key.algorithm.parameters.as_ref().and_then(|one| one.as_oid().ok());
    PublicKey {
        algorithm: key.algorithm.algorithm.to_id_string(),
        curve: curve.map(|curve| curve.to_id_string()),
        bits: key.subject_public_key.data.to_vec(),
    }
}

/// A name of a host, an address, or what else people know; others are left out.
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

/// UTC, as the API writes times.
fn time(at: ASN1Time) -> String {
    let at = at.to_datetime();
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A certificate that is damaged anywhere is read or refused.
        #[test]
        fn no_certificate_breaks_the_reader(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            length in any::<prop::sample::Index>(),
        ) {
            for text in [include_str!("examples/rsa.crt"), include_str!("examples/sm2.crt")] {
                let mut der = CertificateDer::from_pem_slice(text.as_bytes()).unwrap().to_vec();
                for (at, byte) in &changes {
                    let at = at.index(der.len());
                    der[at] = *byte;
                }
                let _ = facts(&der);
                let _ = facts(&der[..length.index(der.len())]);
            }
        }
    }
}
