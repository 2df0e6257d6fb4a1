//! What an agent begins with: the file as it is, as it was, or nothing.

use super::*;

fn text(folder: &Path, weight: u8) -> String {
    format!(
        "[agent]\ninterfaces = [\"eth0\"]\nstate_dir = {:?}\n[[pool]]\nname = \"web\"\n\
         protocol = \"TCP\"\nforwarding = \"ipip\"\n[[pool.member]]\naddress = \"10.0.0.1\"\n\
         protocol_port = 80\nweight = {weight}\n",
        folder.display().to_string()
    )
}

/// A file that was taken over, and is `text` now.
fn begin_with(text_now: impl Fn(&Path) -> String) -> Result<Beginning> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("elb.toml");
    let good = file::parse("", &text(folder.path(), 7)).unwrap();
    let state = Folder::of(&good.agent);
    state.make().unwrap();
    keep(&state, &file, &text(folder.path(), 7), 1);
    fs::write(&file, text_now(folder.path())).unwrap();
    begin(&file)
}

fn keep(state: &Folder, file: &Path, text: &str, generation: u64) {
    let loaded =
        LoadedFile { generation, ..LoadedFile::new(file.to_owned(), text.to_owned(), now()) };
    LastGood::of(&loaded).unwrap().keep(state).unwrap();
}

#[test]
fn the_generation_goes_on_where_the_last_agent_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = Folder::of(&file::parse("", &text(folder.path(), 7)).unwrap().agent);
    state.make().unwrap();
    let at = |right, revision| generation(&state, right, revision);
    assert_eq!(at(Some("one"), 0), 1);
    keep(&state, Path::new("/x"), "one", 4);
    assert_eq!(at(Some("one"), 0), 4);
    assert_eq!(at(None, 0), 4, "the last good one serves");
    assert_eq!(at(Some("two"), 0), 5);
    // What a store changed may have been taken over as often, before the agent was killed.
    assert_eq!((at(Some("two"), 3), at(Some("one"), 3), at(None, 3)), (7, 4, 4));
}

/// Nothing was right: there is nothing that the next agent could serve instead.
#[test]
fn nothing_is_kept_in_place_of_what_was_right() {
    let wrong = LoadedFile::new("/x".into(), String::new(), now());
    assert!(wrong.is_kept && LastGood::of(&wrong).is_none());
}

fn weight(beginning: &Beginning) -> Option<u32> {
    Some(beginning.config.model.pools().first()?.members[0].weight.get())
}

#[test]
fn a_right_file_is_served() {
    let begun = begin_with(|folder| text(folder, 9)).unwrap();
    assert!(begun.right.is_some());
    assert_eq!(weight(&begun), Some(9));
}

#[test]
fn a_wrong_pool_is_served_as_it_was() {
    let begun = begin_with(|folder| text(folder, 101)).unwrap();
    assert_eq!((begun.right.is_some(), weight(&begun)), (false, Some(7)));
    let problems = begun.problems.join("\n");
    assert!(problems.contains("serves pool \"web\" in its place"), "{problems}");
    assert!(problems.contains("101"), "{problems}");
}

#[test]
fn a_file_that_says_nothing_leaves_everything() {
    let broken: [fn(&Path) -> String; 3] = [
        |folder| text(folder, 9) + "[[pool",
        |folder| text(folder, 9).replace("interfaces", "interface"),
        |folder| text(folder, 9).replace("[agent]", "[agent"),
    ];
    for text_now in broken {
        let begun = begin_with(text_now).unwrap();
        assert_eq!(weight(&begun), Some(7));
        assert!(begun.problems[0].contains("serves everything in its place"));
    }
}

#[test]
fn without_a_last_good_one_what_is_right_is_served_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("elb.toml");
    fs::write(&file, text(folder.path(), 101)).unwrap();
    let begun = begin(&file).unwrap();
    assert_eq!((begun.right.is_some(), weight(&begun)), (false, None));
    fs::write(&file, "[agent").unwrap();
    let why = begin(&file).err().unwrap().to_string();
    let said = format!("no last good configuration of this file was found in {STATE_DIR};");
    assert!(why.contains(&said) && why.contains("[agent] state_dir"), "{why}");
    fs::remove_file(&file).unwrap();
    assert!(begin(&file).err().unwrap().to_string().contains(&said));
}

/// Where the API was, someone answers, and says what is wrong.
#[test]
fn the_api_of_a_file_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("elb.toml");
    let agent = format!(
        "[agent]\ninterfaces = [\"eth0\"]\nstate_dir = {:?}\n",
        folder.path().display().to_string()
    );
    let good = format!("{agent}[api]\nforwarding = \"ipip\"\nlisten = \"127.0.0.1:9444\"\n");
    let state = Folder::of(&file::parse("", &good).unwrap().agent);
    state.make().unwrap();
    keep(&state, &file, &good, 1);
    let wrong_pool = "[[pool]]\nname = \"p\"\n";
    for (text, is_answered) in [
        (format!("{good}[[["), true),
        (format!("{agent}[api]\nforwarding = 5\n"), true),
        (format!("{agent}{wrong_pool}"), false),
    ] {
        fs::write(&file, &text).unwrap();
        let begun = begin(&file).unwrap();
        assert_eq!(begun.stored.is_some(), is_answered, "{text}");
        let Some(stored) = begun.stored else { continue };
        assert_eq!(stored.settings.listen.port(), 9444);
        let why = stored.store.err().unwrap();
        assert!(why.contains("had errors when the agent started; correct it"), "{why}");
    }
}
