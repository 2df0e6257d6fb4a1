//! A panic is a result that is counted, and its task begins again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[tokio::test]
async fn a_panic_is_a_result() {
    assert_eq!(caught(async { 7 }).await, Ok(7));
    let panics = async {
        tokio::task::yield_now().await;
        panic!("on {}", "purpose")
    };
    assert_eq!(caught::<()>(panics).await, Err("on purpose".to_owned()));
    assert_eq!(caught_now(|| -> u8 { panic!("now") }), Err("now".to_owned()));
}

#[tokio::test]
async fn panics_are_counted_by_task() {
    let mut panics = Panics::default();
    for _ in 0..2 {
        let mut tasks = JoinSet::new();
        tasks.spawn(async { panic!("at the end") });
        let end: Result<(), _> = tasks.join_next().await.unwrap();
        assert_eq!(panics.result_of("sweep", end), None);
    }
    let all = panics.all();
    assert_eq!((all.len(), all[0].count, all[0].last.as_str()), (1, 2, "at the end"));
    let problem = panics.problems().next().unwrap();
    assert!(problem.contains("task sweep panicked 2 times"), "{problem}");
}

#[tokio::test]
async fn a_lasting_task_begins_again() {
    let begun = Arc::new(AtomicU32::new(0));
    let count = begun.clone();
    let mut task = Lasting::start("test", move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Ok(Box::pin(async move {
            assert!(number > 0, "the first one panics");
            Err(anyhow::anyhow!("the second one fails"))
        }))
    })
    .unwrap();
    assert!(matches!(task.ended().await, End::Panic("test", why) if why.contains("first one")));
    assert!(!task.is_alive());
    assert!(matches!(task.ended().await, End::Failure("test", why) if why.contains("second")));
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}
