use std::time::Duration;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::super::fixture;
use super::super::keys::action;
use super::super::state::{News, tests::top};
use super::*;
use crate::api::shape::events::AgentEvent;

fn drawn(top: &mut Top, (width, height): (u16, u16), colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| all(frame, top, colours)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let line = |cells: &[ratatui::buffer::Cell]| {
        cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned()
    };
    buffer.content.chunks(width.max(1)).map(line).collect()
}

#[test]
fn members_with_a_header() {
    let mut top = top(View::Members);
    let lines = lines(&drawn(&mut top, (110, 9), true));
    assert_eq!(
        lines,
        [
            "elb 0.1.0 on lb-1 · up 1h 1m · native XDP · 01:01:02 UTC",
            "100 packets/s · 6.0k bytes/s · 4.0 new/s · 5.0 drops/s · members 1 up, 1 down of 2",
            " 1 listeners  2 pools  3 members  4 drops  5 events   every 1s",
            "STATE   MEMBER POOL ADDRESS      WEIGHT   DUE   GOT PKT/S BYTE/S NEW/S OPEN SINCE                REASON",
            "ONLINE  web-1  web  10.0.0.11:80      1 50.0% 50.0%    50   3.0k   2.0    - 2026-01-02T00:00:00Z",
            "OFFLINE web-2  web  10.0.0.12:80      1 50.0% 50.0%    50   3.0k   2.0    - 2026-01-02T00:00:00Z",
            "",
            "",
            "q quit  1-5 Tab view  ← → sort  r reverse  / filter  Enter detail  p pause  + - interval  h help",
        ]
    );
}

#[test]
fn every_view_has_its_rows() {
    let cases = [
        (
            View::Listeners,
            "DEGRADED public   http     192.0.2.10:80 TCP     100   6.0k       -         -    -     - web",
        ),
        (
            View::Pools,
            "web   1       2   100   6.0k       -         -   4.0    10      0         1 ipip       5_TUPLE_HASH",
        ),
        (View::Drops, "dropped no_backend   5.0    300    50 no member takes it see `elb status`"),
        (View::Events, "2026-01-02T00:00:00.000Z unhealthy web-2  web  10.0.0.12:80 ONLINE      7"),
    ];
    for (view, due) in cases {
        let mut top = top(view);
        top.hear([News::Event(Box::new(fixture::event("web-2")))]);
        assert_eq!(lines(&drawn(&mut top, (120, 20), true))[4], due, "{view:?}");
    }
}

#[test]
fn a_narrow_and_low_terminal_shows_what_matters_most() {
    let mut top = top(View::Members);
    let lines = lines(&drawn(&mut top, (30, 4), true));
    assert_eq!(lines[1], "STATE   MEMBER   DUE PKT/S");
    assert_eq!(lines[3], "OFFLINE web-2  50.0%    50");
}

#[test]
fn what_is_unusual_is_said() {
    let mut top = top(View::Members);
    top.hear([News::Gone("no agent\x1b[2J answers".to_owned())]);
    top.is_paused = true;
    top.filter = "web-2".to_owned();
    let lines = lines(&drawn(&mut top, (120, 12), true));
    assert!(
        lines[2].starts_with("no answer since 01:01:02 UTC, asking again: no agent"),
        "{lines:?}"
    );
    assert!(lines[3].ends_with("every 1s · PAUSED · 1 of 2 with \"web-2\""), "{lines:?}");
    top.filter = "nothing".to_owned();
    let lines = self::lines(&drawn(&mut top, (120, 12), true));
    assert_eq!(lines[4], "nothing has that in it (Esc: all)");
}

#[test]
fn a_member_in_detail() {
    let mut top = top(View::Members);
    top.act(super::super::keys::Action::Enter);
    let known = fixture::looks().1.status.pools[0].members[0].clone();
    let mut own = fixture::member_event("web-1");
    own.member = known.member.clone();
    top.hear([News::Member(Ok(Box::new(known))), News::Event(Box::new(AgentEvent::Member(own)))]);
    let text = lines(&drawn(&mut top, (120, 30), true)).join("\n");
    for due in [
        "web-1 of pool web at 10.0.0.11:80",
        "ONLINE since 2026-01-02T00:00:00Z",
        "weight 1, 5 slots, 50.0 % of new flows due",
        "2026-01-02T00:00:00.000Z unhealthy after 7 s ONLINE",
        "elb diagnose \"web-1\"",
    ] {
        assert!(text.contains(due), "{due}: {text}");
    }
    top.is_help = true;
    let text = lines(&drawn(&mut top, (120, 30), true)).join("\n");
    assert!(text.contains("Ctrl-C          quit"), "{text}");
}

#[test]
fn without_colours_nothing_is_coloured() {
    let mut top = top(View::Members);
    top.hear([News::Gone("x".to_owned())]);
    let is_coloured = |buffer: &Buffer| {
        let mut cells = buffer.content.iter();
        cells.any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(is_coloured(&drawn(&mut top, (120, 12), true)));
    assert!(!is_coloured(&drawn(&mut top, (120, 12), false)));
}

fn codes() -> impl Strategy<Value = KeyCode> {
    let letters = any::<char>().prop_map(KeyCode::Char);
    let known = "12345rjk/p+-h?".chars().map(KeyCode::Char).collect::<Vec<_>>();
    let others = [
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
    ];
    let known = [known, others.to_vec()].concat();
    prop_oneof![1 => letters, 9 => proptest::sample::select(known)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_names_sizes_and_keys_are_drawn(
        name in "\\PC*|.*",
        pool in ".{0,60}",
        reason in ".*",
        width in 1..200_u16,
        height in 1..40_u16,
        pressed in proptest::collection::vec(codes(), 0..10),
        colours: bool,
    ) {
        let mut top = top(View::Members);
        let mut look = fixture::looks().1;
        look.status.load_balancers[0].name.clone_from(&pool);
        look.status.pools[0].name.clone_from(&pool);
        for member in &mut look.status.pools[0].members {
            member.member.name.clone_from(&name);
            member.member.pool.clone_from(&pool);
            member.unreachable = Some(reason.clone());
        }
        let known = look.status.pools[0].members[0].clone();
        let mut event = fixture::member_event(&name);
        event.member = known.member.clone();
        top.hear([News::Look(Box::new(look), Duration::ZERO), News::Event(Box::new(AgentEvent::Member(event)))]);
        for code in pressed {
            top.act(action(KeyEvent::from(code), top.is_typing));
            top.hear([News::Member(Ok(Box::new(known.clone()))), News::Gone(reason.clone())]);
            let buffer = drawn(&mut top, (width, height), colours);
            let moves = |cell: &ratatui::buffer::Cell| cell.symbol().chars().any(char::is_control);
            prop_assert!(!buffer.content.iter().any(moves));
        }
    }
}
