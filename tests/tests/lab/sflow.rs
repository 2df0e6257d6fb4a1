//! Samples and refused packets by sFlow next to real connections: three decoders find in what a collector gets what
//! was sent, and none of it costs anything while it is off.

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use elb_common::names;
use elb_tests::{
    client::{Load, http_requests},
    config::Forwarding,
    daemon::{daemon, tool},
    lab::Lab,
    process::{Process, output},
    wait::wait_for,
    wire::HTTP_PORT,
};
use etherparse::PacketBuilder;
use nix::sys::signal::Signal;
use pcap_file::{
    DataLink,
    pcap::{PcapHeader, PcapPacket, PcapWriter},
};
use serde_json::Value;
use sflow_parser::{
    SFlowDatagram,
    models::{DiscardedPacket, DropReason, FlowData, FlowRecord, FlowSampleExpanded, SampleData},
};

use crate::{
    scene::{LIMIT, Scene},
    tracing,
};

/// Where elb sends samples.
const COLLECTOR: &str = "127.0.0.1:6343";
/// Where nfdump's collector gets them from us.
const SFCAPD: (&str, u16) = ("127.0.0.1", 6344);

impl Scene {
    /// Turns samples on with these keys, or off without any; how the interfaces carry it.
    fn sample(&mut self, keys: Option<&str>) -> Result<()> {
        let table = keys.map(|keys| format!("[sflow]\ncollector = \"{COLLECTOR}\"\n{keys}\n"));
        self.agent.write(&format!("{}\n{}", self.config.text()?, table.unwrap_or_default()))?;
        self.agent.run(&["reload"])?;
        let wanted = if keys.is_some() { names::LOGGED_PROGRAM } else { names::PROGRAM };
        assert_eq!(tracing::program(self)?, wanted);
        assert_eq!(self.agent.status()?["agent"]["sflow"].is_null(), keys.is_none());
        Ok(())
    }

    fn wait_sflow(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(what, LIMIT, || {
            let sflow = self.agent.status()?["agent"]["sflow"].clone();
            Ok(Some(sflow).filter(&wanted))
        })
    }

    /// So many connections to a port where nothing listens.
    fn knock(&self, times: usize) -> Result<()> {
        let closed = Load::on(SocketAddr::new(self.lab.vip4(), 4444));
        http_requests(self.lab.client(), Load { timeout: LIMIT / 40, ..closed }, times)?;
        Ok(())
    }
}

/// Keeps what comes, and passes it on to nfdump's collector.
struct Collector {
    socket: UdpSocket,
    sfcapd: Process,
    folder: PathBuf,
    datagrams: Vec<Vec<u8>>,
}

impl Collector {
    fn start(lab: &Lab) -> Result<Self> {
        let folder = lab.files().join("sfcapd");
        fs::create_dir_all(&folder)?;
        let mut command = daemon(lab.lb(), "sfcapd")?;
        command.args(["-b", SFCAPD.0, "-p", &SFCAPD.1.to_string(), "-w"]).arg(&folder);
        let log = File::create(lab.files().join("sfcapd.log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        let sfcapd = Process::start("sfcapd", command)?;
        wait_for("sfcapd to listen", LIMIT, || {
            // While it listens, nobody else can.
            let bound = lab.lb().run(|| UdpSocket::bind(SFCAPD))?;
            Ok(bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse).then_some(()))
        })?;
        let socket = lab.lb().run(|| UdpSocket::bind(COLLECTOR))??;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self { socket, sfcapd, folder, datagrams: Vec::new() })
    }

    /// Takes what comes until it is as wanted.
    fn collect(&mut self, what: &str, wanted: impl Fn(&Samples) -> bool) -> Result<Samples> {
        wait_for(what, LIMIT, || {
            let mut buffer = [0; 2_048];
            while let Ok(length) = self.socket.recv(&mut buffer) {
                self.socket.send_to(&buffer[..length], SFCAPD)?;
                self.datagrams.push(buffer[..length].to_vec());
            }
            Ok(Some(Samples::of(&self.datagrams)?).filter(&wanted))
        })
    }

    /// What nfdump says of all: packets and bytes by source, destination and port.
    fn nfdump(mut self) -> Result<String> {
        self.sfcapd.signal(Signal::SIGTERM)?;
        self.sfcapd.wait(LIMIT)?;
        let mut command = tool("nfdump")?;
        command.arg("-R").arg(&self.folder);
        command.args(["-q", "-N", "-A", "dstip,dstport,proto", "-o", "fmt:%da %dp %pr %pkt %byt"]);
        output(command, LIMIT)
    }

