//! Undoes a set-up, or the part of an address.

use std::net::IpAddr;
use std::path::PathBuf;

use super::answers;
use super::decap::{Pins, Vips};
use super::mss::ClientRoute;
use super::plan::{self, Host};
use super::state::{Changed, State, StateFile, Vip, network_namespace};
use super::{Answers, BackendError, BackendReport, Mode, ServicePort, Step, SysctlKey, privilege};

/// What to undo.
#[derive(Clone, Debug)]
pub struct Down {
    /// Which addresses and ports. With the last of them goes everything else.
    pub which: Which,
    /// The directory of the pins, which names the set-up.
    pub pin_dir: PathBuf,
    /// The directory of the state file.
    pub state_dir: PathBuf,
}

/// Which addresses and ports to take down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that are set up.
    All,
    /// These, and answers of these ports; those that are not set up are no error.
    These {
        /// Addresses.
        vips: Vec<IpAddr>,
        /// Ports of a service that is translated.
        ports: Vec<ServicePort>,
    },
}

/// Takes addresses down; with the last one, restores what was there before [`super::up`]. Not for
/// use inside an asynchronous runtime: it waits.
///
/// # Errors
/// See [`BackendError`]. The state file stays as it was, so that it can be tried again.
pub fn down(down: &Down) -> Result<BackendReport, BackendError> {
    let asked = match &down.which {
        Which::All => None,
        Which::These { vips, ports } => {
            let vips = if ports.is_empty() { plan::vips(vips)? } else { vips.clone() };
            Some(Asked { vips, ports })
        }
    };
    let pin_dir = plan::absolute(&down.pin_dir)?;
    let pins = Pins::of_any_version(&pin_dir);
    privilege::check(if pins.exist() { Mode::Ipip } else { Mode::L2 })?;
    let host = Host::look()?;
    let file = StateFile::lock(&down.state_dir, &pin_dir)?;
    let Some(state) = file.load(network_namespace()?)? else {
        if pins.exist() && asked.is_some() {
            let (pins, state) = (pins.directory().to_owned(), file.path().to_owned());
            return Err(BackendError::NoState { pins, state });
        }
        let mut work = Work { host: &host, pins, steps: not_set_up(asked.as_ref()) };
        work.unpin(&[])?;
        return Ok(BackendReport::of(work.steps));
    };
    let is_asked = |vip: &Vip| asked.as_ref().is_none_or(|asked| asked.vips.contains(&vip.address));
    let (gone, left): (Vec<Vip>, Vec<Vip>) = state.vips.iter().partition(|vip| is_asked(vip));
    let noted = state.answers.clone().unwrap_or_default();
    let answers = remaining(noted.clone(), asked.as_ref());
    let steps = unknown(asked.as_ref(), &state.vips, &noted);
    let mut work = Work { host: &host, pins, steps };
    if answers != noted {
        let ports = (!answers.is_empty()).then_some(asked.as_ref()).flatten();
        answers::remove(&host.netlink, ports.map(|asked| asked.ports), &mut work.steps)?;
    }
    let is_nothing_left = left.is_empty() && answers.is_empty();
    if is_nothing_left {
        work.everything(&state)?;
        file.remove()?;
    } else if left.is_empty() && !gone.is_empty() {
        // What only the addresses needed.
        let (kept, sysctls) =
            state.sysctls.iter().cloned().partition(|changed| changed.key == SysctlKey::RpFilter);
        work.everything(&State { sysctls, ..state.clone() })?;
        let new = State::new(&state.pin_dir, state.network_namespace);
        file.save(&State { sysctls: kept, answers: Some(answers), ..new })?;
    } else {
        work.remove_vips(&gone)?;
        if !gone.is_empty() || answers != noted {
            let answers = Some(answers).filter(|answers| !answers.is_empty());
            file.save(&State { vips: left, answers, ..state })?;
        }
    }
    Ok(BackendReport::of(work.steps))
}

/// What is named, where it is not all.
struct Asked<'a> {
    vips: Vec<IpAddr>,
    ports: &'a [ServicePort],
}

/// The answers that still go through a load balancer then.
fn remaining(mut answers: Answers, asked: Option<&Asked<'_>>) -> Answers {
    match asked {
        None => Answers::default(),
        Some(asked) if asked.ports.is_empty() => answers,
        Some(asked) => {
            answers.ports.retain(|port| !asked.ports.contains(port));
            if answers.ports.is_empty() { Answers::default() } else { answers }
        }
    }
}

