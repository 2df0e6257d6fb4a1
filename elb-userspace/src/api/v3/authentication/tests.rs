//! Signatures and tokens, in and out of their time.

use ring::hmac;

use std::time::Duration;

use super::super::signature::hex;
use super::super::signed_dates::SignedDates;
use super::*;

const DAY: &str = "20260101T000000Z";

fn keys() -> (ClientKeys, String, String, String) {
    keys_of(KeyRole::Full)
}

fn keys_of(role: KeyRole) -> (ClientKeys, String, String, String) {
    let mut keys = ClientKeys::default();
    let made = keys.create("k", None, role, String::new()).unwrap();
    (keys, made.key.access, made.secret, made.token)
}

fn signed(access: &str, secret: &str, method: &str, names: &[&str]) -> HeaderMap {
    signed_at(DAY, access, secret, method, names)
}

fn signed_at(date: &str, access: &str, secret: &str, method: &str, names: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("host", "h".parse().unwrap());
    headers.insert(DATE, date.parse().unwrap());
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let request = SignedRequest { method, path: "/v3/p", query: "", header: &header, body: b"" };
    let canonical = request.canonical(&names, "").unwrap();
    let text = format!("SDK-HMAC-SHA256\n{date}\n{}", hash(canonical.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    let all = names.join(";");
    let value =
        format!("SDK-HMAC-SHA256 Access={access}, SignedHeaders={all}, Signature={signature}");
    headers.insert(AUTHORIZATION, value.parse().unwrap());
    headers
}

struct Asked<'a> {
    keys: &'a ClientKeys,
    replays: Replays,
    dates: SignedDates,
    start: Instant,
    folder: tempfile::TempDir,
}

impl<'a> Asked<'a> {
    fn of(keys: &'a ClientKeys) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wall = moment(DAY).unwrap();
        let (dates, former, _) = SignedDates::open(folder.path().join("signed"), wall);
        Self { keys, replays: Replays::after(former), dates, start: Instant::now(), folder }
    }

    /// The agent ends, and another one starts.
    fn restart(&mut self) {
        let wall = moment(DAY).unwrap();
        let (dates, former, _) = SignedDates::open(self.folder.path().join("signed"), wall);
        (self.replays, self.dates) = (Replays::after(former), dates);
    }

    async fn at(
        &mut self,
        method: &str,
        headers: &HeaderMap,
        seconds: u64,
        wall: u64,
    ) -> Result<Caller, String> {
        let received = Received { method, path: "/v3/p", query: "", headers, body: b"" };
        let wall = moment(DAY).unwrap() + Duration::from_secs(wall);
        let now = self.start + Duration::from_secs(seconds);
        let verified = match received.claim(self.keys, wall).map_err(|why| why.message)? {
            Claim::Known(caller) => return Ok(caller),
            Claim::Signed(claim) => claim.verified(&received, &mut self.replays, (now, wall)),
        };
        let verified = verified.map_err(|why| why.message)?;
        if let Some((access, date)) = &verified.dated {
            self.dates.keep(access, *date).await.map_err(|why| why.message)?;
        }
        Ok(verified.caller)
    }
}

#[tokio::test]
async fn a_signature_or_a_token_says_who_asks() {
    let (keys, access, secret, token) = keys();
    let mut asked = Asked::of(&keys);
    let names = ["host", DATE];
    let headers = signed(&access, &secret, "GET", &names);
    let caller = asked.at("GET", &headers, 0, 0).await.unwrap();
    assert_eq!((caller.name.as_str(), caller.may_write), ("k", true));
    assert!(asked.at("GET", &headers, 0, 900).await.is_ok());
    assert!(asked.at("GET", &headers, 0, 901).await.unwrap_err().contains("15 minutes"));
    assert!(asked.at("PUT", &headers, 0, 0).await.unwrap_err().contains("signature fail"));
    let other = signed(&access, "other", "GET", &names);
    assert!(asked.at("GET", &other, 0, 0).await.unwrap_err().contains("signature fail"));
    let unknown = signed("OTHER", &secret, "GET", &names);
    assert!(asked.at("GET", &unknown, 0, 0).await.unwrap_err().contains("signature fail"));
    let loose = signed(&access, &secret, "GET", &[DATE]);
    assert!(asked.at("GET", &loose, 0, 0).await.unwrap_err().contains("host must be signed"));
    assert!(asked.at("GET", &HeaderMap::new(), 0, 0).await.is_err());
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", token.parse().unwrap());
    assert!(asked.at("PUT", &headers, 0, 10_000).await.is_ok());
    headers.insert("x-auth-token", "other".parse().unwrap());
    assert!(asked.at("GET", &headers, 0, 0).await.is_err());
}

#[tokio::test]
async fn what_changes_something_is_not_taken_again_later() {
    let (keys, access, secret, _) = keys();
    let mut asked = Asked::of(&keys);
    let post = signed(&access, &secret, "POST", &["host", DATE]);
    assert!(asked.at("POST", &post, 0, 0).await.is_ok());
    assert!(asked.at("POST", &post, 1, 0).await.is_ok(), "two within a second may be equal");
    assert!(asked.at("POST", &post, 3, 0).await.unwrap_err().contains("received before"));
    let other = signed(&access, &secret, "DELETE", &["host", DATE]);
    assert!(asked.at("DELETE", &other, 1801, 0).await.is_ok());
    assert!(asked.at("POST", &post, 1802, 0).await.unwrap_err().contains("received before"));
    let get = signed(&access, &secret, "GET", &["host", DATE]);
    assert!(
        asked.at("GET", &get, 0, 0).await.is_ok() && asked.at("GET", &get, 99, 0).await.is_ok()
    );
}

/// It changes nothing, and takes none of the room that others need.
#[tokio::test]
async fn what_a_key_may_not_do_is_not_remembered() {
    let (keys, access, secret, _) = keys_of(KeyRole::ReadOnly);
    let mut asked = Asked::of(&keys);
    let post = signed(&access, &secret, "POST", &["host", DATE]);
    for second in [0, 9, 99] {
        assert!(!asked.at("POST", &post, second, 0).await.unwrap().may_write);
    }
    assert!(asked.replays.remembers_nothing());
}

#[tokio::test]
async fn what_changed_something_is_not_taken_again_by_the_next_agent() {
    let (keys, access, secret, _) = keys();
    let mut asked = Asked::of(&keys);
    let at = |date: &str, method: &str| signed_at(date, &access, &secret, method, &["host", DATE]);
    // The client's clock is ahead.
    let late = "20260101T001000Z";
    assert!(asked.at("POST", &at(late, "POST"), 0, 0).await.is_ok());
    assert!(asked.at("POST", &at(DAY, "POST"), 1, 0).await.is_ok());
    asked.restart();
    for (date, method, said) in [
        (late, "POST", Some("was started")),
        (DAY, "POST", Some("was started")),
        (late, "PUT", Some("was started")),
        (late, "GET", None),
        ("20260101T001001Z", "POST", None),
    ] {
        let found = asked.at(method, &at(date, method), 2, 30).await.err();
        let fits = match (&found, said) {
            (Some(why), Some(said)) => why.contains(said),
            (found, said) => found.is_none() && said.is_none(),
        };
        assert!(fits, "{date} {method}: {found:?}");
    }
    // A wrong signature says nothing of that.
    let wrong = signed_at(DAY, &access, "other", "POST", &["host", DATE]);
    assert!(asked.at("POST", &wrong, 3, 0).await.unwrap_err().contains("signature fail"));
}

/// A clock that was fast, as that of the client was, is set right while the agent is away.
#[tokio::test]
async fn a_clock_that_was_set_back_is_named() {
    let (keys, access, secret, _) = keys();
    let mut asked = Asked::of(&keys);
    let day_ahead = signed_at("20260102T000000Z", &access, &secret, "POST", &["host", DATE]);
    assert!(asked.at("POST", &day_ahead, 0, 86_400).await.is_ok());
    asked.restart();
    let now = signed(&access, &secret, "POST", &["host", DATE]);
    let said = asked.at("POST", &now, 1, 0).await.unwrap_err();
    assert!(said.contains("clock was ahead") && said.contains("20260102T000000Z"), "{said}");
    assert!(asked.at("GET", &signed(&access, &secret, "GET", &["host", DATE]), 1, 0).await.is_ok());
    // It is not taken again when that time comes, and what is signed later is.
    let said = asked.at("POST", &day_ahead, 86_400, 86_400).await.unwrap_err();
    assert!(said.contains("Sign it again"), "{said}");
    let later = signed_at("20260102T000001Z", &access, &secret, "POST", &["host", DATE]);
    assert!(asked.at("POST", &later, 86_401, 86_401).await.is_ok());
}

/// Without what the agent before knew, nothing that it may have taken is taken again.
#[tokio::test]
async fn a_file_that_cannot_be_read_refuses_what_was_signed_before() {
    let (keys, access, secret, _) = keys();
    let mut asked = Asked::of(&keys);
    let at = |date: &str| signed_at(date, &access, &secret, "POST", &["host", DATE]);
    assert!(asked.at("POST", &at("20260101T001000Z"), 0, 0).await.is_ok());
    std::fs::write(asked.folder.path().join("signed"), [0xff; 10]).unwrap();
    asked.restart();
    for date in [DAY, "20260101T001000Z", "20260101T001500Z"] {
        let said = asked.at("POST", &at(date), 1, 60).await.unwrap_err();
        assert!(said.contains("20260101T001500Z"), "{date}: {said}");
    }
    assert!(asked.at("POST", &at("20260101T001501Z"), 901, 901).await.is_ok());
}

#[test]
fn times_are_read() {
    assert!(moment(DAY).is_some());
    for wrong in ["", "20260101T000000", "20261301T000000Z", "2026-01-01T00:00", "é0260101T00000Z"]
    {
        assert_eq!(moment(wrong), None, "{wrong}");
    }
}