    /// What tshark says of each datagram.
    fn tshark(&self, lab: &Lab) -> Result<Vec<Vec<String>>> {
        const FIELDS: [&str; 6] = [
            "sflow_245.version",
            "sflow_245.numsamples",
            "sflow_245.sampletype",
            "sflow.flow_sample.sampling_rate",
            "sflow_245.header.frame_length",
            "_ws.malformed",
        ];
        let file = lab.files().join("sflow.pcap");
        let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
        let mut writer = PcapWriter::with_header(File::create(&file)?, header)?;
        for datagram in &self.datagrams {
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 9], 64).udp(9, 6343);
            builder.write(&mut packet, datagram)?;
            let length = u32::try_from(packet.len())?;
            writer.write_packet(&PcapPacket::new(Duration::ZERO, length, &packet)?)?;
        }
        drop(writer);
        let mut command = tool("tshark")?;
        command.arg("-r").arg(&file).args(["-d", "udp.port==6343,sflow", "-T", "fields"]);
        command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
        let lines = output(command, LIMIT)?;
        let fields = |line: &str| line.split('\t').map(str::to_owned).collect();
        Ok(lines.lines().map(fields).collect())
    }
}

/// All samples that came, in their order.
#[derive(Debug, Default)]
struct Samples {
    flows: Vec<FlowSampleExpanded>,
    discards: Vec<DiscardedPacket>,
}

impl Samples {
    fn of(datagrams: &[Vec<u8>]) -> Result<Self> {
        let mut samples = Self::default();
        for (index, bytes) in datagrams.iter().enumerate() {
            let datagram: SFlowDatagram =
                sflow_parser::parsers::parse_datagram(bytes).map_err(anyhow::Error::msg)?;
            ensure!(datagram.sequence_number as usize == index + 1, "{datagram:?}");
            for sample in datagram.samples {
                if let SampleData::FlowSampleExpanded(flow) = sample.sample_data {
                    samples.flows.push(flow);
                } else if let SampleData::DiscardedPacket(packet) = sample.sample_data {
                    samples.discards.push(packet);
                } else {
                    anyhow::bail!("{sample:?}");
                }
            }
        }
        Ok(samples)
    }

    /// Sampled packets for a port.
    fn to(&self, port: u16) -> usize {
        let flows = self.flows.iter().filter_map(|flow| destination(&flow.flow_records));
        flows.filter(|to| *to == port).count()
    }
}

/// The TCP port that a frame is for, whose first bytes are in these records.
fn destination(records: &[FlowRecord]) -> Option<u16> {
    let [FlowRecord { flow_data: FlowData::SampledHeader(header), .. }] = records else {
        return None;
    };
    let whole = etherparse::LaxSlicedPacket::from_ethernet(&header.header).ok()?;
    let etherparse::TransportSlice::Tcp(tcp) = whole.transport? else { return None };
    Some(tcp.destination_port())
}

#[test]
fn a_collector_gets_samples_and_refused_packets() -> Result<()> {
    const REQUESTS: usize = 40;
    let mut scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    assert_eq!(tracing::program(&scene)?, names::PROGRAM);
    let mut collector = Collector::start(&scene.lab)?;
    // Every packet is a sample, but for the first of each CPU.
    scene.sample(Some("sampling_rate = 1\nagent_address = \"192.0.2.77\""))?;
    scene.request(REQUESTS)?;
    scene.knock(3)?;
    // Each connection is at least a SYN, an acknowledgement, a request and a FIN.
    let samples = collector.collect("all samples", |samples| {
        samples.to(HTTP_PORT) >= 4 * REQUESTS - 8 && samples.discards.len() >= 3
    })?;
    let index = scene.lab.lb().index_of("lb0")?;
    for (number, flow) in (1..).zip(&samples.flows) {
        assert_eq!((flow.sequence_number, flow.sampling_rate), (number, 1), "{flow:?}");
        assert_eq!((flow.source_id.source_id_index, flow.input.value), (index, index), "{flow:?}");
        assert_eq!((flow.sample_pool, flow.drops), (number, 0), "{flow:?}");
    }
    for (number, packet) in (1..).zip(&samples.discards) {
        assert_eq!((packet.sequence_number, packet.drops), (number, 0), "{packet:?}");
        assert_eq!(packet.reason, DropReason::PortUnreachable, "{packet:?}");
        assert_eq!((packet.input_ifindex, packet.output_ifindex), (index, 0), "{packet:?}");
        assert_eq!(destination(&packet.flow_records), Some(4444), "{packet:?}");
    }
    let sflow = scene.wait_sflow("what was sent", |sflow| {
        sflow["samples"].as_u64() == Some(samples.flows.len() as u64)
    })?;
    assert_eq!(sflow["discards"], samples.discards.len(), "{sflow}");
    // Metrics are of the last second.
    wait_for("the same in metrics", LIMIT, || {
        let metrics = scene.agent.run(&["metrics"])?;
        let lines = ["elb_sflow_enabled 1".to_owned(), sent("discard", samples.discards.len())];
        let has = |line: &String| metrics.lines().any(|one| one == line);
        Ok(lines.iter().all(has).then_some(()))
    })?;
    let said = scene.agent.run(&["status"])?;
    assert!(said.contains(&format!("sFlow to {COLLECTOR} · ")), "{said}");

    scene.sample(None)?;
    scene.request(10)?;
    let after = collector.collect("what was under way", |_| true)?;
    assert_eq!(after.to(HTTP_PORT), samples.to(HTTP_PORT), "nothing is sent any more");
    assert_tshark_agrees(&collector.tshark(&scene.lab)?, &after);

    // Of refused packets nfdump 1.7 knows nothing; it takes the samples, and passes over the others.
    let (said, to) = (collector.nfdump()?, scene.lab.vip4());
    let line = format!("{to} {HTTP_PORT} 6 {} ", after.to(HTTP_PORT));
    let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain.contains(&line), "{line}: {said}");
    Ok(())
}

