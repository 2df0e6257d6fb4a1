//! A ping-pong of lines with an echo service, over one TCP connection.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    background::Stop,
    failure::{Failure, FailureKind},
    held_report::Record,
};
use crate::wire;

/// Longer than any answer: connections are held by the ten thousand.
const LINE: usize = 128;

/// How connections talk to an echo service.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Where it listens.
    pub target: SocketAddr,
    /// How long a connection rests after each answer.
    pub beat: Duration,
    /// How long connecting may take, and each answer.
    pub patience: Duration,
}

impl Talk {
    /// A line in every `beat`, answered within 3 s.
    pub fn to(target: SocketAddr, beat: Duration) -> Self {
        Self { target, beat, patience: Duration::from_secs(3) }
    }

    /// A socket that may be connected.
    pub(super) fn socket(&self) -> io::Result<TcpSocket> {
        if self.target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
    }

    /// Connects `socket`.
    pub(super) async fn connect(
        &self,
        socket: TcpSocket,
        record: &Record,
    ) -> Result<TcpStream, Failure> {
        let stream = self.in_time(socket.connect(self.target)).await?;
        let local = stream.local_addr().and_then(|local| stream.set_nodelay(true).map(|()| local));
        let local = local.map_err(|error| Failure::from_error(&error))?;
        record.update(|connection| connection.local = Some(local));
        Ok(stream)
    }

    /// Talks until it is stopped, at least one line, or until `leave`.
    pub(super) async fn converse(
        &self,
        stream: TcpStream,
        leave: Option<Instant>,
        mut stop: Stop,
        record: &Record,
    ) -> Result<(), Failure> {
        let name = record.update(|connection| connection.local);
        let name = name.map(|local| local.to_string()).unwrap_or_default();
        let mut stream = BufReader::with_capacity(LINE, stream);
        for round in 0_u64.. {
            let line = format!("{name} {round}");
            let asked = Instant::now();
            let answer = self.in_time(ask(&mut stream, &line)).await?;
            let backend = check(&answer, &line)?;
            record.update(|connection| connection.answered(backend, asked.elapsed()))?;
            let left = leave.map(|leave| leave.saturating_duration_since(Instant::now()));
            stop.pause(left.map_or(self.beat, |left| left.min(self.beat))).await;
            if stop.requested() || left.is_some_and(|left| left <= self.beat) {
                break;
            }
        }
        Ok(())
    }

    async fn in_time<T>(&self, work: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
        match timeout(self.patience, work).await {
            Ok(result) => result.map_err(|error| Failure::from_error(&error)),
            Err(_) => {
                let text = format!("no answer within {:?}", self.patience);
                Err(Failure::new(FailureKind::TimedOut, text))
            }
        }
    }
}

async fn ask(stream: &mut BufReader<TcpStream>, line: &str) -> io::Result<String> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    match stream.read_line(&mut answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

fn check<'a>(answer: &'a str, line: &str) -> Result<&'a str, Failure> {
    match wire::parse_echo(answer) {
        Some((backend, echoed)) if echoed == line => Ok(backend),
        _ => {
            let text = format!("asked {line:?}, got {answer:?}");
            Err(Failure::new(FailureKind::Mismatch, text))
        }
    }
}
