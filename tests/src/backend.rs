//! What makes a host a backend of a load-balanced address: `elb backend up` and `down`, inside it.

use std::{net::IpAddr, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    address::{Family, Host, Network},
    config::Forwarding,
    environment::elb_bin,
    lab::Lab,
    process::output,
    wait::STUCK,
    wire::{ECHO_PORT, HTTP_PORT},
};

impl Lab {
    /// Prepares every backend for the lab's addresses of all its families; with `nat`, leads the answers of
    /// its servers through the load balancer.
    pub fn backends_up(&self, mode: Forwarding) -> Result<()> {
        (0..self.backends().len()).try_for_each(|index| self.backend_up(index, mode))
    }

    /// Prepares one backend for the lab's addresses of all its families.
    pub fn backend_up(&self, index: usize, mode: Forwarding) -> Result<()> {
        self.on_every_vip(index, mode, "up")
    }

    /// Undoes [`Lab::backend_up`].
    pub fn backend_down(&self, index: usize, mode: Forwarding) -> Result<()> {
        self.on_every_vip(index, mode, "down")
    }

    /// The options of `elb backend` that say where a backend keeps its set-up.
    pub fn backend_place(&self, index: usize) -> Vec<String> {
        let option = |name: &str, path: PathBuf| [name.to_owned(), path.display().to_string()];
        let pins = option("--pin-dir", self.backend_pins(index));
        let state = option("--state-dir", self.files().join("backends"));
        [pins, state].concat()
    }

    fn on_every_vip(&self, index: usize, mode: Forwarding, verb: &str) -> Result<()> {
        let vips = self.families().list().iter().map(|family| self.vip(*family));
        vips.into_iter().try_for_each(|vip| {
            let command = self.elb_backend(index, mode, verb, vip)?;
            output(command, STUCK)
                .map(drop)
                .with_context(|| format!("cannot bring {} {verb}", self.backend_name(index)))
        })
    }

    fn elb_backend(
        &self,
        index: usize,
        mode: Forwarding,
        verb: &str,
        vip: IpAddr,
    ) -> Result<Command> {
        let mut command = self.backend(index).command(elb_bin()?);
        command.args(["backend", verb, "--mode", mode.name(), "--interface", self.device()]);
        if mode == Forwarding::Nat {
            // The load balancer as the next hop of answers, in the place of an address to serve.
            let family = if vip.is_ipv4() { Family::V4 } else { Family::V6 };
            let via = Network::Back.address(family, Host::LoadBalancer).to_string();
            let (http, echo) = (HTTP_PORT.to_string(), format!("{ECHO_PORT}/udp"));
            command.args(["--via", &via, "--port", &http, "--port", &echo]);
        } else {
            command.args(["--vip", &vip.to_string()]).args(self.from_lbs(mode.name()));
        }
        command.args(self.backend_place(index));
        Ok(command)
    }
}
