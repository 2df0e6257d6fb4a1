use super::super::fixture;
use super::super::sheet::Tone;
use super::*;

/// After two looks.
pub(in super::super) fn top(view: View) -> Top {
    let (before, after) = fixture::looks();
    let mut top = Top::new("lb-1", before, view, None);
    top.hear([News::Look(Box::new(after), Duration::ZERO)]);
    top
}

fn packets(top: &Top) -> Option<f64> {
    top.report.total.traffic.packets_per_second
}

#[test]
fn a_look_after_the_first_gives_rates() {
    let (before, after) = fixture::looks();
    let mut top = Top::new("lb-1", before, View::Members, None);
    assert_eq!(packets(&top), None);
    top.hear([News::Look(Box::new(after), Duration::ZERO)]);
    assert_eq!(packets(&top), Some(100.0));
    assert_eq!(top.rows().0[1].tone, Tone::Bad);
}

#[test]
fn keys_change_views_order_and_filter() {
    let mut top = top(View::Listeners);
    assert!(top.act(Action::Show(View::Members)) && top.view == View::Members);
    let names = |top: &Top| -> Vec<String> {
        let member = |row: &Row| row.member.clone().unwrap().name;
        top.rows().0.iter().map(member).collect()
    };
    assert_eq!(names(&top), ["web-1", "web-2"]);
    top.act(Action::Sort(true));
    assert_eq!(names(&top), ["web-2", "web-1"], "OFFLINE before ONLINE");
    top.act(Action::Reverse);
    assert_eq!(names(&top), ["web-1", "web-2"]);
    top.act(Action::Filter);
    assert!("web-2".chars().all(|letter| top.act(Action::Letter(letter))));
    assert_eq!((names(&top), top.rows().1), (vec!["web-2".to_owned()], 2));
    top.act(Action::Enter);
    assert!(!top.is_typing && top.detail.is_none());
    top.act(Action::Escape);
    assert_eq!(names(&top).len(), 2);
    top.act(Action::Turn(true));
    assert_eq!((top.view, top.order()), (View::Drops, Order::default()), "each view has its own");
    assert!(!top.act(Action::Quit));
}

#[test]
fn rows_are_marked_within_what_is_there() {
    let mut top = top(View::Members);
    for (more, due) in [(1, 1), (1, 1), (isize::MIN, 0), (isize::MAX, 1), (-5, 0)] {
        top.act(Action::Row(more));
        assert_eq!(top.selected(2), due, "{more}");
    }
    top.page = 7;
    top.act(Action::Page(isize::MAX));
    assert_eq!(top.selected(2), 1);
    top.filter = "web-1".to_owned();
    assert_eq!(top.selected(1), 0);
}

#[test]
fn enter_asks_for_the_member_that_is_marked() {
    let mut top = top(View::Members);
    top.act(Action::Row(1));
    top.act(Action::Enter);
    let member = fixture::member(&top.last.status, 1);
    assert_eq!(top.question().member, Some(member));
    let other = top.last.status.pools[0].members[0].clone();
    top.hear([News::Member(Ok(Box::new(other)))]);
    assert!(top.detail.as_ref().unwrap().known.is_none(), "an answer to an earlier question");
    let known = top.last.status.pools[0].members[1].clone();
    top.hear([News::Member(Ok(Box::new(known)))]);
    assert!(top.detail.as_ref().unwrap().known.is_some());
    top.act(Action::Escape);
    assert_eq!(top.question().member, None);
    top.act(Action::Show(View::Pools));
    top.act(Action::Enter);
    assert_eq!(top.question().member, None, "a pool is no member");
}

#[test]
fn a_pause_keeps_what_is_shown_and_no_longer() {
    let mut top = top(View::Listeners);
    top.act(Action::Pause);
    let mut look = top.last.clone();
    look.at += Duration::from_secs(1);
    look.status = fixture::status(1, [1900, 0, 0], 50);
    top.hear([News::Look(Box::new(look.clone()), Duration::ZERO)]);
    assert_eq!(packets(&top), Some(100.0));
    top.act(Action::Pause);
    look.at += Duration::from_secs(1);
    look.status = fixture::status(1, [1905, 0, 0], 50);
    top.hear([News::Look(Box::new(look), Duration::ZERO)]);
    assert_eq!(packets(&top), Some(5.0), "of the last second alone");
}

#[test]
fn an_agent_that_went_and_came_back_is_said() {
    let mut top = top(View::Listeners);
    assert_eq!(top.notice(), None);
    top.hear([News::Gone("no agent answers".to_owned())]);
    let said = top.notice().unwrap();
    assert_eq!(said, "no answer since 01:01:02 UTC, asking again: no agent answers");
    let mut look = top.last.clone();
    look.at += Duration::from_secs(3);
    look.status.agent.pid = 77;
    top.hear([News::Look(Box::new(look.clone()), Duration::ZERO)]);
    let said = top.notice().unwrap();
    assert!(said.starts_with("another agent answers: pid 77, since 2026"), "{said}");
    look.at += Duration::from_secs(60);
    look.wall = fixture::later();
    top.hear([News::Look(Box::new(look), Duration::ZERO)]);
    assert_eq!((top.notice(), top.wall), (None, fixture::later()));
}

#[test]
fn events_are_as_many_as_the_agent_remembers() {
    let mut top = top(View::Events);
    top.hear([News::Event(Box::new(fixture::event("before")))]);
    top.hear([News::Events]);
    for number in 0..LAST + 5 {
        top.hear([News::Event(Box::new(fixture::event(&number.to_string())))]);
    }
    assert_eq!((top.rows().1, &*top.events[0].of_member().unwrap().member.name), (LAST, "5"));
}

#[test]
fn intervals_have_a_least_and_a_most() {
    let seconds = Duration::from_secs;
    assert_eq!(step(seconds(1), true), seconds(2));
    assert_eq!(step(seconds(1), false), Duration::from_millis(500));
    assert_eq!(step(seconds(4), false), seconds(3));
    assert_eq!(step(seconds(3600), true), seconds(3600));
    assert_eq!(step(seconds(3600), false), seconds(60));
    assert_eq!(step(Duration::from_millis(200), false), Duration::from_millis(200));
}
