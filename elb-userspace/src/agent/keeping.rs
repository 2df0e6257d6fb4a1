//! Keeps in the host what the agent wants there: compares each look with it, and restores what is missing.

use std::sync::Arc;

use super::core::Core;
use crate::kernel::bpf::{Attachment, carry_probes, detach, program_name};
use crate::kernel::host::changes::moved;
use crate::kernel::host::found::HostState;
use crate::kernel::host::kept::KeptObject;
use crate::kernel::host::programs::{HeldLink, Plan, WantedPrograms, compare};
use crate::model::time::Now;
use crate::source::file::{AgentSettings, AttachMode};

impl Core {
    /// Compares a look at the host with what is wanted. True where hosts on the segment have to learn
    /// anew where virtual addresses are.
    pub(super) fn keep(&mut self, found: Arc<HostState>, now: Now) -> bool {
        if found.revision < *self.host.keeping.revision.borrow() {
            return false;
        }
        let before = std::mem::replace(&mut self.host.keeping.found, found);
        let found = self.host.keeping.found.clone();
        self.follow_interfaces(&found);
        let plan = self.compare(&found);
        let changed = self.carry_out(&plan, &found, now);
        self.keep_pins(now);
        self.keep_socket(now);
        self.keep_probe_path(&before, &found, now);
        self.report_kept(&plan, &found);
        let mut told_anew = changed;
        for one in &self.host.attachments {
            if moved(&before, &found, one.index) {
                told_anew = true;
                // Its cable may be in another switch.
                self.host.keeping.joined.retain(|(from, by)| ![*from, *by].contains(&one.index));
            }
        }
        if changed {
            self.host.keeping.changed();
            // What the kernel took out of the maps with an interface is put back.
            self.read_again();
        }
        if told_anew {
            self.publish();
        }
        self.choose_quiet() || told_anew
    }

    /// Takes over which interfaces are to carry the program, and how: the next look does it.
    pub(super) fn take_interfaces(&mut self, settings: &AgentSettings) {
        self.config.agent.interfaces.clone_from(&settings.interfaces);
        self.config.agent.attach_mode = settings.attach_mode;
        self.host.keeping.ask_again();
    }

    fn compare(&self, found: &HostState) -> Plan {
        let link = |one: &Attachment| HeldLink { index: one.index, program: one.program() };
        let held: Vec<_> = self.host.attachments.iter().map(link).collect();
        let agent = &self.config.agent;
        let wanted = WantedPrograms { interfaces: &agent.interfaces, mode: agent.attach_mode };
        compare(wanted, &held, found)
    }

    /// True if anything changed.
    fn carry_out(&mut self, plan: &Plan, found: &HostState, now: Now) -> bool {
        let mut changed = !plan.release.is_empty();
        for index in &plan.release {
            self.release(*index);
        }
        for (name, index) in &plan.attach {
            changed |= self.attach((name, *index), found, now);
        }
        let mode = self.config.agent.attach_mode;
        for (name, index) in &plan.change_mode {
            if self.host.keeping.refused.insert((*index, mode.as_str())) {
                self.change_mode((name, *index), mode);
                changed = true;
            }
        }
        changed
    }

    fn release(&mut self, index: u32) {
        let directory = &self.host.object.directory;
        for gone in self.host.attachments.extract_if(.., |one| one.index == index) {
            let interface = &gone.interface;
            tracing::warn!(interface, index, "the program is no longer on this interface");
            if let Err(error) = gone.detach(directory) {
                tracing::error!(%error, "a link that holds nothing stays pinned");
            }
        }
    }

    fn attach(&mut self, (name, index): (&str, u32), found: &HostState, now: Now) -> bool {
        let mode = self.config.agent.attach_mode;
        // A pin of that index that the agent does not hold is an earlier interface's.
        let _ = detach(&self.host.object.directory, index);
        let object = KeptObject::Program(name.to_owned());
        match Attachment::new(&mut self.host.object, self.host.keeping.program, (name, index), mode)
        {
            Ok(attachment) => {
                self.host.attachments.push(attachment);
                let register = &mut self.host.keeping.register;
                if register.has(&object) {
                    register.restored(&object, "the interface carried none", now.wall);
                } else {
                    // A reload asked for it just now.
                    register.in_place(&object);
                    let mode = mode.as_str();
                    tracing::info!(interface = name, mode, "the program is attached");
                }
                true
            }
            Err(error) => {
                let other = found.program(index).and_then(program_name);
                let other = other.map(|name| format!(" (it is called {name:?})"));
                let why = format!("{error}{}", other.unwrap_or_default());
                self.host.keeping.register.missing(&object, why);
                false
            }
        }
    }

    /// Attaches the program in another mode, which takes a gap of milliseconds; in the one that it had, if
    /// the interface refuses the other.
    fn change_mode(&mut self, (name, index): (&str, u32), mode: AttachMode) {
        let mut had = None;
        for before in self.host.attachments.extract_if(.., |one| one.index == index) {
            had = Some(before.mode);
            let _ = before.detach(&self.host.object.directory);
        }
        let program = self.host.keeping.program;
        for mode in [Some(mode), had].into_iter().flatten() {
            match Attachment::new(&mut self.host.object, program, (name, index), mode) {
                Ok(attachment) => {
                    let mode = mode.as_str();
                    tracing::info!(interface = name, mode, "the program is attached");
                    self.host.attachments.push(attachment);
                    return;
                }
                Err(error) => {
                    let object = KeptObject::Mode(name.to_owned());
                    self.host.keeping.register.missing(&object, error.to_string());
                }
            }
        }
    }

