//! Cuts of recorded connections, inside the kernel: one call each.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use elb_common::cut::{Cut, DONE};
use elb_common::flow::Flow;

use super::object::{LoadedObject, cut_program};
use super::syscall;
use crate::control::flow_key::Key;

/// The program, for the flow tables of the object that it was loaded with.
#[derive(Debug)]
pub struct Cutter {
    program: OwnedFd,
}

impl Cutter {
    /// Takes the program of a loaded object.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub fn new(object: &mut LoadedObject) -> io::Result<Self> {
        let program = cut_program(&mut object.ebpf).fd().map_err(io::Error::other)?;
        Ok(Self { program: program.as_fd().try_clone_to_owned()? })
    }

    /// Cuts a connection at the second `now`; whether its record was still there.
    ///
    /// # Errors
    /// The kernel refuses to run the program.
    pub fn cut(&self, key: &Key, flow: &Flow, now: u32) -> io::Result<bool> {
        let cut = match key {
            Key::V4(key) => Cut::v4(key, flow, now),
            Key::V6(key) => Cut::v6(key, flow, now),
        };
        Ok(syscall::ask(&self.program, bytemuck::cast_slice(&[cut]))? == DONE)
    }
}
