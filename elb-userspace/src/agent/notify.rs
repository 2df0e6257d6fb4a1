//! What the service manager hears (sd_notify(3)). It may be slow to listen, or not listen at all: a thread
//! of its own waits for it, not the agent.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// Messages that wait at most.
const WAITING: usize = 64;

static MESSAGES: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();

enum Message {
    States(String),
    /// Says that all before it were sent.
    Flush(SyncSender<()>),
}

/// Says these states to the service manager, if there is one, after what was said before.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Some(messages) = messages()
        && messages.try_send(Message::States(text)).is_err()
    {
        tracing::debug!("the service manager does not listen");
    }
}

/// Waits until all is sent, but not for long.
pub(super) fn flush() {
    let (sent, done) = sync_channel(1);
    if let Some(messages) = messages()
        && messages.try_send(Message::Flush(sent)).is_ok()
    {
        let _ = done.recv_timeout(Duration::from_millis(200));
    }
}

fn messages() -> Option<&'static SyncSender<Message>> {
    let start = || {
        std::env::var_os("NOTIFY_SOCKET")?;
        let (messages, waiting) = sync_channel(WAITING);
        let thread = thread::Builder::new().name("elb-notify".to_owned());
        thread.spawn(move || send(&waiting)).ok()?;
        Some(messages)
    };
    MESSAGES.get_or_init(start).as_ref()
}

fn send(waiting: &Receiver<Message>) {
    while let Ok(message) = waiting.recv() {
        match message {
            Message::States(text) => {
                let sent = sd_notify::notify(&[NotifyState::Custom(text.trim_end())]);
                if let Err(error) = sent {
                    tracing::debug!(%error, "cannot notify the service manager");
                }
            }
            Message::Flush(sent) => drop(sent.try_send(())),
        }
    }
}
