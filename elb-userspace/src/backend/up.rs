//! Sets a backend server up, all of it or nothing.

use std::net::IpAddr;

use super::answers::{self, AnswerPlan, AnswerUndo};
use super::decap::{AttachOutcome, Decap, Pins, Vips};
use super::mss::{self, Advertised, ClientRoute};
use super::plan::{self, Host};
use super::sources::{self, Sources};
use super::state::{Changed, Interface, State, StateFile, Vip, network_namespace};
use super::sysctl::{self, Sysctl, WantedSysctl};
use super::{
    Answers, Attach, AttachedMode, BackendError, BackendReport, Down, Mode, Setup, Step, Which,
    down, privilege, recorded,
};
use crate::kernel::net::links::Link;
use crate::model::ipgroup::Cidr;

/// Sets the host up for the addresses, next to those that it serves already. Not for use inside an
/// asynchronous runtime: it waits.
///
/// # Errors
/// See [`BackendError`]. Nothing is changed then, or what was is undone and [`BackendError::Undone`] says so.
pub fn up(setup: &Setup) -> Result<BackendReport, BackendError> {
    set_up(setup, false)
}

/// As [`up`]; `only`: answers that `setup` does not name go through no load balancer any more.
fn set_up(setup: &Setup, only: bool) -> Result<BackendReport, BackendError> {
    refuse_foreign_options(setup)?;
    let vips = match setup.mode {
        Mode::Nat | Mode::FullNat | Mode::Nat46 => Vec::new(),
        Mode::L2 | Mode::Ipip | Mode::Gue => plan::vips(&setup.vips)?,
    };
    let from = match setup.mode.is_tunnel() {
        true => sources::checked(&setup.from)?,
        false if setup.from.is_empty() => Vec::new(),
        false => return Err(BackendError::SourceWithoutTunnel),
    };
    if let Some(given) = setup.mss.filter(|given| !(mss::LEAST..=mss::MOST).contains(given)) {
        return Err(BackendError::Mss(given));
    }
    let pin_dir = plan::absolute(&setup.pin_dir)?;
    let pins = Pins::new(&pin_dir);
    if setup.mode.is_tunnel() {
        Decap::check(&pins)?;
    }
    privilege::check(setup.mode)?;
    let file = StateFile::lock(&setup.state_dir, &pin_dir)?;
    let namespace = network_namespace()?;
    let before = file.load(namespace)?;
    let host = Host::look()?;
    host.refuse_next_to(&file.others(namespace))?;
    let noted = before.as_ref().and_then(|state| state.answers.as_ref());
    let answers = Answers::next(noted, &setup.answers, only);
    let plan = Plan::new(setup, &host, &vips, from, answers)?;

    let mut state = before.clone().unwrap_or_else(|| State::new(&pin_dir, namespace));
    plan.note_in(&mut state);
    // Written before anything is changed: whatever happens then, `down` knows what to restore.
    if before.as_ref() != Some(&state) {
        file.save(&state)?;
    }
    let mut work = Work { host: &host, pins, state, steps: Vec::new(), undo: Vec::new() };
    let result = work.all(&plan).and_then(|()| {
        if before.as_ref() != Some(&work.state) {
            file.save(&work.state)?;
        }
        Ok(())
    });
    match result {
        Ok(()) => Ok(BackendReport::of(work.steps)),
        Err(error) => Err(work.take_back(error, &plan, &file, before.as_ref())),
    }
}

/// As [`up`], and takes down every other address that is served.
///
/// # Errors
/// See [`up`] and [`down`].
pub fn up_only(setup: &Setup) -> Result<BackendReport, BackendError> {
    let mut steps = set_up(setup, true)?.steps;
    let Setup { pin_dir, state_dir, .. } = setup.clone();
    let served = recorded(&pin_dir, &state_dir)?.vips;
    let others: Vec<_> = served.into_iter().filter(|vip| !setup.vips.contains(vip)).collect();
    if !others.is_empty() {
        let which = Which::These { vips: others, ports: Vec::new() };
        steps.extend(down(&Down { which, pin_dir, state_dir })?.steps);
    }
    Ok(BackendReport::of(steps))
}

