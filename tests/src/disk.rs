//! A small disk that can be full.

use std::{
    cell::RefCell,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A file system of its own; dropping it unmounts it.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    filler: RefCell<Option<Filler>>,
}

/// What takes every byte that becomes free: a file that is replaced while the disk fills up leaves room
/// behind, and a disk that others fill has none a moment later.
#[derive(Debug)]
struct Filler {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Disk {
    /// Mounts one of so many KiB at `path`, which is made.
    pub fn mount(path: &Path, kib: u32) -> Result<Self> {
        fs::create_dir_all(path)?;
        let size = format!("size={kib}k");
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))?;
        Ok(Self { path: path.to_owned(), filler: RefCell::default() })
    }

    /// Fills it to the last byte, and keeps it full until [`Self::free`].
    pub fn fill(&self) -> Result<()> {
        let mut file = fs::File::create(self.ballast())?;
        let mut fill = move || while file.write_all(&[0; 4096]).is_ok() {};
        fill();
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                fill();
            }
        });
        *self.filler.borrow_mut() = Some(Filler { stop, thread });
        Ok(())
    }

    /// Makes room again.
    pub fn free(&self) -> Result<()> {
        self.stop_filling();
        Ok(fs::remove_file(self.ballast())?)
    }

    fn stop_filling(&self) {
        if let Some(Filler { stop, thread }) = self.filler.take() {
            drop(stop);
            let _ = thread.join();
        }
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.stop_filling();
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}
