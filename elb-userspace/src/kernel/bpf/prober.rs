//! Probes in the kernel: which backend each flow probes.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use aya::maps::{HashMap, MapData};
use elb_common::addr::Be16;
use elb_common::flow::{FlowKeyV4, FlowKeyV6, Ports};
use elb_common::names;

use super::maps::{MapError, at, take};
use super::object::LoadedObject;
use super::record::Record;
use crate::health::path::{Flow, ProbeRouter};

/// The maps of the program `elb_probe` that no other program uses.
#[derive(Debug)]
pub struct Prober {
    mark: AtomicU32,
    v4: Mutex<Probes<FlowKeyV4>>,
    v6: Mutex<Probes<FlowKeyV6>>,
}

type Probes<K> = HashMap<MapData, Record<K>, u32>;

impl Prober {
    /// Takes the maps of a loaded object.
    ///
    /// # Errors
    /// A map is of another kind.
    pub fn new(object: &mut LoadedObject) -> Result<Self, MapError> {
        let ebpf = &mut object.ebpf;
        Ok(Self {
            mark: AtomicU32::default(),
            v4: Mutex::new(take(ebpf, names::PROBES_V4)?),
            v6: Mutex::new(take(ebpf, names::PROBES_V6)?),
        })
    }
}

impl Prober {
    /// The sockets of probes have this mark from now on.
    pub fn set_mark(&self, mark: u32) {
        self.mark.store(mark, Ordering::Relaxed);
    }

    /// Goes on with the maps of another object: probes that are under way are known there, too.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn follow(&self, object: &mut LoadedObject) -> Result<(), MapError> {
        let ebpf = &mut object.ebpf;
        replace(&self.v4, take(ebpf, names::PROBES_V4)?).map_err(at(names::PROBES_V4))?;
        replace(&self.v6, take(ebpf, names::PROBES_V6)?).map_err(at(names::PROBES_V6))
    }
}

/// Puts another map in the place of one, with what that holds.
fn replace<K: bytemuck::Pod>(
    probes: &Mutex<Probes<K>>,
    mut by: Probes<K>,
) -> Result<(), aya::maps::MapError> {
    let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
    for entry in probes.iter() {
        let (key, backend) = entry?;
        by.insert(key, backend, 0)?;
    }
    *probes = by;
    Ok(())
}

impl ProbeRouter for Prober {
    fn mark(&self) -> u32 {
        self.mark.load(Ordering::Relaxed)
    }

    fn route(&self, flow: Flow, backend: u16) -> io::Result<()> {
        self.write(flow, backend).map_err(io::Error::other)
    }
}

impl Prober {
    fn write(&self, flow: Flow, backend: u16) -> Result<(), MapError> {
        let (source, destination) = (flow.source, flow.destination);
        let ports =
            Ports { source: Be16::new(source.port()), destination: Be16::new(destination.port()) };
        let backend = u32::from(backend);
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [source, destination] =
                    [source, destination].map(|address| bytemuck::cast(address.octets()));
                let key = FlowKeyV4::new(source, destination, ports, flow.protocol);
                write(&self.v4, key, backend).map_err(at(names::PROBES_V4))
            }
            (source, destination) => {
                let [source, destination] = [source, destination].map(octets);
                let [source, destination] = [source, destination].map(bytemuck::cast);
                let key = FlowKeyV6::new(source, destination, ports, flow.protocol);
                write(&self.v6, key, backend).map_err(at(names::PROBES_V6))
            }
        }
    }
}

fn write<K: bytemuck::Pod>(
    probes: &Mutex<Probes<K>>,
    key: K,
    backend: u32,
) -> Result<(), aya::maps::MapError> {
    // A thread that panics amid a system call leaves nothing half done.
    probes.lock().unwrap_or_else(PoisonError::into_inner).insert(Record(key), backend, 0)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
