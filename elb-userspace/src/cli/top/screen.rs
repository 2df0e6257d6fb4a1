//! The terminal, which is as it was before when this ends, however it ends.

use std::thread;

use anyhow::{Context as _, Result};
use ratatui::{DefaultTerminal, Frame};

/// The whole terminal: its alternate screen, keys without echo.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes it. A panic gives it back before it is reported, too.
    pub(super) fn take() -> Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| give_back());
        Ok(Self { terminal: terminal.context("this terminal cannot be used")? })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.terminal.draw(draw).map(drop).context("cannot write to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Its cursor is hidden as long as something is drawn.
        let _ = self.terminal.show_cursor();
        // A panic gave it back already; once more would put the cursor over what was reported.
        if !thread::panicking() {
            give_back();
        }
    }
}

/// A terminal that went away has nothing to be given back.
fn give_back() {
    let _ = ratatui::try_restore();
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::process::{Command, Stdio};

    use nix::pty::{Winsize, openpty};
    use nix::sys::termios::{LocalFlags, tcgetattr};

    use super::*;

    const CHILD: &str = "ELB_TEST_PANICS_ON_A_SCREEN";

    /// Runs as another process, with a terminal.
    #[test]
    fn the_process_that_panics() {
        if env::var_os(CHILD).is_some() {
            let _screen = Screen::take().unwrap();
            panic!("on purpose");
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let before = tcgetattr(pty.slave.as_fd()).unwrap();
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "cli::top::screen::tests::the_process_that_panics", "--nocapture"]);
        child.env(CHILD, "1").env("RUST_BACKTRACE", "0").stdin(end()).stdout(end()).stderr(end());
        let status = child.status().unwrap();
        assert!(!status.success(), "it panicked");
        let after = tcgetattr(pty.slave.as_fd()).unwrap();
        assert!(after.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON));
        assert_eq!(after, before);
        // The last copies of the other end.
        drop((child, pty.slave));
        let mut said = Vec::new();
        // The other end is gone: what was written is still there, then comes an error.
        let _ = File::from(pty.master).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let (taken, back) = (said.find("\x1b[?1049h").unwrap(), said.find("\x1b[?1049l").unwrap());
        let reported = said.find("on purpose").unwrap();
        assert!(taken < back && back < reported, "{said:?}");
    }
}