    /// Pins again what was detachned: the agent holds it meanwhile.
    fn keep_pins(&mut self, now: Now) {
        if !self.host.owned.taken().is_empty() {
            // The pins there are another agent's.
            return;
        }
        let mut restored = Vec::new();
        let done =
            self.host.object.pin_again().map_err(|error| error.to_string()).and_then(|maps| {
                restored.extend(maps.into_iter().map(str::to_owned));
                for one in &self.host.attachments {
                    if one.pin(&self.host.object.directory).map_err(|error| error.to_string())? {
                        restored.push(one.interface.clone());
                    }
                }
                Ok(())
            });
        let register = &mut self.host.keeping.register;
        match done {
            Err(error) => {
                let why = format!("{error}; traffic goes on only as long as this agent runs");
                register.missing(&KeptObject::Pins, why);
            }
            Ok(()) if restored.is_empty() => register.in_place(&KeptObject::Pins),
            Ok(()) => {
                let what = format!("removed pins of {}", restored.join(", "));
                register.restored(&KeptObject::Pins, &what, now.wall);
            }
        }
    }

    /// The look at the host has restored the route of probes; their program is restored here.
    fn keep_probe_path(&mut self, before: &HostState, found: &HostState, now: Now) {
        const OBJECT: &KeptObject = &KeptObject::ProbePath;
        let Some(path) = found.probe_path.as_ref().filter(|_| self.probes.vip.is_kept()) else {
            return;
        };
        self.probes.vip.follow_route(path.routed.clone());
        let register = &mut self.host.keeping.register;
        match &path.missing {
            Some(why) if path.serves_v4 => {
                register.missing(&KeptObject::ProbePathV6, why.clone());
            }
            Some(why) => return register.missing(OBJECT, why.clone()),
            None => self.ipv6_probes_go_again(path.last.as_deref(), now),
        }
        // Where it was restored just now, the interface has come since the look.
        let index = nix::net::if_::if_nametoindex(path.peer.as_str()).unwrap_or_default();
        let mode = self.config.agent.attach_mode;
        let carried = carry_probes(&mut self.host.object, (&path.peer, index), mode);
        let restored = before.probe_path.as_ref().map_or(0, |path| path.restored);
        let register = &mut self.host.keeping.register;
        match carried {
            Err(error) => register.missing(OBJECT, error.to_string()),
            Ok(false) if path.restored == restored => register.in_place(OBJECT),
            Ok(_) => {
                let what = path.last.as_deref().unwrap_or("the program was gone");
                register.restored(OBJECT, what, now.wall);
            }
        }
    }

    fn ipv6_probes_go_again(&mut self, was_missing: Option<&str>, now: Now) {
        let register = &mut self.host.keeping.register;
        if register.why_missing(&KeptObject::ProbePathV6).is_some() {
            let what = was_missing.unwrap_or("it was missing");
            register.restored(&KeptObject::ProbePathV6, what, now.wall);
        }
    }

    /// Attachments have the names that the file has for their interfaces.
    fn follow_interfaces(&mut self, found: &HostState) {
        for name in &self.config.agent.interfaces {
            let index = found.index_of(name);
            let here = self.host.attachments.iter_mut().find(|one| Some(one.index) == index);
            if let Some(here) = here {
                here.interface.clone_from(name);
            }
        }
    }

    /// Writes down what is in place, and what is not.
    fn report_kept(&mut self, plan: &Plan, found: &HostState) {
        let agent = &self.config.agent;
        let register = &mut self.host.keeping.register;
        let is_wanted = |interface: &String| agent.interfaces.contains(interface);
        let as_wanted = |one: &&Attachment| one.mode == agent.attach_mode;
        let modes: Vec<_> = self.host.attachments.iter().filter(as_wanted).collect();
        register.retain(|object| match object {
            KeptObject::Program(interface) | KeptObject::Groups(interface) => is_wanted(interface),
            KeptObject::Mode(interface) => {
                is_wanted(interface) && modes.iter().all(|one| one.interface != *interface)
            }
            KeptObject::Pins
            | KeptObject::ProbePath
            | KeptObject::ProbePathV6
            | KeptObject::ApiSocket => true,
        });
        let renamed: Vec<u32> = plan.renamed.iter().map(|(index, _)| *index).collect();
        for one in &self.host.attachments {
            let object = KeptObject::Program(one.interface.clone());
            match found.interfaces.get(&one.index).filter(|_| renamed.contains(&one.index)) {
                Some(now) => register.missing(&object, is_called(&now.name)),
                None => register.in_place(&object),
            }
        }
        for name in &plan.missing {
            if self.host.attachments.iter().all(|one| one.interface != *name) {
                register.missing(&KeptObject::Program(name.clone()), NO_INTERFACE.to_owned());
            }
        }
    }
}

fn is_called(name: &str) -> String {
    format!(
        "its interface is called {name:?} now, where it goes on; correct [agent] interfaces, or give the \
         interface its name back"
    )
}

/// Why the program is not on an interface that does not exist.
pub(super) const NO_INTERFACE: &str = "there is no interface of this name; the program is attached as soon as there is one (see `ip link`, \
     and [agent] interfaces)";