fn sent(kind: &str, count: usize) -> String {
    format!("elb_sflow_samples_total{{kind=\"{kind}\"}} {count}")
}

fn assert_tshark_agrees(lines: &[Vec<String>], samples: &Samples) {
    let [mut flows, mut discards] = [0; 2];
    for line in lines {
        let [version, number, kinds, rates, lengths, malformed] = &line[..] else {
            panic!("{line:?}");
        };
        let count = |wanted: &str| kinds.split(',').filter(|kind| *kind == wanted).count();
        assert_eq!((&version[..], &malformed[..]), ("5", ""), "{line:?}");
        assert_eq!(kinds.split(',').count().to_string(), *number, "{line:?}");
        (flows, discards) = (flows + count("3"), discards + count("5"));
        assert!(rates.split(',').all(|rate| rate.is_empty() || rate == "1"), "{line:?}");
        let is_a_frame = |length: &str| length.parse().is_ok_and(|bytes: u32| bytes >= 46);
        assert!(count("3") == 0 || lengths.split(',').all(is_a_frame), "{line:?}");
    }
    assert_eq!((flows, discards), (samples.flows.len(), samples.discards.len()));
}

#[test]
fn what_no_collector_takes_is_counted_and_a_flood_is_bounded() -> Result<()> {
    let mut scene = Scene::start(1, Forwarding::Ipip, |pool| pool)?;
    scene.sample(Some("sampling_rate = 0\ndiscards_per_second = 5"))?;
    // The first datagram's ICMP error is what the next one meets.
    let unsent = |sflow: &Value| sflow["lost"]["unsent"].as_u64() > Some(0);
    let sflow = wait_for("datagrams that nobody takes", LIMIT, || {
        scene.knock(2)?;
        let sflow = scene.agent.status()?["agent"]["sflow"].clone();
        Ok(Some(sflow).filter(unsent))
    })?;
    assert!(sflow["last_failure"].as_str().is_some_and(|why| why.contains("refused")), "{sflow}");
    let problems = scene.agent.status()?["agent"]["problems"].to_string();
    assert!(problems.contains("samples cannot be sent to 127.0.0.1:6343"), "{problems}");
    scene.request(20)?;

    let socket = scene.lab.lb().run(|| UdpSocket::bind(COLLECTOR))??;
    socket.set_read_timeout(Some(LIMIT))?;
    let before = sflow["discards"].as_u64().context("a count")?;
    let is_beyond = |sflow: &Value| {
        sflow["lost"]["limit"].as_u64() > Some(0) && sflow["discards"].as_u64() > Some(before)
    };
    let sflow = wait_for("more than the limit, and no failure", LIMIT, || {
        scene.knock(20)?;
        let sflow = scene.agent.status()?["agent"]["sflow"].clone();
        Ok(Some(sflow).filter(|sflow| is_beyond(sflow) && sflow["last_failure"].is_null()))
    })?;
    assert_eq!(sflow["samples"], 0, "{sflow}");
    let mut buffer = [0; 2_048];
    let length = socket.recv(&mut buffer)?;
    let datagram = sflow_parser::parsers::parse_datagram(&buffer[..length]);
    let datagram = datagram.map_err(anyhow::Error::msg)?;
    assert_eq!(datagram.agent_address, sflow_parser::models::Address::IPv4([127, 0, 0, 1].into()));
    // With the flow log, too: both get the refusals.
    let file = scene.lab.files().join("flows.jsonl");
    let keys = format!("sampling_rate = 0\n[flow_log]\nfile = {file:?}");
    scene.sample(Some(&keys))?;
    scene.knock(3)?;
    wait_for("lines of the flow log", LIMIT, || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        Ok((text.matches("closed_port_answered").count() >= 3).then_some(()))
    })?;
    scene.sample(None)
}
