//! What is shown, and how keys and looks change it. Pure.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::keys::Action;
use super::order::{Order, keep};
use super::pace::{INTERVAL, Pace, step};
use super::rates::{self, Look};
use super::sheet::{Row, rows};
use super::view::View;
use crate::api::shape::events::{AgentEvent, LAST};
use crate::api::shape::status::MemberStatus;
use crate::api::shape::top::TopReport;
use crate::model::MemberRef;

/// What came from the agent.
#[derive(Debug)]
pub(super) enum News {
    /// With the processor time since the look before it was begun.
    Look(Box<Look>, Duration),
    /// The member whose detail is shown, or why nothing is known of it.
    Member(Result<Box<MemberStatus>, String>),
    /// The agent does not answer, and why.
    Gone(String),
    /// The events to come are all that the agent remembers.
    Events,
    Event(Box<AgentEvent>),
}

/// What is asked of the agent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) interval: Duration,
    /// The member whose detail is shown.
    pub(super) member: Option<MemberRef>,
}

/// A member of which more is shown.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    pub(super) member: MemberRef,
    pub(super) known: Option<Result<Box<MemberStatus>, String>>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) view: View,
    orders: [Order; 5],
    selected: [usize; 5],
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) is_help: bool,
    pub(super) detail: Option<Detail>,
    pub(super) interval: Duration,
    /// None where the interval was chosen.
    pace: Option<Pace>,
    /// Rows that have room.
    pub(super) page: usize,
    host: String,
    last: Look,
    pub(super) report: TopReport,
    /// When the report is of.
    pub(super) wall: SystemTime,
    pub(super) events: VecDeque<AgentEvent>,
    /// Why there is nothing new.
    pub(super) gone: Option<String>,
    /// Another agent answers, and since which look.
    another: Option<(Duration, String)>,
}

/// For how long it is said that another agent answers.
const SAID: Duration = Duration::from_secs(15);

impl Top {
    /// After the first look at the agent of `host`.
    pub(super) fn new(host: &str, first: Look, view: View, interval: Option<Duration>) -> Self {
        Self {
            view,
            orders: [Order::default(); 5],
            selected: [0; 5],
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            is_help: false,
            detail: None,
            interval: interval.unwrap_or(INTERVAL),
            pace: interval.is_none().then(Pace::default),
            page: 1,
            host: host.to_owned(),
            report: rates::report(host, None, &first),
            wall: first.wall,
            last: first,
            events: VecDeque::new(),
            gone: None,
            another: None,
        }
    }

    pub(super) fn question(&self) -> Question {
        let member = self.detail.as_ref().map(|detail| detail.member.clone());
        Question { interval: self.interval, member }
    }

    pub(super) const fn order(&self) -> Order {
        self.orders[self.view.index()]
    }

    /// The row that is marked, of so many.
    pub(super) fn selected(&self, count: usize) -> usize {
        self.selected[self.view.index()].min(count.saturating_sub(1))
    }

    /// What there is to say besides the rows.
    pub(super) fn notice(&self) -> Option<String> {
        let time = self.report.time.get(11..19).unwrap_or_default();
        let gone = self.gone.as_ref();
        let gone = gone.map(|why| format!("no answer since {time} UTC, asking again: {why}"));
        gone.or_else(|| self.another.as_ref().map(|(_, said)| said.clone()))
    }

    /// The rows of the view as they are shown, and how many there are in all.
    pub(super) fn rows(&self) -> (Vec<Row>, usize) {
        let mut rows = rows(self.view, &self.report);
        let all = rows.len();
        keep(&mut rows, &self.filter);
        self.order().apply(&mut rows);
        (rows, all)
    }

    /// Takes news in.
    pub(super) fn hear(&mut self, news: impl IntoIterator<Item = News>) {
        news.into_iter().for_each(|one| self.take(one));
        if !self.is_paused {
            self.report.events = Some(self.events.iter().cloned().collect());
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Look(look, cost) => {
                let interval = self.interval;
                self.interval =
                    self.pace.as_mut().map_or(interval, |pace| pace.note(interval, cost));
                self.look(*look);
            }
            News::Member(known) => self.know(known),
            News::Gone(why) => self.gone = Some(why),
            News::Events => self.events.clear(),
            News::Event(event) => {
                while self.events.len() >= LAST {
                    self.events.pop_front();
                }
                self.events.push_back(*event);
            }
        }
    }

    /// More of a member, unless another one is shown by now.
    fn know(&mut self, known: Result<Box<MemberStatus>, String>) {
        let is_it = |detail: &&mut Detail| match &known {
            Ok(known) => known.member == detail.member,
            Err(_) => true,
        };
        if let Some(detail) = self.detail.as_mut().filter(is_it) {
            detail.known = Some(known);
        }
    }

    fn look(&mut self, look: Look) {
        let (before, now) = (&self.last.status.agent, &look.status.agent);
        if (before.pid, &before.started) != (now.pid, &now.started) {
            let said = format!("another agent answers: pid {}, since {}", now.pid, now.started);
            self.another = Some((look.at, said));
        }
        self.another.take_if(|(at, _)| look.at.saturating_sub(*at) > SAID);
        self.gone = None;
        if !self.is_paused {
            self.report = rates::report(&self.host, Some(&self.last), &look);
            self.wall = look.wall;
        }
        self.last = look;
    }

    /// Does what a key means; false: it is to end.
    pub(super) fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => return false,
            Action::Nothing => {}
            Action::Show(view) => self.show(view),
            Action::Turn(forward) => self.show(self.view.turn(forward)),
            Action::Row(more) => self.go(more),
            Action::Page(more) => self.go(more.saturating_mul(self.page.max(1).cast_signed())),
            Action::Sort(forward) => {
                self.orders[self.view.index()] = self.order().turn(self.view, forward);
            }
            Action::Reverse => self.orders[self.view.index()].reversed ^= true,
            Action::Filter => (self.is_typing, self.is_help, self.detail) = (true, false, None),
            Action::Letter(letter) => self.filter.push(letter),
            Action::Rub => drop(self.filter.pop()),
            Action::Enter if self.is_typing => self.is_typing = false,
            Action::Enter => self.open(),
            Action::Escape => self.close(),
            Action::Pause => self.is_paused ^= true,
            Action::Slower(slower) => {
                self.interval = step(self.interval, slower);
                self.pace = None;
            }
            Action::Help => self.is_help ^= true,
        }
        true
    }

    fn show(&mut self, view: View) {
        (self.view, self.is_help, self.detail) = (view, false, None);
    }

    fn go(&mut self, more: isize) {
        let count = self.rows().0.len();
        let place = self.selected(count).saturating_add_signed(more);
        self.selected[self.view.index()] = place.min(count.saturating_sub(1));
    }

    /// More of the member that is marked, or not any more.
    fn open(&mut self) {
        if self.detail.take().is_some() {
            return;
        }
        let (rows, _) = self.rows();
        let row = rows.get(self.selected(rows.len()));
        let member = row.and_then(|row| row.member.clone());
        self.detail = member.map(|member| Detail { member, known: None });
        self.is_help = false;
    }

    /// The topmost thing that is open.
    fn close(&mut self) {
        if self.is_typing || !(self.is_help || self.detail.is_some()) {
            (self.is_typing, self.filter) = (false, String::new());
        } else if !std::mem::take(&mut self.is_help) {
            self.detail = None;
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
