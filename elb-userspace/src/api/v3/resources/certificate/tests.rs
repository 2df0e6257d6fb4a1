//! Certificates and keys: which belong together, and what is in them.

use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

use super::super::attributes::object;
use super::*;

const RSA: (&str, &str) = (include_str!("examples/rsa.crt"), include_str!("examples/rsa.key"));
const SM: (&str, &str) = (include_str!("examples/sm2.crt"), include_str!("examples/sm2.key"));

/// A certificate for these names, and its key.
fn made(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "made");
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn accepted(given: &Value) -> Result<Body, String> {
    let body = attributes().accept(&object(given)).and_then(read);
    body.map_err(|why| why.message)
}

fn refused(given: &Value) -> String {
    let why = accepted(given).unwrap_err();
    for key in [RSA.1, SM.1] {
        let line = key.lines().nth(1).unwrap();
        assert!(!why.contains(&line[..16]), "{why}");
    }
    why
}

#[test]
fn what_is_in_a_certificate_is_shown() {
    let given = json!({"certificate": RSA.0, "private_key": RSA.1, "domain": "www.example.com"});
    let body = accepted(&given).unwrap();
    for (key, value) in [
        ("type", json!("server")),
        ("common_name", json!("www.example.com")),
        ("expire_time", json!("2126-11-06T04:06:53Z")),
        ("fingerprint", json!("df6afe7e5cf8fc2854ebf60d873731fbebd375c222b83efaa97bdb1b9fc93b25")),
        ("private_key", json!(RSA.1)),
    ] {
        assert_eq!(body[key], value, "{key}");
    }
    let names = ["www.example.com", "*.example.com", "192.0.2.1", "2001:db8::1", "a@example.com"];
    assert_eq!(body["subject_alternative_names"], json!(names));
    let (certificate, key) = made(&["a.example"]);
    let body = accepted(&json!({"certificate": certificate, "private_key": key})).unwrap();
    assert_eq!(
        (&body["common_name"], &body["expire_time"]),
        (&json!("made"), &json!("2049-12-31T00:00:00Z"))
    );
}

#[test]
fn a_key_goes_with_its_certificate_only() {
    let (certificate, key) = made(&["a.example"]);
    let chain = format!("{certificate}{}", RSA.0);
    assert!(accepted(&json!({"certificate": chain, "private_key": key})).is_ok());
    let reversed = format!("{}{certificate}", RSA.0);
    for (certificate, key, said) in [
        (&*certificate, RSA.1, "private_key is not that of certificate"),
        (&*reversed, &*key, "private_key is not that of certificate"),
        (&*certificate, "", "private_key is none, use one in PEM"),
        (&*certificate, "x", "private_key is none"),
        (&*certificate, RSA.0, "private_key is none"),
        (&*certificate, &RSA.1[..400], "a line -----END …----- is missing"),
        (&*certificate, &RSA.1.replace("MII", "!!!"), "no Base64"),
        (SM.0, SM.1, "private_key is none that can be used, use RSA"),
        ("", &*key, "certificate is none, use one in PEM"),
        ("x", &*key, "certificate is none"),
        (&*key, &*key, "certificate has a private key in it"),
        (&format!("{certificate}{key}"), &*key, "certificate has a private key in it"),
        (&RSA.0.replace("MII", "AAA"), RSA.1, "certificate 1 of it is none of X.509"),
        (&certificate.repeat(12), &*key, "certificate has 12 certificates, of at most 11"),
    ] {
        let why = refused(&json!({"certificate": certificate, "private_key": key}));
        assert!(why.contains(said), "{said}: {why}");
    }
    let both = json!({"certificate": RSA.0, "private_key": RSA.1, "enc_certificate": RSA.0});
    assert!(refused(&both).contains("enc_certificate is given for type server"));
}

#[test]
fn a_certificate_of_an_authority_needs_no_key_and_keeps_none() {
    let given = |key: &str| json!({"type": "client", "certificate": RSA.0, "private_key": key});
    for key in ["", RSA.1, SM.1] {
        assert_eq!(accepted(&given(key)).unwrap()["private_key"], "");
    }
    assert!(refused(&given("x")).contains("private_key is none"));
}

#[test]
fn keys_of_sm2_are_compared_by_what_they_say() {
    let with = |certificate: &str, key: &str, encrypts: (&str, &str)| {
        json!({"type": "server_sm", "certificate": certificate, "private_key": key,
            "enc_certificate": encrypts.0, "enc_private_key": encrypts.1})
    };
    assert!(accepted(&with(SM.0, SM.1, ("", ""))).is_ok());
    assert!(accepted(&with(SM.0, SM.1, SM)).is_ok());
    let (certificate, key) = made(&["a.example"]);
    for (given, said) in [
        (with(&certificate, &key, ("", "")), "certificate has no key of SM2, use type server"),
        (with(SM.0, &key, ("", "")), "private_key: use one of SM2 that says its public key"),
        (with(SM.0, RSA.1, ("", "")), "private_key: use one of SM2"),
        (with(SM.0, "", ("", "")), "private_key is none"),
        (with(SM.0, SM.1, (SM.0, "")), "enc_private_key is none"),
        (with(SM.0, SM.1, ("", SM.1)), "enc_certificate is none"),
        (with(SM.0, SM.1, (&certificate, &key)), "enc_certificate has no key of SM2"),
    ] {
        let why = refused(&given);
        assert!(why.contains(said), "{said}: {why}");
    }
    let other = SM.1.replace("3rSU3nJ0", "3rSU3nJ1");
    let why = refused(&with(SM.0, &other, ("", "")));
    assert!(why.contains("private_key is not that of certificate"), "{why}");
}
