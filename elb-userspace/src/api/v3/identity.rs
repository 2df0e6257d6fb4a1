//! Who sent a request: found out before its body is read, unless a signature is of that, too. Wrong credentials wait.

use std::sync::PoisonError;
use std::time::SystemTime;

use axum::body::Body as HttpBody;
use axum::http::StatusCode;
use axum::http::request::Parts;
use tokio::time::{Instant, sleep};

use super::authentication::{Caller, Claim, Received, SignedClaim};
use super::bodies::{Held, discard, read};
use super::failures;
use super::refusal::Refusal;
use super::server::{ApiServer, wall};
use crate::api::tcp::Peer;

impl ApiServer {
    /// Finds out who asks, and lets the request be answered. Nothing of a body is read for those who are not known.
    pub(super) async fn identified<T>(
        &self,
        peer: Peer,
        parts: &Parts,
        body: HttpBody,
        answer: impl AsyncFnOnce(Caller, &Received<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let wall = wall();
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let (method, headers) = (parts.method.as_str(), &parts.headers);
        let head = Received { method, path, query, headers, body: &[] };
        match self.claim(&head, wall) {
            Err(refusal) => {
                discard(body).await;
                Err(self.slowed(peer, refusal).await)
            }
            Ok(Claim::Known(caller)) if caller.may_write && method != "GET" => {
                peer.prove();
                let body = read(body).await?;
                answer(caller, &Received { body: &body, ..head }).await
            }
            // Nothing that is in the body counts.
            Ok(Claim::Known(caller)) => {
                peer.prove();
                discard(body).await;
                answer(caller, &head).await
            }
            Ok(Claim::Signed(claim)) => {
                let Held { bytes, room } = self.shared.unverified.read(body).await?;
                let received = Received { body: &bytes, ..head };
                let verified = self.verified(&claim, &received, wall).await;
                // Room is for those who are not known, and while they are not.
                drop(room);
                match verified {
                    Ok(caller) => {
                        peer.prove();
                        answer(caller, &received).await
                    }
                    Err(refusal) => {
                        drop(bytes);
                        Err(self.slowed(peer, refusal).await)
                    }
                }
            }
        }
    }

    fn claim(&self, head: &Received<'_>, wall: SystemTime) -> Result<Claim, Refusal> {
        let mut file = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = file.now().map_err(|error| {
            tracing::error!("the API takes no requests: {error:#}");
            Refusal::internal("the keys of this host cannot be used; its log says why".to_owned())
        })?;
        head.claim(keys, wall)
    }

    async fn verified(
        &self,
        claim: &SignedClaim,
        received: &Received<'_>,
        wall: SystemTime,
    ) -> Result<Caller, Refusal> {
        let verified = {
            let mut replays = self.shared.replays.lock().unwrap_or_else(PoisonError::into_inner);
            claim.verified(received, &mut replays, (Instant::now(), wall))?
        };
        if let Some((access, date)) = &verified.dated {
            self.shared.signed.keep(access, *date).await?;
        }
        Ok(verified.caller)
    }

    /// Wrong credentials wait for their answer.
    async fn slowed(&self, peer: Peer, refusal: Refusal) -> Refusal {
        if refusal.status != StatusCode::UNAUTHORIZED {
            return refusal;
        }
        let (address, now) = (peer.address, Instant::now());
        let wait = {
            let failures = &self.shared.failures;
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = failures.note(address, now);
            if failures.is_to_be_said(now) {
                let since_start = failures::wrong_credentials();
                tracing::warn!(%address, since_start, "wrong credentials for the API");
            }
            wait
        };
        sleep(wait).await;
        refusal
    }
}