/// What is named and not set up.
fn unknown(asked: Option<&Asked<'_>>, vips: &[Vip], answers: &Answers) -> Vec<Step> {
    let Some(Asked { vips: asked, ports }) = asked else { return Vec::new() };
    let vips = asked.iter().filter(|vip| !vips.iter().any(|known| known.address == **vip));
    let ports = ports.iter().filter(|port| !answers.ports.contains(port));
    let vips = vips.map(|vip| Step::NotSetUp { vip: Some(*vip) });
    vips.chain(ports.map(|port| Step::PortNotSetUp { port: *port })).collect()
}

fn not_set_up(asked: Option<&Asked<'_>>) -> Vec<Step> {
    match asked {
        None => vec![Step::NotSetUp { vip: None }],
        asked => unknown(asked, &[], &Answers::default()),
    }
}

struct Work<'a> {
    host: &'a Host,
    pins: Pins,
    steps: Vec<Step>,
}

impl Work<'_> {
    /// The other way round than `up`: the host is quiet about an address as long as it has it.
    fn everything(&mut self, state: &State) -> Result<(), BackendError> {
        self.unpin(&state.interfaces)?;
        for vip in &state.vips {
            self.remove_address(*vip)?;
        }
        self.restore_routes(state)?;
        state.sysctls.iter().rev().try_for_each(|changed| self.restore(changed))
    }

    /// Restores the sizes of routes that are as they were set here.
    fn restore_routes(&mut self, state: &State) -> Result<(), BackendError> {
        if state.routes.is_empty() {
            return Ok(());
        }
        let any = [[0; 4].into(), [0u16; 8].into()];
        for route in ClientRoute::all(&self.host.netlink, &any, self.host.loopback()?.index)? {
            let (name, v6, from) = (route.name(), route.is_v6(), route.advmss());
            let noted = state.routes.iter().find(|one| (&one.route, one.v6) == (&name, v6));
            let Some(noted) = noted.filter(|one| one.set == from && one.was != from) else {
                continue;
            };
            route.set(&self.host.netlink, noted.was)?;
            self.steps.push(Step::MssRestored { route: name, from, to: noted.was });
        }
        Ok(())
    }

    fn remove_vips(&mut self, vips: &[Vip]) -> Result<(), BackendError> {
        let mut map = Vips::open(&self.pins)?;
        for vip in vips {
            if let Some(map) = &mut map
                && map.remove(vip.address)?
            {
                self.steps.push(Step::VipRemoved { vip: vip.address });
            }
            self.remove_address(*vip)?;
        }
        Ok(())
    }

    fn unpin(&mut self, interfaces: &[super::state::Interface]) -> Result<(), BackendError> {
        for index in self.pins.links() {
            self.pins.remove_link(index)?;
            let known = interfaces.iter().find(|known| known.index == index);
            let interface = known.map_or_else(|| self.host.name(index), |known| known.name.clone());
            self.steps.push(Step::Detached { interface });
        }
        if self.pins.exist() {
            self.pins.remove_maps()?;
            self.steps.push(Step::PinsRemoved { directory: self.pins.directory().to_owned() });
        }
        Ok(())
    }

    fn remove_address(&mut self, vip: Vip) -> Result<(), BackendError> {
        let Vip { address: vip, added } = vip;
        let step = if !added {
            Step::AddressLeft { vip }
        } else if self.host.has_on_loopback(vip) {
            let removed = self.host.netlink.remove(self.host.loopback()?.index, vip);
            removed.map_err(|error| BackendError::Remove { vip, error })?;
            Step::AddressRemoved { vip }
        } else {
            Step::AddressGone { vip }
        };
        self.steps.push(step);
        Ok(())
    }

    /// Restores a value, unless it was changed since.
    fn restore(&mut self, changed: &Changed) -> Result<(), BackendError> {
        let sysctl = changed.sysctl();
        let step = match sysctl.read_if_there()? {
            None => Step::SysctlGone { sysctl },
            Some(value) if value == changed.was => Step::SysctlAlready { sysctl, value },
            Some(value) if value == changed.set => {
                sysctl.write(changed.was)?;
                Step::SysctlRestored { sysctl, from: value, to: changed.was }
            }
            Some(value) => Step::SysctlLeft { sysctl, value, set: changed.set },
        };
        self.steps.push(step);
        Ok(())
    }
}
