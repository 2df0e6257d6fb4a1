//! The TCP check with words: something is said, if there is something to say, and the answer must have
//! a text in it, soon enough and near enough to its beginning.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::{broken, connect, no_resource};
use super::search::Search;
use super::shown::shown;
use super::spec::ProbeSpec;
use super::{Cause, Failure, Stage};
use crate::model::monitor::{ProbeText, TalkCheck};

/// Bytes of an answer that are looked at.
const MOST: usize = 4 << 10;

/// Succeeds when the expected text has come. The connection is reset after that, so that neither side
/// keeps state.
pub(super) async fn check(
    probe: &ProbeSpec,
    check: &TalkCheck,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut stream = connect(probe, deadline).await?;
    stream.set_zero_linger().map_err(|error| no_resource(&error))?;
    if let Some(words) = &check.send {
        say(&mut stream, words, deadline).await?;
    }
    let mut search = Search::new(check.expect.as_bytes(), MOST);
    match timeout_at(deadline, hear(&mut stream, &mut search)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Err(cause)) if search.seen().is_empty() => Err(cause.into()),
        Err(_) if search.seen().is_empty() => Err(Cause::Timeout { stage: Stage::Response }.into()),
        Ok(Ok(false) | Err(_)) | Err(_) => {
            let expected = shown(check.expect.as_bytes());
            Err(Cause::Answer { expected, seen: shown(search.seen()) }.into())
        }
    }
}

async fn say(stream: &mut TcpStream, words: &ProbeText, deadline: Instant) -> Result<(), Failure> {
    let stage = Stage::Request;
    match timeout_at(deadline, stream.write_all(words.as_bytes())).await {
        Ok(said) => said.map_err(|error| broken(stage, &error).into()),
        Err(_) => Err(Cause::Timeout { stage }.into()),
    }
}

/// Reads until the text has come; false: it does not come.
async fn hear(stream: &mut TcpStream, search: &mut Search<'_>) -> Result<bool, Cause> {
    let stage = Stage::Response;
    let mut piece = [0; 512];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) if search.seen().is_empty() => return Err(Cause::Closed { stage }),
            Ok(0) => return Ok(false),
            Ok(read) if search.take(&piece[..read]) => return Ok(true),
            Ok(_) if search.is_full() => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(broken(stage, &error)),
        }
    }
}
