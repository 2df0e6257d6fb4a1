//! Certificates: what HTTPS listeners would show, and by what they would judge their clients. What is in one is read
//! when it comes; its private key belongs to it, and is shown only where the project has that shown.

mod domains;
mod sm2;
#[cfg(test)]
mod tests;
mod x509;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::attributes::{Attributes, begin, text};
use super::{View, Work, echoes_keys};
use crate::source::store::{Body, Document, DocumentKind, mask};

pub(in crate::api::v3) use self::domains::judge_name;
use self::x509::Chain;

const KIND: DocumentKind = DocumentKind::Certificate;
/// Of a certificate with two keys, one of which signs and one encrypts.
const SM2: &str = "server_sm";

pub(super) fn attributes() -> Attributes {
    let kept = json!({
        "name": "", "description": "", "type": "server", "domain": "",
        "certificate": "", "private_key": "", "enc_certificate": "", "enc_private_key": "",
        "admin_state_up": true, "enterprise_project_id": "0",
        "protection_status": "nonProtection", "protection_reason": "",
    });
    Attributes { kept, idle: json!({}) }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    let body = read(attributes().accept(given)?)?;
    work.make(KIND, body, BTreeMap::new());
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let body = read(attributes().amend(old, given)?)?;
    work.change(old, body);
    Ok(())
}

/// A certificate that is right, with what is in it.
fn read(mut body: Body) -> Result<Body, Refusal> {
    domains::judge(text(&body, "domain"))?;
    let chain = Chain::read("certificate", text(&body, "certificate"))?;
    match text(&body, "type") {
        SM2 => judge_pair(&body, &chain)?,
        kind => {
            let is_given = |key: &&&str| !text(&body, key).is_empty();
            if let Some(key) = ["enc_certificate", "enc_private_key"].iter().find(is_given) {
                let why = format!("{key} is given for type {kind}, use it with type {SM2} only");
                return Err(Refusal::invalid(why));
            }
            let key = text(&body, "private_key");
            if kind == "server" {
                chain.owns("private_key", key)?;
            } else {
                // A certificate of an authority needs none: a key that comes with it is not kept.
                if !key.is_empty() {
                    x509::key("private_key", key)?;
                }
                body.insert("private_key".to_owned(), "".into());
            }
        }
    }
    body.extend(chain.facts());
    Ok(body)
}

/// One certificate signs; another one may encrypt, and then each has a key.
fn judge_pair(body: &Body, chain: &Chain) -> Result<(), Refusal> {
    sm2::judge("private_key", text(body, "private_key"), chain)?;
    let (certificate, key) = (text(body, "enc_certificate"), text(body, "enc_private_key"));
    if certificate.is_empty() && key.is_empty() {
        return Ok(());
    }
    let chain = Chain::read("enc_certificate", certificate)?;
    sm2::judge("enc_private_key", key, &chain)
}

pub(super) fn show(view: &View<'_>, certificate: &Document) -> Value {
    let mut all = begin(certificate);
    if !view.host.may_see_keys || !echoes_keys(view.documents, &certificate.project) {
        mask(&mut all);
    }
    Value::Object(all)
}
