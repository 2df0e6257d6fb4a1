//! Who asks: the key that a request is signed with, or the token that it shows.

use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::time::Instant;

use super::keys::{ClientKey, ClientKeys, KeyRole};
use super::refusal::Refusal;
use super::replays::{REMEMBERED, Replays, Seen, TakenSignature, forgotten};
use super::signature::{Authorization, DATE, SignedRequest, hash};
use super::signed_dates::{SKEW, seconds, written};
/// Who asks, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The name of the key.
    pub(super) name: String,
    pub(super) project: String,
    pub(super) may_write: bool,
    /// The access key id; none on the agent's own socket.
    pub(super) access: Option<String>,
}

/// A request as it was received.
pub(super) struct Received<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// Who the head of a request says that asks.
#[derive(Debug)]
pub(super) enum Claim {
    /// By a token: it is known.
    Known(Caller),
    /// By a signature, which is of the body, too.
    Signed(SignedClaim),
}

/// A signature that is to be verified.
#[derive(Debug)]
pub(super) struct SignedClaim {
    authorization: Authorization,
    key: ClientKey,
    signed: SystemTime,
}

/// A signed request that is right.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    /// Of one that changes something: the key and the date, which must be on the disk before anything is changed.
    pub(super) dated: Option<(String, u64)>,
}

impl Received<'_> {
    /// Who asks, by the head alone: the key is known and a signature is of this time. The body is not looked at.
    pub(super) fn claim(&self, keys: &ClientKeys, wall: SystemTime) -> Result<Claim, Refusal> {
        if let Some(token) = self.header("x-auth-token") {
            let key = keys.by_token(&token);
            let key = key.ok_or_else(|| unauthenticated("the token is not known"))?;
            return Ok(Claim::Known(Caller::of(key)));
        }
        let Some(text) = self.header(AUTHORIZATION.as_str()) else {
            let why = "sign the request (SDK-HMAC-SHA256), or show a token in X-Auth-Token";
            return Err(unauthenticated(why));
        };
        let authorization = Authorization::parse(&text).ok_or_else(|| {
            unauthenticated("Authorization is not of the form of SDK-HMAC-SHA256")
        })?;
        let key = keys.by_access(&authorization.access).ok_or_else(failed)?.clone();
        let signed = self.is_fresh(&authorization, wall)?;
        Ok(Claim::Signed(SignedClaim { authorization, key, signed }))
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// Whether what must be signed is, and when.
    fn is_fresh(
        &self,
        authorization: &Authorization,
        now: SystemTime,
    ) -> Result<SystemTime, Refusal> {
        if let Some(missing) = ["host", DATE]
            .into_iter()
            .find(|name| !authorization.signed.iter().any(|one| one == name))
        {
            return Err(unauthenticated(&format!("the header {missing} must be signed")));
        }
        let signed = self.header(DATE).and_then(|date| moment(date.trim()));
        let signed = signed
            .ok_or_else(|| unauthenticated("X-Sdk-Date is not of the form 20260101T000000Z"))?;
        let skew = now.duration_since(signed).or_else(|_| signed.duration_since(now));
        if skew.is_ok_and(|skew| skew <= SKEW) {
            return Ok(signed);
        }
        let now = written(seconds(now));
        Err(unauthenticated(&format!(
            "X-Sdk-Date is more than 15 minutes from this host's clock, which is at {now}; set the clocks"
        )))
    }
}

impl SignedClaim {
    /// Who asks, if the request with its body is signed. One that changes something is taken once.
    pub(super) fn verified(
        &self,
        received: &Received<'_>,
        replays: &mut Replays,
        (now, wall): (Instant, SystemTime),
    ) -> Result<Verified, Refusal> {
        let Self { authorization, key, signed } = self;
        let header = |name: &str| received.header(name);
        let content = header("x-sdk-content-sha256");
        if content.is_some_and(|content| content != hash(received.body)) {
            return Err(unauthenticated("X-Sdk-Content-Sha256 is not the hash of the body"));
        }
        let Received { method, path, query, body, .. } = *received;
        let request = SignedRequest { method, path, query, header: &header, body };
        if !request.is_signed(authorization, key.secret()) {
            return Err(failed());
        }
        // What changes nothing may come again, and a key that may not change anything takes no room of those that may.
        if method == "GET" || key.role == KeyRole::ReadOnly {
            return Ok(Verified { caller: Caller::of(key), dated: None });
        }
        let (access, date) = (&*key.access, seconds(*signed));
        let taken = TakenSignature { access, signature: &authorization.signature, date };
        match replays.look(&taken, now) {
            Seen::New => {}
            Seen::Before => {
                let why = "this signed request was received before; sign it again";
                return Err(unauthenticated(why));
            }
            Seen::Perhaps(last) => return Err(unauthenticated(&forgotten(last, wall))),
            Seen::NoRoom => {
                return Err(Refusal::too_many(format!(
                    "{REMEMBERED} signed changes came within half an hour, and no more are taken until it is \
                     over; change less often, or show a token in X-Auth-Token"
                )));
            }
        }
        Ok(Verified { caller: Caller::of(key), dated: Some((key.access.clone(), date)) })
    }
}

impl Caller {
    fn of(key: &ClientKey) -> Self {
        let (name, project) = (key.name.clone(), key.project.clone());
        let access = Some(key.access.clone());
        Self { name, project, may_write: key.role == KeyRole::Full, access }
    }
}

/// `YYYYMMDDTHHMMSSZ`.
fn moment(text: &str) -> Option<SystemTime> {
    let is_plain = text.len() == 16 && text.is_ascii();
    let part = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
    let written =
        format!("{year}-{month}-{day}{}{hour}:{minute}:{second}{}", part(8, 9)?, part(15, 16)?);
    humantime::parse_rfc3339(&written).ok().filter(|_| is_plain)
}

fn failed() -> Refusal {
    unauthenticated("verify aksk signature fail")
}

fn unauthenticated(why: &str) -> Refusal {
    Refusal::unauthenticated(format!("Incorrect IAM authentication information: {why}"))
}

#[cfg(test)]
mod tests;
