//! The XDP program that the far end of a load balancer's device needs.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};

use crate::{environment, netns::NetNs};

const OBJECT: &str = "xdp-pass";
const PROGRAM: &str = "pass";

/// A program that passes everything, attached natively until this guard goes.
///
/// Without XDP on its peer, a veth device swallows frames that XDP transmits on it (without one
/// counter that says so, if the peer has GRO).
#[derive(Debug)]
pub struct XdpPass {
    _program: Ebpf,
}

impl XdpPass {
    /// Attaches it to `interfaces` of `netns`.
    pub fn attach(netns: &NetNs, interfaces: &[&str]) -> Result<Self> {
        let path = environment::bpf_dir()?.join(OBJECT);
        let mut object = Ebpf::load_file(&path)
            .with_context(|| format!("cannot load the BPF object {}", path.display()))?;
        let program: &mut Xdp = object
            .program_mut(PROGRAM)
            .with_context(|| format!("{} has no program {PROGRAM}", path.display()))?
            .try_into()?;
        program.load()?;
        netns.run(|| -> Result<()> {
            for interface in interfaces {
                program
                    .attach(interface, XdpMode::Driver)
                    .with_context(|| format!("cannot attach {PROGRAM} to {interface}"))?;
            }
            Ok(())
        })??;
        Ok(Self { _program: object })
    }
}
