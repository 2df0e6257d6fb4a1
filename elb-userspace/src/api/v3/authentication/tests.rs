//! Signatures and tokens, in and out of their time.

use ring::hmac;

use super::super::signature::hex;
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
    memory: Memory,
    start: Instant,
    folder: tempfile::TempDir,
}

impl<'a> Asked<'a> {
    fn of(keys: &'a ClientKeys) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dates = SignedDates::open(folder.path().join("signed"));
        let memory = Memory { replays: Replays::default(), dates };
        Self { keys, memory, start: Instant::now(), folder }
    }

    /// The agent ends, and another one starts.
    fn restart(&mut self) {
        let dates = SignedDates::open(self.folder.path().join("signed"));
        self.memory = Memory { replays: Replays::default(), dates };
    }

    fn at(
        &mut self,
        method: &str,
        headers: &HeaderMap,
        seconds: u64,
        wall: u64,
    ) -> Result<Caller, String> {
        let received = Received { method, path: "/v3/p", query: "", headers, body: b"" };
        let wall = moment(DAY).unwrap() + Duration::from_secs(wall);
        let now = self.start + Duration::from_secs(seconds);
        let caller = match received.claim(self.keys, wall) {
            Ok(Claim::Known(caller)) => Ok(caller),
            Ok(Claim::Signed(claim)) => claim.verified(&received, &mut self.memory, (now, wall)),
            Err(refusal) => Err(refusal),
        };
        caller.map_err(|why| why.message)
    }
}

#[test]
fn a_signature_or_a_token_says_who_asks() {
    let (keys, access, secret, token) = keys();
    let mut asked = Asked::of(&keys);
    let names = ["host", DATE];
    let headers = signed(&access, &secret, "GET", &names);
    let caller = asked.at("GET", &headers, 0, 0).unwrap();
    assert_eq!((caller.name.as_str(), caller.may_write), ("k", true));
    assert!(asked.at("GET", &headers, 0, 900).is_ok());
    assert!(asked.at("GET", &headers, 0, 901).unwrap_err().contains("15 minutes"));
    assert!(asked.at("PUT", &headers, 0, 0).unwrap_err().contains("signature fail"));
    let other = signed(&access, "other", "GET", &names);
    assert!(asked.at("GET", &other, 0, 0).unwrap_err().contains("signature fail"));
    let unknown = signed("OTHER", &secret, "GET", &names);
    assert!(asked.at("GET", &unknown, 0, 0).unwrap_err().contains("signature fail"));
    let loose = signed(&access, &secret, "GET", &[DATE]);
    assert!(asked.at("GET", &loose, 0, 0).unwrap_err().contains("host must be signed"));
    assert!(asked.at("GET", &HeaderMap::new(), 0, 0).is_err());
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", token.parse().unwrap());
    assert!(asked.at("PUT", &headers, 0, 10_000).is_ok());
    headers.insert("x-auth-token", "other".parse().unwrap());
    assert!(asked.at("GET", &headers, 0, 0).is_err());
}

#[test]
fn what_changes_something_is_not_taken_again_later() {
    let (keys, access, secret, _) = keys();
    let mut asked = Asked::of(&keys);
    let post = signed(&access, &secret, "POST", &["host", DATE]);
    assert!(asked.at("POST", &post, 0, 0).is_ok());
    assert!(asked.at("POST", &post, 1, 0).is_ok(), "two within a second may be equal");
    assert!(asked.at("POST", &post, 3, 0).unwrap_err().contains("received before"));
    let other = signed(&access, &secret, "DELETE", &["host", DATE]);
    assert!(asked.at("DELETE", &other, 1801, 0).is_ok());
    assert!(asked.at("POST", &post, 1802, 0).unwrap_err().contains("received before"));
    let get = signed(&access, &secret, "GET", &["host", DATE]);
    assert!(asked.at("GET", &get, 0, 0).is_ok() && asked.at("GET", &get, 99, 0).is_ok());
}

/// It changes nothing, and takes none of the room that others need.
#[test]
fn what_a_key_may_not_do_is_not_remembered() {
    let (keys, access, secret, _) = keys_of(KeyRole::ReadOnly);
    let mut asked = Asked::of(&keys);
    let post = signed(&access, &secret, "POST", &["host", DATE]);
    for second in [0, 9, 99] {
        assert!(!asked.at("POST", &post, second, 0).unwrap().may_write);
    }
    assert!(asked.memory.replays.seen.is_empty());
}

#[test]
fn what_changed_something_is_not_taken_again_by_the_next_agent() {
    let (keys, access, secret, _) = keys();
    let mut asked = Asked::of(&keys);
    let at = |date: &str, method: &str| signed_at(date, &access, &secret, method, &["host", DATE]);
    // The client's clock is ahead.
    let late = "20260101T001000Z";
    assert!(asked.at("POST", &at(late, "POST"), 0, 0).is_ok());
    assert!(asked.at("POST", &at(DAY, "POST"), 1, 0).is_ok());
    asked.restart();
    for (date, method, said) in [
        (late, "POST", Some("before the agent started")),
        (DAY, "POST", Some("before the agent started")),
        (late, "PUT", Some("before the agent started")),
        (late, "GET", None),
        ("20260101T001001Z", "POST", None),
    ] {
        let found = asked.at(method, &at(date, method), 2, 30).err();
        let fits = match (&found, said) {
            (Some(why), Some(said)) => why.contains(said),
            (found, said) => found.is_none() && said.is_none(),
        };
        assert!(fits, "{date} {method}: {found:?}");
    }
    // A wrong signature says nothing of that.
    let wrong = signed_at(DAY, &access, "other", "POST", &["host", DATE]);
    assert!(asked.at("POST", &wrong, 3, 0).unwrap_err().contains("signature fail"));
}

#[test]
fn so_many_signatures_are_remembered_and_no_more() {
    let (mut replays, start) = (Replays::default(), Instant::now());
    let signature = |n: u64| [[0; 8], n.to_be_bytes(), [0; 8], [0; 8]].concat();
    for n in 0..REMEMBERED as u64 {
        assert_eq!(replays.look(&signature(n), start), Seen::New);
    }
    assert_eq!(replays.look(&signature(REMEMBERED as u64), start), Seen::NoRoom);
    assert_eq!(replays.look(&signature(0), start + 2 * SAME), Seen::Before);
    let later = start + 2 * SKEW;
    assert_eq!(replays.look(&signature(REMEMBERED as u64), later), Seen::New);
    assert_eq!(replays.look(&signature(0), later), Seen::Before, "of the half hour before");
}

#[test]
fn times_are_read() {
    assert!(moment(DAY).is_some());
    for wrong in ["", "20260101T000000", "20261301T000000Z", "2026-01-01T00:00", "é0260101T00000Z"]
    {
        assert_eq!(moment(wrong), None, "{wrong}");
    }
}