/// Fails if an option is given that means nothing in this mode.
fn refuse_foreign_options(setup: &Setup) -> Result<(), BackendError> {
    let mode = setup.mode.name();
    let refuse = |option, why| Err(BackendError::OptionOfOtherMode { option, mode, why });
    let Answers { via, ports } = &setup.answers;
    match setup.mode {
        Mode::FullNat => Err(BackendError::NothingToSetUp),
        Mode::Nat46 => Err(BackendError::PrefixRoute),
        Mode::Nat if !setup.vips.is_empty() => {
            refuse("--vip", "packets come to this host's own address, and no other is set up")
        }
        Mode::Nat if setup.mss.is_some() => {
            refuse("--mss", "packets come without outer headers, and full segments fit")
        }
        Mode::Nat if via.is_empty() => Err(BackendError::NoVia),
        Mode::Nat => answers::check(via),
        Mode::L2 | Mode::Ipip | Mode::Gue if via.is_empty() && ports.is_empty() => Ok(()),
        Mode::L2 | Mode::Ipip | Mode::Gue => {
            let option = if via.is_empty() { "--port" } else { "--via" };
            refuse(option, "answers go to clients directly")
        }
    }
}

/// What is to be done.
struct Plan<'a> {
    interface: &'a Link,
    lo: u32,
    attach: Option<Attach>,
    from: Vec<Cidr>,
    mss: Option<u32>,
    routes: Vec<ClientRoute>,
    sysctls: Vec<WantedSysctl>,
    /// Each with the interface that has it already.
    vips: Vec<(IpAddr, Option<&'a str>)>,
    answers: AnswerPlan,
}

impl<'a> Plan<'a> {
    fn new(
        setup: &Setup,
        host: &'a Host,
        vips: &[IpAddr],
        from: Vec<Cidr>,
        answers: Answers,
    ) -> Result<Self, BackendError> {
        let interface = host.interface(&setup.interface)?;
        let lo = host.loopback()?;
        if !vips.is_empty() && !lo.up {
            return Err(BackendError::LoopbackDown);
        }
        let held = |vip: &IpAddr| Ok((*vip, host.holder(*vip)?));
        let answers = AnswerPlan::new(host, interface, answers)?;
        let takes_v4 = match setup.mode {
            Mode::Nat | Mode::FullNat | Mode::Nat46 => answers.needs_v4_rules(),
            Mode::L2 | Mode::Ipip | Mode::Gue => vips.iter().any(IpAddr::is_ipv4),
        };
        let sysctls = if takes_v4 {
            sysctl::plan(&interface.name, setup.mode, Sysctl::read)?
        } else {
            Vec::new()
        };
        let routes = match setup.mss {
            Some(_) => ClientRoute::all(&host.netlink, vips, lo.index)?,
            None => Vec::new(),
        };
        Ok(Self {
            interface,
            lo: lo.index,
            attach: setup.mode.is_tunnel().then_some(setup.attach),
            from,
            mss: setup.mss,
            routes,
            sysctls,
            vips: vips.iter().map(held).collect::<Result<_, BackendError>>()?,
            answers,
        })
    }

    /// Adds to `state` what will be changed. What was noted before stays: it was there first.
    fn note_in(&self, state: &mut State) {
        for wanted in self.sysctls.iter().filter(|wanted| wanted.from != wanted.to) {
            let noted = state.sysctls.iter_mut().find(|changed| changed.sysctl() == wanted.sysctl);
            match noted {
                Some(changed) => changed.set = wanted.to,
                None => {
                    let Sysctl { interface, key } = wanted.sysctl.clone();
                    let (was, set) = (wanted.from, wanted.to);
                    state.sysctls.push(Changed { interface, key, was, set });
                }
            }
        }
        state.mss = self.mss.or(state.mss);
        state.answers = Some(self.answers.answers.clone()).filter(|answers| !answers.is_empty());
        for route in &self.routes {
            let (name, v6) = (route.name(), route.is_v6());
            let set = self.mss.unwrap_or_default();
            let noted = state.routes.iter_mut().find(|one| (&one.route, one.v6) == (&name, v6));
            match noted {
                Some(noted) => noted.set = set,
                None if route.advmss() == set => {}
                None => {
                    let was = route.advmss();
                    state.routes.push(Advertised { route: name, v6, was, set });
                }
            }
        }
        for (address, holder) in &self.vips {
            let noted = state.vips.iter_mut().find(|vip| vip.address == *address);
            match noted {
                Some(vip) => vip.added |= holder.is_none(),
                None => state.vips.push(Vip { address: *address, added: holder.is_none() }),
            }
        }
    }
}

/// What is being done.
struct Work<'a> {
    host: &'a Host,
    pins: Pins,
    state: State,
    steps: Vec<Step>,
    undo: Vec<Undo>,
}

