//! Members that may have only so many connections: which take the next ones, and what happens where all are full.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::{STUCK, wait_for},
    wire::ECHO_PORT,
};

use crate::scene::{ECHO, LIMIT, Scene};

/// How long a client that is to get no answer waits.
const PATIENCE: Duration = Duration::from_millis(500);
/// What each of the members may have; the first has the greater weight.
const MOST: [u32; 2] = [2, 4];

/// Echoes of members with limits.
fn limited(algorithm: &str, no_member: &str) -> Result<Scene> {
    let (scene, ()) = Scene::start_of(2, Forwarding::Ipip, |lab: &Lab| {
        let mut pool = Pool::of(lab, ECHO, Family::V4, Protocol::Tcp, ECHO_PORT).by(algorithm);
        for (member, most) in pool.members.iter_mut().zip(MOST) {
            member.max_connection = most;
        }
        pool.members[0].weight = 10;
        let mut config = Config::new(lab).balance(lab, Family::V4, ECHO_PORT, pool);
        config.listener_mut(ECHO).no_member = Some(no_member.to_owned());
        Ok((config, ()))
    })?;
    Ok(scene)
}

impl Scene {
    /// A connection that has got an answer, and the index of the backend that gave it.
    fn connect_to_one(&self, patience: Duration) -> Result<Result<(TcpStream, usize), ErrorKind>> {
        let target = self.echo();
        let talk = move || {
            let mut stream = TcpStream::connect_timeout(&target, patience)?;
            stream.set_read_timeout(Some(patience))?;
            stream.write_all(b"hello\n")?;
            let mut line = String::new();
            match BufReader::new(&stream).read_line(&mut line)? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                _ => Ok((stream, line)),
            }
        };
        let said = self.lab.client().run(talk)?.map_err(|error: std::io::Error| error.kind());
        let Ok((stream, line)) = said else {
            return Ok(Err(said.err().unwrap_or(ErrorKind::Other)));
        };
        let by = (0..2).find(|index| line.contains(&self.lab.backend_name(*index)));
        Ok(Ok((stream, by.with_context(|| format!("no backend says {line:?}"))?)))
    }

    /// The connections that all members have, and the packets that were refused because all were full.
    fn member_counts(&self) -> Result<(u64, u64)> {
        let said = self.agent.status()?;
        let of = |index| status::member(&said, ECHO, self.member(index))?["connections"].as_u64();
        let open = (0..2).map(of).sum::<Option<u64>>().context("each has a count")?;
        Ok((open, status::packets_of(&said, "member_limit")))
    }

    /// A connection that is let in by its first packet, however long a busy host takes to answer, and who
    /// answers.
    fn let_in_by(&self) -> Result<(TcpStream, usize)> {
        let (_, refused) = self.member_counts()?;
        let connected = self.connect_to_one(LIMIT)?.map_err(|why| anyhow::anyhow!("{why}"))?;
        assert_eq!(self.member_counts()?.1, refused, "its first packet is refused");
        Ok(connected)
    }

    /// Ends a connection, and waits until elb has seen that: what a client sends last can be overtaken by what it
    /// sends next, on another processor.
    fn end(&self, held: &mut Vec<TcpStream>) -> Result<()> {
        let (before, _) = self.member_counts()?;
        drop(held.pop().context("there is one to end")?);
        wait_for("the end of a connection to be seen", LIMIT, || {
            Ok((self.member_counts()?.0 == before - 1).then_some(()))
        })
    }

    /// As many connections as all members may have, by backend.
    fn fill(&self) -> Result<[Vec<TcpStream>; 2]> {
        let mut held = [vec![], vec![]];
        for n in 0..MOST.iter().sum() {
            let (stream, by) = self.let_in_by().with_context(|| format!("connection {n}"))?;
            held[by].push(stream);
        }
        let counts = [0, 1].map(|index| u32::try_from(held[index].len()).unwrap_or(u32::MAX));
        assert_eq!(counts, MOST);
        Ok(held)
    }
}

/// A member at its limit gets nothing before one of its connections ends, and then the first that comes.
#[test]
fn a_full_member_gets_no_connection_until_one_ends() -> Result<()> {
    for algorithm in ["ROUND_ROBIN", "LEAST_CONNECTIONS"] {
        let mut scene = limited(algorithm, "drop")?;
        let mut held = scene.fill()?;
        for round in 0..2 {
            let refused = scene.connect_to_one(PATIENCE)?.err().context("all are full")?;
            assert!(matches!(refused, ErrorKind::TimedOut | ErrorKind::WouldBlock), "{refused}");
            let freed = round % 2;
            scene.end(&mut held[freed])?;
            let again = scene.let_in_by().with_context(|| format!("round {round}"))?;
            assert_eq!(again.1, freed, "{algorithm}: the one that has room takes it");
            held[freed].push(again.0);
        }
        if algorithm == "ROUND_ROBIN" {
            shown(&scene)?;
        }
        // Without limits, there is room at once.
        let mut config = scene.config.clone();
        config.pool_mut(ECHO).members.iter_mut().for_each(|member| member.max_connection = 0);
        scene.agent.reload(&config)?;
        wait_for("a connection above the limits", LIMIT, || Ok(scene.connect_to_one(LIMIT)?.ok()))?;
    }
    Ok(())
}

/// What people are shown of members that are full.
fn shown(scene: &Scene) -> Result<()> {
    let said = scene.agent.status()?;
    for (index, most) in MOST.into_iter().enumerate() {
        let member = status::member(&said, ECHO, scene.member(index)).context("it is there")?;
        assert_eq!(
            (&member["connections"], &member["max_connection"]),
            (&most.into(), &most.into())
        );
    }
    assert!(status::packets_of(&said, "member_limit") >= 2, "{said}");
    let text = scene.agent.run(&["status"])?;
    assert!(text.contains("2 open, as many as it may have"), "{text}");
    let diagnosed = scene.agent.end(&["diagnose", &format!("pool:{ECHO}")], STUCK)?.printed;
    assert!(diagnosed.contains("it has 4 of at most 4 connections"), "{diagnosed}");
    let echo = scene.echo().to_string();
    let question = ["explain", "--src", "10.1.0.9", "--dst", &echo, "--proto", "tcp", "--syn"];
    let explained = scene.agent.end(&question, STUCK)?.printed;
    assert!(explained.contains("member_limit"), "{explained}");
    let metrics = scene.agent.run(&["metrics"])?;
    assert!(metrics.contains("elb_member_connections_limit{pool=\"echo\""), "{metrics}");
    Ok(())
}

/// Where the listener says so, clients get an answer at once.
#[test]
fn clients_are_refused_where_all_members_are_full() -> Result<()> {
    let scene = limited("ROUND_ROBIN", "reset")?;
    let mut held = scene.fill()?;
    for _ in 0..3 {
        assert_eq!(scene.connect_to_one(LIMIT)?.err(), Some(ErrorKind::ConnectionRefused));
    }
    assert!(status::packets_of(&scene.agent.status()?, "member_limit_answered") >= 3);
    scene.end(&mut held[1])?;
    let (_, by) = scene.let_in_by()?;
    assert_eq!(by, 1);
    Ok(())
}
