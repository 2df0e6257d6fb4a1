//! Keys on the curve of SM2, which nothing here calculates with: what a private key says of its public key is compared
//! with the certificate.

use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use x509_parser::asn1_rs::{
    Any, BitString, Class, FromDer as _, Integer, OctetString, Oid, Sequence, Tag,
};

use super::super::super::refusal::Refusal;
use super::x509::{self, Chain};

/// Of elliptic curves, and of the one of SM2.
const EC: &str = "1.2.840.10045.2.1";
const CURVE: &str = "1.2.156.10197.1.301";

/// Whether a private key, as a PEM text, is that of the first certificate of a chain.
pub(super) fn judge(attribute: &str, text: &str, chain: &Chain) -> Result<(), Refusal> {
    let certificate = chain.public_key();
    if certificate.algorithm != EC || certificate.curve.as_deref() != Some(CURVE) {
        let name = attribute.replace("private_key", "certificate");
        let why = format!("{name} has no key of SM2, use type server for it");
        return Err(Refusal::invalid(why));
    }
    let key = x509::key(attribute, text)?;
    let Some(point) = public_key(&key) else {
        let why = "use one of SM2 that says its public key, as `openssl ecparam -genkey` makes it";
        return Err(Refusal::invalid(format!("{attribute}: {why}")));
    };
    if point == certificate.bits { Ok(()) } else { Err(x509::not_its(attribute)) }
}

/// The public key that a private one of an elliptic curve says (RFC 5915, in RFC 5958 or by itself).
fn public_key(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    match key {
        PrivateKeyDer::Sec1(key) => of_key(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => {
            let (_, all) = Sequence::from_der(key.secret_pkcs8_der()).ok()?;
            let (rest, _) = Integer::from_der(&all.content).ok()?;
            let (rest, algorithm) = Sequence::from_der(rest).ok()?;
            let (parameters, algorithm) = Oid::from_der(&algorithm.content).ok()?;
            let (_, curve) = Oid::from_der(parameters).ok()?;
            let (_, inner) = <OctetString<'_>>::from_der(rest).ok()?;
            let is_meant = algorithm.to_id_string() == EC && curve.to_id_string() == CURVE;
            is_meant.then(|| of_key(inner.as_ref()))?
        }
        PrivateKeyDer::Pkcs1(_) | _ => None,
    }
}

/// The version, the private key, the curve, the public key.
fn of_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, all) = Sequence::from_der(der).ok()?;
    let (rest, _) = Integer::from_der(&all.content).ok()?;
    let (mut rest, _) = <OctetString<'_>>::from_der(rest).ok()?;
    while let Ok((next, tagged)) = Any::from_der(rest) {
        if (tagged.class(), tagged.tag()) == (Class::ContextSpecific, Tag(1)) {
            let (_, bits) = BitString::from_der(tagged.data).ok()?;
            return Some(bits.data.to_vec());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, PrivateSec1KeyDer};

    use super::*;

    proptest! {
        /// A key that is damaged anywhere is read or refused.
        #[test]
        fn no_key_breaks_the_reader(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            length in any::<prop::sample::Index>(),
        ) {
            let text = include_str!("examples/sm2.key");
            let mut der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap().secret_pkcs8_der().to_vec();
            let whole = PrivateKeyDer::Pkcs8(der.clone().into());
            prop_assert_eq!(public_key(&whole).map(|key| key.len()), Some(65));
            for (at, byte) in &changes {
                let at = at.index(der.len());
                der[at] = *byte;
            }
            der.truncate(length.index(der.len()) + 1);
            let _ = public_key(&PrivateKeyDer::Pkcs8(der.clone().into()));
            let _ = public_key(&PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)));
        }
    }
}
