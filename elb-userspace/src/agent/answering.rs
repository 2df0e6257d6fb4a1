//! Keeps the API socket: without its file no command finds the agent.

use std::fs;

use super::core::Core;
use crate::kernel::host::kept::KeptObject;
use crate::model::time::Now;

impl Core {
    /// Looks after what is this agent's alone. The socket's lock needs the socket's folder.
    pub(super) fn look_at_owned(&mut self) {
        if let Some(folder) = self.socket().parent().filter(|folder| !folder.exists()) {
            // Why it cannot be made is said where the socket is bound again.
            let _ = fs::create_dir_all(folder);
        }
        self.host.owned.look();
    }

    /// Binds the socket again once its file is gone, unless another agent has its lock.
    pub(super) fn keep_socket(&mut self, now: Now) {
        const OBJECT: &KeptObject = &KeptObject::ApiSocket;
        let Some(socket) = self.host.socket.as_mut() else { return };
        if self.host.owned.is_taken("socket") {
            return;
        }
        let register = &mut self.host.keeping.register;
        match socket.look() {
            Ok(None) => register.in_place(OBJECT),
            Ok(Some(what)) => register.restored(OBJECT, what, now.wall),
            Err(why) => register.missing(OBJECT, format!("{why:#}; no command finds this agent")),
        }
    }
}
