//! Writes that are committed together: whether all of it can be served is asked once for all of them.
//!
//! The answer takes as long as there are resources, so that asking it for each of many writes would hold them up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::documents::{Change, Group};
use super::{AuditRecord, Documents, ModelCheck, StoreError, Transaction, WriteResult};

/// A write that waits for the thread.
pub(super) trait Job: Send {
    /// Does it, as if it had not been done before.
    fn work(&mut self, transaction: &mut Transaction<'_>);
    /// Tells who waits, once the disk has it or cannot.
    fn answer(self: Box<Self>, committed: Result<(), Arc<StoreError>>);
}

/// What a caller asked for, and waits for.
pub(super) struct Asked<W, T, E> {
    work: W,
    /// What came of it; none: it panicked.
    result: Option<Result<T, E>>,
    sender: oneshot::Sender<WriteResult<T, E>>,
}

impl<W, T, E> Asked<W, T, E> {
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<WriteResult<T, E>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { work, result: None, sender }, receiver)
    }
}

impl<W, T, E> Job for Asked<W, T, E>
where
    W: FnMut(&mut Transaction<'_>) -> Result<T, E> + Send,
    T: Send,
    E: Send,
{
    fn work(&mut self, transaction: &mut Transaction<'_>) {
        // What panics changed nothing, and its answer is that no one gives one.
        let work = AssertUnwindSafe(|| (self.work)(transaction));
        self.result = catch_unwind(work).ok();
        if !self.result.as_ref().is_some_and(Result::is_ok) {
            transaction.undo();
        }
        if self.result.is_none() {
            transaction.forget();
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), Arc<StoreError>>) {
        let Some(result) = self.result else { return };
        let answer = match committed {
            Err(error) if result.is_ok() => Err(error),
            // What was refused stays refused, whatever the disk says.
            Ok(()) | Err(_) => Ok(result),
        };
        // Who does not wait any more needs no answer.
        let _ = self.sender.send(answer);
    }
}

/// What some writes changed and noted.
#[derive(Default)]
pub(super) struct Done {
    pub(super) changes: Vec<Change>,
    pub(super) audit: Vec<AuditRecord>,
}

/// Does what waits, in order, behind others that changed something or did not. Where all of it together cannot be
/// served, the halves are done one after the other, and so on: the one that is wrong is refused alone, after few
/// questions.
pub(super) fn settle(
    documents: &mut Documents,
    check: &ModelCheck,
    jobs: &mut [Box<dyn Job>],
    is_changed: bool,
) -> Done {
    let mut group = Group { is_checked_at_end: jobs.len() > 1, is_changed };
    let (mut done, mut is_asked) = (Done::default(), false);
    for job in &mut *jobs {
        group.is_changed |= !done.changes.is_empty();
        let mut transaction = Transaction::new(documents, check, group);
        job.work(&mut transaction);
        is_asked |= transaction.is_check_due();
        let (mut changes, mut audit) = transaction.end();
        done.changes.append(&mut changes);
        done.audit.append(&mut audit);
    }
    if !is_asked || check(documents).is_ok() {
        return done;
    }
    for (at, before) in done.changes.into_iter().rev() {
        documents.replace(at, before);
    }
    let (first, second) = jobs.split_at_mut(jobs.len() / 2);
    let mut first = settle(documents, check, first, is_changed);
    let is_changed = is_changed || !first.changes.is_empty();
    let mut second = settle(documents, check, second, is_changed);
    first.changes.append(&mut second.changes);
    first.audit.append(&mut second.audit);
    first
}
