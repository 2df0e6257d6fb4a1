//! `elb top` at a terminal: keys, looks at the agent and its events, as they come.

use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::keys::action;
use super::screen::Screen;
use super::state::{News, Question, Top};
use super::view::View;
use super::{draw, looking, pace};
use crate::api::client;
use crate::api::shape::events::{EventsLine, EventsRequest};

/// Shows it until it is to end. The agent may go and come back.
///
/// # Errors
/// The agent does not answer at first, or the terminal cannot be used.
pub(super) async fn run(socket: &Path, interval: Option<Duration>, view: View) -> Result<()> {
    let origin = Instant::now();
    let first = looking::look(socket, origin).await?;
    let top = Top::new(&looking::host(), first, view, interval);
    let (asked, question) = watch::channel(top.question());
    let (said, news) = unbounded_channel();
    // Signals are waited for before the terminal is taken.
    let ends = Ends::new()?;
    let screen = Screen::take()?;
    tokio::select! {
        shown = show(top, screen, news, asked, ends) => shown,
        () = look_on(socket, origin, question, &said) => Ok(()),
        () = follow(socket, &said) => Ok(()),
    }
}

/// Signals that end it.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> Result<Self> {
        let wait = |kind| signal(kind).context("cannot wait for signals");
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(wait);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    async fn any(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Draws what is there after all that came, and waits for more.
async fn show(
    mut top: Top,
    mut screen: Screen,
    mut news: UnboundedReceiver<News>,
    asked: watch::Sender<Question>,
    mut ends: Ends,
) -> Result<()> {
    let mut keys = keys()?;
    let colours = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    loop {
        screen.draw(|frame| draw::all(frame, &mut top, colours))?;
        asked.send_if_modified(|question| {
            let is_new = *question != top.question();
            *question = top.question();
            is_new
        });
        tokio::select! {
            one = news.recv() => {
                let more = std::iter::from_fn(|| news.try_recv().ok());
                top.hear(one.into_iter().chain(more));
            }
            one = keys.recv() => {
                // Without its terminal it has nothing to do.
                let Some(one) = one else { return Ok(()) };
                let more = std::iter::from_fn(|| keys.try_recv().ok());
                if !std::iter::once(one).chain(more).all(|one| act(&mut top, &one)) {
                    return Ok(());
                }
            }
            () = ends.any() => return Ok(()),
        }
    }
}

/// False: it is to end. What is no key is another size, which the next drawing finds out.
fn act(top: &mut Top, event: &Event) -> bool {
    event.as_key_event().is_none_or(|key| top.act(action(key, top.is_typing)))
}

/// Keys, as they are pressed. Who waits for them ends with the process.
fn keys() -> Result<UnboundedReceiver<Event>> {
    let (pressed, keys) = unbounded_channel();
    let wait = move || {
        while let Ok(event) = event::read() {
            if pressed.send(event).is_err() {
                break;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(wait).context("cannot read keys")?;
    Ok(keys)
}

/// Looks at the agent after each interval; at the member that is shown also as soon as it is.
async fn look_on(
    socket: &Path,
    origin: Instant,
    mut question: watch::Receiver<Question>,
    said: &UnboundedSender<News>,
) {
    let mut before = pace::spent();
    loop {
        let begun = tokio::time::Instant::now();
        let now = pace::spent();
        let spent = now.saturating_sub(before);
        before = now;
        let news = match looking::look(socket, origin).await {
            Ok(look) => News::Look(Box::new(look), spent),
            Err(error) => News::Gone(format!("{error:#}")),
        };
        let mut is_heard = said.send(news).is_ok();
        while is_heard {
            let Question { interval, member } = question.borrow_and_update().clone();
            if let Some(member) = member {
                let known = looking::member(socket, &member).await;
                let known = known.map(Box::new).map_err(|error| format!("{error:#}"));
                is_heard = said.send(News::Member(known)).is_ok();
            }
            tokio::select! {
                () = sleep_until(begun + interval) => break,
                changed = question.changed() => is_heard &= changed.is_ok(),
            }
        }
        if !is_heard {
            return;
        }
    }
}

/// How long a new agent is waited for.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows the events of the agent, and of those after it.
async fn follow(socket: &Path, said: &UnboundedSender<News>) {
    let request = EventsRequest { follow: true, ..EventsRequest::default() };
    while !said.is_closed() {
        let began = || Ok(said.send(News::Events)?);
        let each = |line| {
            if let EventsLine::Event(event) = line {
                said.send(News::Event(event))?;
            }
            Ok(ControlFlow::Continue(()))
        };
        // That it does not answer is what looking at it says.
        let _ = client::lines(socket, "/events", &request, began, each).await;
        sleep(AGAIN).await;
    }
}
