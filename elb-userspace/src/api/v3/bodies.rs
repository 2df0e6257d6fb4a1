//! Bodies of requests: bounded in bytes and time, and those of callers who are not known yet in bytes together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::Refusal;

/// Bytes of a body: room for 300 described networks, or 500 members.
const MAX_BODY: usize = 1 << 20;
/// How long a body may take.
pub(super) const BODY: Duration = Duration::from_secs(10);
/// Bytes of each body that need no room: more than most requests have. Connections are bounded, so that these are, too.
const FREE: usize = 64 << 10;
/// Bytes beyond these, of all bodies together whose signatures are still to be verified.
const UNVERIFIED: usize = 16 << 20;
/// In pieces of this size.
const PIECE: usize = 1 << 10;

/// Room for bodies of callers who are not known yet: a signature is of the body, too.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// A body, and the room that it takes until that is dropped.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(UNVERIFIED)
    }
}

impl Room {
    fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PIECE)))
    }

    /// Reads a body of which it is not known who sends it.
    pub(super) async fn read(&self, body: HttpBody) -> Result<Held, Refusal> {
        let mut held = Held { bytes: Vec::new(), room: None };
        each(body, BODY, |data| {
            self.make_room(&mut held, data.len())?;
            held.add(&data);
            Ok(())
        })
        .await?;
        Ok(held)
    }

    fn make_room(&self, held: &mut Held, more: usize) -> Result<(), Refusal> {
        let wanted = (held.bytes.len() + more).saturating_sub(FREE).div_ceil(PIECE);
        let has = held.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let lacks = u32::try_from(wanted.saturating_sub(has)).unwrap_or(u32::MAX);
        if lacks == 0 {
            return Ok(());
        }
        let Ok(room) = self.0.clone().try_acquire_many_owned(lacks) else {
            let why = format!(
                "this host reads {} MiB of large signed requests already, and takes no more at the moment; try \
                 again, send less than {} KiB at once, or show a token in X-Auth-Token",
                UNVERIFIED >> 20,
                FREE >> 10
            );
            return Err(Refusal::too_many(why));
        };
        match &mut held.room {
            Some(all) => all.merge(room),
            none => *none = Some(room),
        }
        Ok(())
    }
}

impl Held {
    /// In steps, so that it takes hardly more room than it has bytes.
    fn add(&mut self, data: &[u8]) {
        let free = self.bytes.capacity() - self.bytes.len();
        if free < data.len() {
            let step = if self.bytes.is_empty() { data.len() } else { data.len().max(FREE) };
            self.bytes.reserve_exact(step);
        }
        self.bytes.extend_from_slice(data);
    }
}

/// The body of a request of a caller who is known.
pub(super) async fn read(body: HttpBody) -> Result<Vec<u8>, Refusal> {
    let mut held = Held { bytes: Vec::new(), room: None };
    each(body, BODY, |data| {
        held.add(&data);
        Ok(())
    })
    .await?;
    Ok(held.bytes)
}

/// Takes a body that no one wants off the connection, piece by piece: a client that is still sending would not see the
/// answer. None of it is kept.
pub(super) async fn discard(body: HttpBody) {
    // One that is too large or too slow is cut off with the connection.
    let _ = each(body, BODY, |_| Ok(())).await;
}

async fn each(
    mut body: HttpBody,
    limit: Duration,
    mut take: impl FnMut(Bytes) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut count = 0;
    let all = async {
        while let Some(frame) = body.frame().await {
            let unreadable = |error| Refusal::invalid(format!("the body cannot be read: {error}"));
            let Ok(data) = frame.map_err(unreadable)?.into_data() else { continue };
            count += data.len();
            if count > MAX_BODY {
                let why = format!("the body has more than {MAX_BODY} bytes");
                return Err(Refusal::too_large(why));
            }
            take(data)?;
        }
        Ok(())
    };
    let late = |_| Refusal::invalid(format!("the body took more than {} seconds", limit.as_secs()));
    timeout(limit, all).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures_util::stream;

    use super::*;

    /// A body that comes in pieces.
    fn pieces(count: usize, size: usize) -> HttpBody {
        let all = (0..count).map(move |_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; size])));
        HttpBody::from_stream(stream::iter(all))
    }

    #[tokio::test]
    async fn large_bodies_of_strangers_share_the_room() {
        let room = Room::of(MAX_BODY);
        let large = room.read(pieces(10, FREE)).await.unwrap();
        assert_eq!(large.bytes.len(), 10 * FREE);
        let refused = room.read(pieces(10, FREE)).await.err().unwrap();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.message.contains("X-Auth-Token"), "{}", refused.message);
        // Small ones need none, however many there are.
        let mut small = Vec::new();
        for _ in 0..300 {
            small.push(room.read(pieces(1, FREE)).await.unwrap());
        }
        assert!(small.iter().all(|one| one.room.is_none()));
        drop(large);
        let again = room.read(pieces(16, FREE)).await.unwrap();
        assert_eq!(again.bytes.len(), MAX_BODY);
        assert!(again.bytes.capacity() <= MAX_BODY + FREE);
    }

    #[tokio::test]
    async fn bodies_are_bounded_in_bytes() {
        let error = read(pieces(17, FREE)).await.unwrap_err();
        assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
        let error = Room::default().read(pieces(17, FREE)).await.err().unwrap();
        assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let slow = HttpBody::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = each(slow, Duration::from_millis(1), |_| Ok(())).await.unwrap_err();
        assert!(refused.message.contains("the body took more than"), "{}", refused.message);
    }
}
