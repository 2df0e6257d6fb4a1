//! What keys mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::view::View;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Show(View),
    /// The next view, or the one before.
    Turn(bool),
    /// So many rows down, or up.
    Row(isize),
    /// So many pages down, or up.
    Page(isize),
    /// Sort by the next column, or by the one before.
    Sort(bool),
    Reverse,
    Filter,
    Letter(char),
    Rub,
    Enter,
    Escape,
    Pause,
    /// A longer interval, or a shorter one.
    Slower(bool),
    Help,
    Quit,
}

/// What a key means; while a filter is typed, most are letters.
pub(super) fn action(key: KeyEvent, is_typing: bool) -> Action {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match (key.kind, key.code) {
        (KeyEventKind::Release, _) => Action::Nothing,
        (_, KeyCode::Char('c' | 'd')) if is_control => Action::Quit,
        (_, KeyCode::Char('u')) if is_control && is_typing => Action::Escape,
        (_, KeyCode::Char(_)) if is_control => Action::Nothing,
        (_, KeyCode::Char(letter)) if is_typing => Action::Letter(letter),
        (_, KeyCode::Char(letter)) => command(letter),
        (_, code) => other(code),
    }
}

fn command(letter: char) -> Action {
    match letter {
        '1'..='5' => {
            let place = letter.to_digit(10).map_or(0, |digit| digit as usize - 1);
            Action::Show(View::ALL[place])
        }
        'j' => Action::Row(1),
        'k' => Action::Row(-1),
        'r' => Action::Reverse,
        '/' => Action::Filter,
        'p' | ' ' => Action::Pause,
        '+' | '=' => Action::Slower(true),
        '-' => Action::Slower(false),
        'h' | '?' => Action::Help,
        'q' => Action::Quit,
        _ => Action::Nothing,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "keyboards have many keys")]
fn other(code: KeyCode) -> Action {
    match code {
        KeyCode::Tab => Action::Turn(true),
        KeyCode::BackTab => Action::Turn(false),
        KeyCode::Down => Action::Row(1),
        KeyCode::Up => Action::Row(-1),
        KeyCode::PageDown => Action::Page(1),
        KeyCode::PageUp => Action::Page(-1),
        KeyCode::Home => Action::Row(isize::MIN),
        KeyCode::End => Action::Row(isize::MAX),
        KeyCode::Right => Action::Sort(true),
        KeyCode::Left => Action::Sort(false),
        KeyCode::Enter => Action::Enter,
        KeyCode::Esc => Action::Escape,
        KeyCode::Backspace => Action::Rub,
        _ => Action::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::from(code)
    }

    #[test]
    fn letters_are_commands_unless_a_filter_is_typed() {
        assert_eq!(action(key(KeyCode::Char('q')), false), Action::Quit);
        assert_eq!(action(key(KeyCode::Char('q')), true), Action::Letter('q'));
        assert_eq!(action(key(KeyCode::Char('5')), false), Action::Show(View::Events));
        assert_eq!(action(key(KeyCode::Char('5')), true), Action::Letter('5'));
        assert_eq!(action(key(KeyCode::Tab), true), Action::Turn(true));
        assert_eq!(action(key(KeyCode::Char('6')), false), Action::Nothing);
    }

    #[test]
    fn control_c_ends_it_always() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!((action(key, false), action(key, true)), (Action::Quit, Action::Quit));
        let key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL);
        assert_eq!(action(key, false), Action::Nothing);
    }
}
