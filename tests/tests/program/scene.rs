//! The world of all tests, changed, in the kernel and on the host: both must agree on every byte.

use elb_common::path::{Frame, Memory, Outcome, process};
use elb_common::reason::{Fate, Reason};

use crate::action;
use crate::cases::hex;
use crate::kernel::{Kernel, PROGRAMS, now};
use crate::world::*;

/// The world in the kernel and on the host.
pub struct Scene {
    pub kernel: Kernel,
    pub memory: Memory,
}

impl Scene {
    /// Runs a test with each program that forwards.
    pub fn each(set_up: fn(&mut Memory), test: impl Fn(Self)) {
        for program in PROGRAMS {
            test(Self::new(program, set_up));
        }
    }

    pub fn new(program: &'static str, set_up: fn(&mut Memory)) -> Self {
        let mut memory = world(now()).memory();
        set_up(&mut memory);
        Self { kernel: Kernel::with(program, &memory), memory }
    }

    /// Changes what is in the maps; what was there stays.
    pub fn change(&mut self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory);
        self.kernel.fill(&self.memory);
    }

    /// Both must agree on every byte.
    #[track_caller]
    pub fn run(&mut self, frame: &[u8]) -> (Outcome, Vec<u8>) {
        self.memory.now = now();
        let ran = self.kernel.run(frame);
        let mut buffer = [0u16; 2048];
        let mut host = Frame::new(&mut buffer, frame, INGRESS).expect("a small frame");
        let outcome = process(&mut host, &self.memory);
        let action = match outcome {
            Outcome::Pass(_) | Outcome::HandOver => action::PASS,
            Outcome::Drop(_) => action::DROP,
            Outcome::Answer(_) | Outcome::Transmit => action::TX,
            Outcome::Redirect(_) => action::REDIRECT,
        };
        let host = (action, host.bytes());
        assert_eq!(host, (ran.action, &ran.bytes[..]), "{outcome:?} of {}", hex(frame));
        (outcome, ran.bytes)
    }

    /// As many errors may be sent as if none had been.
    pub fn forget_errors(&mut self) {
        self.kernel.forget_errors();
        self.memory.written.borrow_mut().errors_sent = Default::default();
    }

    #[track_caller]
    pub fn is_refused(&mut self, frame: &[u8], reason: Reason) {
        let (outcome, _) = self.run(frame);
        let expected = match reason.fate() {
            Fate::Dropped => Outcome::Drop(reason),
            Fate::Answered => Outcome::Answer(reason),
            Fate::Passed => Outcome::Pass(reason),
        };
        assert_eq!(outcome, expected);
    }
}