/// How to undo a step.
enum Undo {
    Sysctl {
        sysctl: Sysctl,
        was: i32,
        set: i32,
    },
    Address {
        lo: u32,
        vip: IpAddr,
    },
    Answer(AnswerUndo),
    Maps,
    Vip(IpAddr),
    Mss {
        index: usize,
        was: u32,
    },
    /// The set before; `None`: there was none.
    Sources(Option<Vec<Cidr>>),
    Link {
        index: u32,
        name: String,
    },
}

impl Work<'_> {
    /// The host must be quiet about an address before it has it, and have it before packets for it
    /// are unwrapped.
    fn all(&mut self, plan: &Plan<'_>) -> Result<(), BackendError> {
        for wanted in &plan.sysctls {
            self.set(wanted)?;
        }
        for (vip, holder) in &plan.vips {
            self.add(plan.lo, *vip, *holder)?;
        }
        self.ask_for_segments(plan)?;
        self.lead_answers(plan)?;
        if let Some(attach) = plan.attach {
            self.unwrap_packets(plan, attach)?;
        }
        Ok(())
    }

    fn set(&mut self, wanted: &WantedSysctl) -> Result<(), BackendError> {
        let WantedSysctl { sysctl, from, to } = wanted.clone();
        if from == to {
            self.steps.push(Step::SysctlAlready { sysctl, value: to });
            return Ok(());
        }
        sysctl.write(to)?;
        self.undo.push(Undo::Sysctl { sysctl: sysctl.clone(), was: from, set: to });
        self.steps.push(Step::SysctlSet { sysctl, from, to });
        Ok(())
    }

    fn add(&mut self, lo: u32, vip: IpAddr, holder: Option<&str>) -> Result<(), BackendError> {
        if let Some(interface) = holder {
            self.steps.push(Step::AddressAlready { vip, interface: interface.to_owned() });
            return Ok(());
        }
        self.host.netlink.add(lo, vip).map_err(|error| BackendError::Add { vip, error })?;
        self.undo.push(Undo::Address { lo, vip });
        self.steps.push(Step::AddressAdded { vip });
        Ok(())
    }

    fn lead_answers(&mut self, plan: &Plan<'_>) -> Result<(), BackendError> {
        let mut undo = Vec::new();
        let done = plan.answers.carry_out(&self.host.netlink, &mut self.steps, &mut undo);
        self.undo.extend(undo.into_iter().map(Undo::Answer));
        done
    }

    fn ask_for_segments(&mut self, plan: &Plan<'_>) -> Result<(), BackendError> {
        let Some(to) = plan.mss else { return Ok(()) };
        for (index, one) in plan.routes.iter().enumerate() {
            let (route, from) = (one.name(), one.advmss());
            if from == to {
                self.steps.push(Step::MssAlready { route, mss: to });
                continue;
            }
            one.set(&self.host.netlink, to)?;
            self.undo.push(Undo::Mss { index, was: from });
            self.steps.push(Step::MssSet { route, from, to });
        }
        Ok(())
    }

    fn unwrap_packets(&mut self, plan: &Plan<'_>, attach: Attach) -> Result<(), BackendError> {
        if let Some(directory) = self.pins.take_over_older()? {
            self.steps.push(Step::Upgraded { directory: directory.to_owned() });
        }
        let had_maps = self.pins.have_maps();
        if !had_maps {
            self.undo.push(Undo::Maps);
        }
        let had_sources = Sources::open(&self.pins)?.is_some();
        let mut decap = Decap::load(&self.pins)?;
        self.take_from(&plan.from, had_maps, had_sources)?;
        let mut map = self.open_map()?;
        for (vip, _) in &plan.vips {
            let vip = *vip;
            if map.insert(vip)? {
                self.undo.push(Undo::Vip(vip));
                self.steps.push(Step::VipAdded { vip });
            } else {
                self.steps.push(Step::VipAlready { vip });
            }
        }
        self.attach(&mut decap, plan.interface, attach)
    }

    /// Before packets to an address are unwrapped, so that no other sender's packet is.
    fn take_from(
        &mut self,
        from: &[Cidr],
        had_maps: bool,
        had_sources: bool,
    ) -> Result<(), BackendError> {
        let mut map = Sources::open(&self.pins)?.ok_or_else(|| self.gone())?;
        let was = if had_sources { Some(map.all()?) } else { None };
        let from = from.to_vec();
        if was.as_ref() == Some(&from) {
            self.steps.push(Step::SourcesAlready { from });
            return Ok(());
        }
        if had_maps {
            self.undo.push(Undo::Sources(was.clone()));
        }
        map.replace(&from)?;
        self.steps.push(Step::SourcesSet { from, was });
        Ok(())
    }

    fn attach(
        &mut self,
        decap: &mut Decap,
        link: &Link,
        attach: Attach,
    ) -> Result<(), BackendError> {
        let known = self.state.interfaces.iter().find(|known| known.index == link.index);
        let known = known.filter(|_| self.pins.links().contains(&link.index));
        let known = known.map(|known| known.mode);
        let other = match (attach, known) {
            (Attach::Native, Some(AttachedMode::Generic)) => known,
            (Attach::Generic, Some(AttachedMode::Native)) => known,
            _ => None,
        };
        if let Some(attached) = other {
            return Err(BackendError::OtherMode { interface: link.name.clone(), attached });
        }
        let (index, name) = (link.index, link.name.clone());
        let mode = match decap.attach(link, attach)? {
            AttachOutcome::Adopted => {
                let mode = known.unwrap_or(AttachedMode::Native);
                self.steps.push(Step::AttachedAlready { interface: name.clone(), mode });
                mode
            }
            AttachOutcome::New(mode, native_refused) => {
                self.undo.push(Undo::Link { index, name: name.clone() });
                let interface = name.clone();
                self.steps.push(Step::Attached { interface, mode, native_refused });
                mode
            }
        };
        self.state.interfaces.retain(|known| known.index != index);
        self.state.interfaces.push(Interface { name, index, mode });
        Ok(())
    }

    fn open_map(&self) -> Result<Vips, BackendError> {
        Vips::open(&self.pins)?.ok_or_else(|| self.gone())
    }

    fn gone(&self) -> BackendError {
        BackendError::Pin {
            path: self.pins.directory().to_owned(),
            error: "the map that was just pinned is gone".to_owned(),
        }
    }

    /// Undoes what was done, the latest first; the state file is as it was before, unless something
    /// could not be undone.
    fn take_back(
        mut self,
        error: BackendError,
        plan: &Plan<'_>,
        file: &StateFile,
        before: Option<&State>,
    ) -> BackendError {
        let (mut undone, mut failed) = (Vec::new(), Vec::new());
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match self.take_one_back(undo, plan) {
                Ok(step) => undone.push(step),
                Err(error) => failed.push(error),
            }
        }
        if failed.is_empty() {
            let restored = before.map_or_else(|| file.remove(), |before| file.save(before));
            failed.extend(restored.err().map(BackendError::from));
        }
        BackendError::Undone { error: Box::new(error), undone, failed }
    }

    fn take_one_back(&self, undo: Undo, plan: &Plan<'_>) -> Result<Step, BackendError> {
        match undo {
            Undo::Sysctl { sysctl, was, set } => {
                sysctl.write(was)?;
                Ok(Step::SysctlRestored { sysctl, from: set, to: was })
            }
            Undo::Address { lo, vip } => {
                let removed = self.host.netlink.remove(lo, vip);
                removed.map_err(|error| BackendError::Remove { vip, error })?;
                Ok(Step::AddressRemoved { vip })
            }
            Undo::Answer(undo) => undo.take_back(&self.host.netlink),
            Undo::Maps => {
                self.pins.remove_maps()?;
                Ok(Step::PinsRemoved { directory: self.pins.directory().to_owned() })
            }
            Undo::Vip(vip) => {
                if let Some(mut map) = Vips::open(&self.pins)? {
                    map.remove(vip)?;
                }
                Ok(Step::VipRemoved { vip })
            }
            Undo::Mss { index, was } => {
                let route = &plan.routes[index];
                route.set(&self.host.netlink, was)?;
                let from = plan.mss.unwrap_or_default();
                Ok(Step::MssRestored { route: route.name(), from, to: was })
            }
            Undo::Sources(None) => {
                self.pins.remove_sources()?;
                Ok(Step::SourcesRestored { from: vec![sources::any_source()] })
            }
            Undo::Sources(Some(from)) => {
                if let Some(mut map) = Sources::open(&self.pins)? {
                    map.replace(&from)?;
                }
                Ok(Step::SourcesRestored { from })
            }
            Undo::Link { index, name } => {
                self.pins.remove_link(index)?;
                Ok(Step::Detached { interface: name })
            }
        }
    }
}
