//! Someone else's slowness or malice stops the agent (K16): no member, reader, writer or file does.

mod readers;
mod streams;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{Load, http_requests},
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::checking::canned::{Canned, read_request};

/// How long anything may take that is not measured.
const LIMIT: Duration = Duration::from_secs(40);
/// How late all probes but one may be, in milliseconds, whatever a member sends.
const LATE: u64 = 100;
/// The part of a processor that the agent may use meanwhile; it is built without optimisation here.
const PART: f64 = 0.2;

/// A frame of HTTP/2: kind, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What a hostile member sends: at first, and then for ever, in pieces after a pause.
struct Flood {
    port: u16,
    kind: MonitorKind,
    first: Vec<u8>,
    again: Vec<u8>,
    pause: Duration,
}

impl Flood {
    fn new(port: u16, kind: MonitorKind, first: &[u8], again: &[u8]) -> Self {
        let (first, again) = (first.to_vec(), again.repeat(200));
        Self { port, kind, first, again, pause: Duration::ZERO }
    }

    fn start(&self, lab: &Lab) -> Result<Canned> {
        let (first, again, pause) = (self.first.clone(), self.again.clone(), self.pause);
        Canned::start(lab.backend(0), self.port, move |stream: &mut TcpStream| {
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(&first)?;
            loop {
                stream.write_all(&again)?;
                thread::sleep(pause);
            }
        })
    }
}

fn floods() -> Vec<Flood> {
    let settings = frame(4, 0, 0, &[]);
    let grpc = |port, again: &[u8]| Flood::new(port, MonitorKind::Grpc, &settings, again);
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    vec![
        grpc(2001, &frame(1, 4, 1, b"\x08\x03100")),
        grpc(2002, &frame(8, 0, 0, &[0, 0, 0, 1])),
        grpc(2003, &frame(2, 0, 3, &[0, 0, 0, 0, 9])),
        grpc(2004, &frame(99, 0, 0, &[7; 30])),
        Flood::new(2005, MonitorKind::Http, interim, interim),
        // Not among the reports: pings, a status line without an end, and records of TLS.
        grpc(2006, &frame(6, 0, 0, &[0; 8])),
        Flood::new(2007, MonitorKind::Http, b"HTTP/1.1 ", b"  "),
        Flood::new(2008, MonitorKind::Https, &[21, 3, 3, 0, 2, 1, 112], &[21, 3, 3, 0, 2, 1, 112]),
    ]
}

/// Seconds of processor time that a process used.
fn processor_time(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("no fields")?.split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u64>();
    Ok((ticks(12)? + ticks(13)?) as f64 / 100.0)
}

/// How late this machine wakes 99 of 100 sleepers for the time, in milliseconds: it may have more to do.
fn machine_is_late(until: &AtomicBool) -> u64 {
    const SLEEP: Duration = Duration::from_millis(5);
    let mut late = Vec::new();
    while !until.load(Ordering::Relaxed) || late.len() < 100 {
        let slept = Instant::now();
        thread::sleep(SLEEP);
        late.push(slept.elapsed().saturating_sub(SLEEP));
    }
    late.sort();
    u64::try_from(late[late.len() * 99 / 100].as_millis()).unwrap_or(u64::MAX)
}

/// What a task gives, and how late the machine was meanwhile, and for this time at least.
fn while_measured<T>(time: Duration, task: impl FnOnce() -> T) -> (T, u64) {
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let machine = scope.spawn(|| machine_is_late(&over));
        let given = task();
        thread::sleep(time.saturating_sub(begun.elapsed()));
        over.store(true, Ordering::Relaxed);
        (given, machine.join().expect("it only sleeps"))
    })
}

/// Probes since `before` that were more than so many milliseconds late.
fn late_since(before: &Value, now: &Value, most: u64) -> u64 {
    let late = |probing: &Value| -> u64 {
        let steps = probing["lateness"].as_array().into_iter().flatten();
        let later = steps.filter(|step| step["at_most_ms"].as_u64().is_none_or(|ms| ms > most));
        later.filter_map(|step| step["probes"].as_u64()).sum()
    };
    late(now) - late(before)
}

#[test]
fn members_that_send_without_end_cost_little() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    lab.backends_up(Forwarding::Ipip)?;
    let _good = Server::start(lab.backend(1), "backend-1")?;
    let floods = floods();
    let _members = floods.iter().map(|flood| flood.start(&lab)).collect::<Result<Vec<_>>>()?;
    let pool = |name: &str, port, backend: usize, monitor| {
        let mut pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port).watched(monitor);
        pool.members = vec![pool.members[backend].clone()];
        pool
    };
    let good = pool("good", HTTP_PORT, 1, HealthMonitor::quick(MonitorKind::Http));
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, good);
    let config = floods.iter().fold(config, |config, flood| {
        let monitor = HealthMonitor::quick(flood.kind);
        let hostile = pool(&format!("flood-{}", flood.port), flood.port, 0, monitor);
        config.balance(&lab, Family::V4, flood.port, hostile)
    });
    let agent = Agent::start(&lab, &config)?;
    agent.wait_members(&[lab.member_addr(1, Family::V4)], "ONLINE", LIMIT)?;
    agent.wait_members(&[lab.member_addr(0, Family::V4)], "OFFLINE", LIMIT)?;

    // Those of the start are not counted: the agent is busy with other things then.
    let before = agent.status()?;
    let (begun, used) = (Instant::now(), processor_time(agent.id())?);
    let load = Load { concurrency: 4, ..Load::on(lab.service(Family::V4, HTTP_PORT)) };
    let (report, machine) =
        while_measured(Duration::from_secs(4), || http_requests(lab.client(), load, 200));
    let report = report?;
    let part = (processor_time(agent.id())? - used) / begun.elapsed().as_secs_f64();
    let said = agent.status()?;
    assert_eq!(report.answered(), report.total(), "{:?}", report.failures().first());
    for flood in &floods {
        let pool = status::pool(&said, &format!("flood-{}", flood.port)).context("no pool")?;
        let detail = pool["members"][0]["reason"]["detail"].to_string();
        let is_said = detail.contains("gave up on the answer after") || detail.contains("not HTTP");
        assert!(is_said || flood.kind == MonitorKind::Https, "{}: {detail}", flood.port);
    }
    let probing = &said["agent"]["probing"];
    println!("{probing}, {part:.2} of a processor, a machine that is {machine} ms late");
    let most = LATE + 3 * machine;
    let late = late_since(&before["agent"]["probing"], probing, most);
    assert!(late <= 1, "{late} probes were more than {most} ms late: {probing}");
    assert!(part < PART, "the agent used {part:.2} of a processor");
    assert_eq!(
        agent.ask(&["events"]).unwrap_or(Value::Null).to_string().matches("good").count(),
        0
    );
    // The cause is the member's, and diagnosed as such; once it is gone and another serves there, it is ONLINE.
    let address = lab.member_addr(0, Family::V4);
    let diagnosis = agent.diagnose(&[&format!("{address}:2005")])?;
    assert!(diagnosis.evidence().contains("its answer has no end"), "{}", diagnosis.report());
    drop(_members);
    let answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let _repaired = Canned::start(lab.backend(0), 2005, move |stream| {
        read_request(stream)?;
        crate::checking::canned::end(stream, &answer)
    })?;
    let is_online = |said: &Value| {
        status::pool(said, "flood-2005")
            .is_some_and(|pool| pool["members"][0]["operating_status"] == "ONLINE")
    };
    agent.wait_status("the repaired member ONLINE", LIMIT, is_online).map(drop)
}
