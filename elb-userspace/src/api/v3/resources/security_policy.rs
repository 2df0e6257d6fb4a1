//! Security policies: which versions and cipher suites of TLS HTTPS listeners would take.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::Work;
use super::attributes::{Attributes, begin};
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::SecurityPolicy;

pub(super) fn attributes() -> Attributes {
    let kept = json!({
        "name": "", "description": "", "protocols": [], "ciphers": [], "enterprise_project_id": "0",
    });
    Attributes { kept, idle: json!({}) }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    let body = attributes().accept(given)?;
    judge(&body)?;
    work.make(KIND, body, BTreeMap::new());
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let body = attributes().amend(old, given)?;
    judge(&body)?;
    work.change(old, body);
    Ok(())
}

/// Every version has a suite that it can use, and every suite a version. Each is looked at once, however often it is
/// there: the table has few.
fn judge(body: &Body) -> Result<(), Refusal> {
    let (protocols, ciphers) = (texts(body, "protocols")?, texts(body, "ciphers")?);
    for protocol in &protocols {
        if !ciphers.iter().any(|cipher| fits(cipher, protocol)) {
            return Err(Refusal::invalid(format!("ciphers has none that {protocol} can use")));
        }
    }
    for cipher in &ciphers {
        if !protocols.iter().any(|protocol| fits(cipher, protocol)) {
            let why = format!("protocols has none that can use the cipher {cipher}");
            return Err(Refusal::invalid(why));
        }
    }
    Ok(())
}

/// The suites of TLS 1.3 are its own; those with a newer hash came with TLS 1.2.
fn fits(cipher: &str, protocol: &str) -> bool {
    let is_newer = ["SHA256", "SHA384", "POLY1305"].iter().any(|end| cipher.ends_with(end));
    match (cipher.starts_with("TLS_"), protocol) {
        (true, protocol) => protocol == "TLSv1.3",
        (false, "TLSv1.3") => false,
        (false, "TLSv1.2") => true,
        (false, _) => !is_newer,
    }
}

fn texts<'b>(body: &'b Body, key: &str) -> Result<BTreeSet<&'b str>, Refusal> {
    let all = body.get(key).and_then(Value::as_array).into_iter().flatten();
    let all: BTreeSet<&str> = all.filter_map(Value::as_str).collect();
    match all.is_empty() {
        true => Err(Refusal::invalid(format!("{key} is empty"))),
        false => Ok(all),
    }
}

pub(super) fn show(policy: &Document) -> Value {
    let mut all = begin(policy);
    all.insert("listeners".to_owned(), json!([]));
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::super::attributes::object;
    use super::*;

    #[test]
    fn versions_and_suites_fit_each_other() {
        let why = |protocols: Value, ciphers: Value| {
            let body = object(&json!({"protocols": protocols, "ciphers": ciphers}));
            judge(&body).err().map(|refusal| refusal.message)
        };
        let (old, new, newest) = ("AES128-SHA", "AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256");
        for (protocols, ciphers) in [
            (json!(["TLSv1", "TLSv1.1", "TLSv1.2"]), json!([old])),
            (json!(["TLSv1.2"]), json!([old, new, "ECDHE-RSA-CHACHA20-POLY1305"])),
            (json!(["TLSv1.2", "TLSv1.3"]), json!([new, newest])),
        ] {
            assert_eq!(why(protocols, ciphers), None);
        }
        for (protocols, ciphers, said) in [
            (json!(["TLSv1"]), json!([new]), "none that TLSv1 can use"),
            (json!(["TLSv1.3"]), json!([old]), "none that TLSv1.3 can use"),
            (json!(["TLSv1.2"]), json!([new, newest]), "none that can use the cipher TLS_AES"),
            (json!([]), json!([new]), "protocols is empty"),
            (json!(["TLSv1.2"]), json!([]), "ciphers is empty"),
        ] {
            assert!(why(protocols, ciphers).unwrap().contains(said), "{said}");
        }
    }
}
