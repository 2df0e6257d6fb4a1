//! The XDP program that the far end of a load balancer's device needs, and how a program is taken off
//! that a link holds.

use std::{ffi::CString, io, os::unix::ffi::OsStrExt as _, path::Path};

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

/// Detaches a pinned link from its interface, as `bpftool link detach pinned` does: the pin stays, and holds
/// nothing.
pub fn detach_link(pin: &Path) -> Result<()> {
    // Numbers of `enum bpf_cmd` in linux/bpf.h.
    const GET_OBJECT: i64 = 7;
    const LINK_DETACH: i64 = 34;
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let link = bpf(GET_OBJECT, &[path.as_ptr().expose_provenance() as u64, 0])?;
    let detached = bpf(LINK_DETACH, &[u64::try_from(link)?, 0]);
    nix::unistd::close(i32::try_from(link)?)?;
    detached.map(drop).with_context(|| format!("cannot detach {}", pin.display()))
}

fn bpf(command: i64, attributes: &[u64; 2]) -> io::Result<i64> {
    // SAFETY: `union bpf_attr` of both commands is two words at the most, an address of a path that the
    // caller holds, or a descriptor; the kernel only reads them.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
