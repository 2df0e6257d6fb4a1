//! When the flow log is on, or samples are sent: the interfaces carry the program that writes it only meanwhile. While packets are
//! traced, they carry the one that traces, which does both.

use super::core::Core;
use super::state::flows_wanted::FlowsWanted;
use super::traces::booted;
use crate::kernel::bpf::Program;
use crate::observe::flow_log::Noted;

impl Core {
    /// Which program the interfaces carry while no packets are traced.
    pub(super) const fn resting(&self) -> Program {
        if self.flow_log.is_on() { Program::Logged } else { Program::Plain }
    }

    /// Turns the log on or off, as the configuration wants it.
    pub(super) fn follow_flow_log(&mut self) {
        let wanted = FlowsWanted::of(&self.config);
        if !wanted.is_anything() {
            self.host_rests(Program::Plain);
            return self.flow_log.end();
        }
        if self.flow_log.is_by(&wanted) {
            return self.describe_flows();
        }
        if let Some(why) = &self.host.object.unloggable {
            let why = format!("this kernel refuses the program that does: {why}");
            return self.flow_log.cannot(why);
        }
        let noted = self.noted();
        match self.flow_log.begin(&wanted, noted) {
            Ok(()) => self.host_rests(Program::Logged),
            Err(why) => self.flow_log.cannot(why),
        }
    }

    /// What numbers are called now, and that the log is to go on.
    pub(super) fn describe_flows(&mut self) {
        if self.flow_log.is_on() {
            let noted = self.noted();
            self.flow_log.go_on(noted);
        }
    }

    /// Ends the log, since the agent ends.
    pub(super) fn end_flow_log(&mut self) {
        if self.flow_log.is_on() {
            self.host_rests(Program::Plain);
            self.flow_log.end_at_last();
        }
    }

    /// Lets the interfaces carry a program, unless packets are traced.
    fn host_rests(&mut self, program: Program) {
        if [Program::Traced, program].contains(&self.host.keeping.program) {
            return;
        }
        if let Err(error) = self.carry(program) {
            tracing::error!(%error, ?program, "an interface does not carry the program");
        }
    }

    fn noted(&mut self) -> Noted {
        let naming = self.naming();
        if !self.flow_log.is_named(&naming) {
            let names = self.names();
            self.flow_log.name(naming, names);
        }
        Noted { names: self.flow_log.names(), booted: booted() }
    }
}
