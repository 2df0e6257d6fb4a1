//! A terminal (a pseudo-terminal of the kernel) with a program in it, and what it shows.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Command, ExitStatus, Stdio},
    str::Chars,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    pty::{Winsize, openpty},
    sys::{
        signal::Signal,
        termios::{Termios, tcgetattr},
    },
    unistd::setsid,
};

use crate::{process::Process, wait::wait_for};

/// A terminal.
#[derive(Debug)]
pub struct Terminal {
    process: Process,
    keys: File,
    /// The program's end: it keeps the terminal there after the program.
    slave: File,
    before: Termios,
    said: Arc<Mutex<Vec<u8>>>,
    size: (usize, usize),
}

impl Terminal {
    /// Starts a program in a terminal of so many columns and rows.
    pub fn start(name: &str, mut command: Command, size: (u16, u16)) -> Result<Self> {
        let (columns, rows) = size;
        let window = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&window), None).context("no pseudo-terminal")?;
        let (keys, slave) = (File::from(pty.master), File::from(pty.slave));
        let before = tcgetattr(slave.as_fd())?;
        let end = || slave.try_clone().map(Stdio::from);
        command.stdin(end()?).stdout(end()?).stderr(end()?);
        let own = || {
            setsid()?;
            // SAFETY: the request takes a number; standard input is the terminal by now.
            match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            }
        };
        // SAFETY: between fork and exec only async-signal-safe work is allowed: these are two system calls.
        unsafe { command.pre_exec(own) };
        let process = Process::start_session(name, command)?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let (shared, mut shown) = (said.clone(), keys.try_clone()?);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = shown.read(&mut bytes) {
                let mut said = shared.lock().unwrap_or_else(PoisonError::into_inner);
                said.extend_from_slice(&bytes[..count]);
            }
        });
        let size = (columns.into(), rows.into());
        Ok(Self { process, keys, slave, before, said, size })
    }

    /// The id of the program's process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes()).context("no key can be pressed")
    }

    /// All that the program wrote.
    pub fn written(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The lines that it shows.
    pub fn shown(&self) -> Vec<String> {
        shown(&self.written(), self.size)
    }

    /// Waits until what it shows is as `wanted`.
    pub fn wait_shown(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>> {
        let found = wait_for(what, limit, || {
            let shown = self.shown();
            if wanted(&shown) {
                return Ok(Some(shown));
            }
            ensure!(self.process.ended()?.is_none(), "it has ended");
            Ok(None)
        });
        found.with_context(|| format!("the terminal shows:\n{}", self.shown().join("\n")))
    }

    /// Sends the program a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits for the program's good end, after which the terminal has to be as it was before.
    pub fn wait_given_back(&mut self, limit: Duration) -> Result<ExitStatus> {
        let status = self.process.wait(limit)?;
        let written = self.written();
        ensure!(status.signal().is_none(), "it ended by a signal: {status}");
        ensure!(tcgetattr(self.slave.as_fd())? == self.before, "the terminal is another one");
        wait_for("the screen of before, with a cursor", limit, || {
            let written = self.written();
            let last = |what: &str| written.rfind(what);
            let is_back =
                last("\x1b[?1049l") > last("\x1b[?1049h") && last("\x1b[?25h") > last("\x1b[?25l");
            Ok(is_back.then_some(()))
        })
        .with_context(|| format!("{written:?}"))?;
        Ok(status)
    }
}

/// What is on the screen after all that was written: of the commands to a terminal those that put texts
/// somewhere and that clear it.
fn shown(written: &str, (columns, rows): (usize, usize)) -> Vec<String> {
    let mut screen = vec![vec![' '; columns]; rows];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars();
    while let Some(one) = rest.next() {
        match one {
            '\x1b' if rest.as_str().starts_with('[') => {
                let text = command(&mut rest);
                let parameters = text.trim_matches(|c: char| !c.is_ascii_digit()).split(';');
                let numbers: Vec<usize> = parameters.filter_map(|one| one.parse().ok()).collect();
                let at = |index| numbers.get(index).map_or(0, |one: &usize| one.saturating_sub(1));
                match text.chars().last() {
                    Some('H') => (row, column) = (at(0), at(1)),
                    Some('J') => screen.iter_mut().for_each(|line| line.fill(' ')),
                    _ => {}
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            _ if one.is_control() => {}
            _ => {
                if let Some(place) = screen.get_mut(row).and_then(|line| line.get_mut(column)) {
                    *place = one;
                }
                column += 1;
            }
        }
    }
    screen.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
}

/// The rest of a command to a terminal: `[`, parameters, and the letter that ends it.
fn command(rest: &mut Chars<'_>) -> String {
    let mut text = String::new();
    for one in rest {
        text.push(one);
        if one.is_ascii_alphabetic() {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_where_they_were_put() {
        let written =
            "lost\x1b[?1049h\x1b[2J\x1b[1;1Ha\x1b[38;5;1mb\x1b[2;3H\u{2193}c\x1b[9;9Hout\r\n";
        assert_eq!(shown(written, (4, 2)), ["ab", "  \u{2193}c"]);
    }
}
