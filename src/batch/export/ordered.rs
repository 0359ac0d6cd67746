//! Work on several threads whose results are taken in order.
//!
//! In: jobs, one after the other. Out: what came of them, in the same order, on the caller's thread.
//! Keeps: at most `AHEAD` results for each thread wait to be taken. After an error nothing more is taken.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs that a thread may be ahead of what was taken.
const AHEAD: u64 = 2;

struct State<R, E> {
    given: u64,
    taken: u64,
    done: BTreeMap<u64, Result<R, E>>,
    /// There are no more jobs, or nobody wants their results.
    is_over: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module.
pub(super) fn in_order<J, R: Send, E: Send>(
    threads: usize,
    jobs: impl FnMut() -> Result<Option<J>, E> + Send,
    work: impl Fn(J) -> Result<R, E> + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let ahead_max = AHEAD * u64::try_from(threads).unwrap_or(u64::MAX);
    let empty = State { given: 0, taken: 0, done: BTreeMap::new(), is_over: false };
    let (state, changed, jobs) = (Mutex::new(empty), Condvar::new(), Mutex::new(jobs));
    let next_job = || -> Option<(u64, Result<J, E>)> {
        // Who has this lock asks for the next job; so they are given out in order.
        let mut jobs = lock(&jobs);
        let is_ahead = |state: &mut State<R, E>| !state.is_over && state.given >= state.taken + ahead_max;
        let waited = changed.wait_while(lock(&state), is_ahead);
        if waited.unwrap_or_else(PoisonError::into_inner).is_over {
            return None;
        }
        let job = jobs().transpose();
        let mut state = lock(&state);
        let Some(job) = job else {
            state.is_over = true;
            changed.notify_all();
            return None;
        };
        state.given += 1;
        Some((state.given - 1, job))
    };
    let worker = || {
        while let Some((number, job)) = next_job() {
            let result = job.and_then(&work);
            lock(&state).done.insert(number, result);
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(worker);
        }
        let taken = take_all(&state, &changed, &mut take);
        lock(&state).is_over = true;
        changed.notify_all();
        taken
    })
}

fn take_all<R, E>(
    state: &Mutex<State<R, E>>,
    changed: &Condvar,
    take: &mut impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let is_waiting =
            |state: &mut State<R, E>| !state.done.contains_key(&state.taken) && !is_at_end(state);
        let mut now = changed.wait_while(lock(state), is_waiting).unwrap_or_else(PoisonError::into_inner);
        let number = now.taken;
        let Some(result) = now.done.remove(&number) else { return Ok(()) };
        drop(now);
        take(result?)?;
        lock(state).taken += 1;
        changed.notify_all();
    }
}

fn is_at_end<R, E>(state: &State<R, E>) -> bool {
    state.is_over && state.taken == state.given
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_none_is_made_far_ahead() {
        for threads in [1, 2, 5] {
            let (mut next, started, mut found) = (0, AtomicU64::new(0), Vec::new());
            let jobs = || {
                next += 1;
                Ok::<_, ()>((next <= 500).then_some(next))
            };
            let work = |job: u64| {
                started.fetch_add(1, Ordering::Relaxed);
                Ok(job * 2)
            };
            let taken = in_order(threads, jobs, work, |result| {
                let ahead = started.load(Ordering::Relaxed) - u64::try_from(found.len()).unwrap();
                assert!(ahead <= AHEAD * u64::try_from(threads).unwrap(), "{ahead} ahead");
                found.push(result);
                Ok(())
            });
            assert_eq!(taken, Ok(()));
            assert_eq!(found, (1..=500).map(|job| job * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it_wherever_it_comes_from() {
        let run = |job_fails: u64, work_fails: u64, take_fails: u64| {
            let (mut next, mut found) = (0, 0);
            let fails = |at: u64, number: u64, what| if at == number { Err(what) } else { Ok(number) };
            let jobs = || {
                next += 1;
                fails(job_fails, next, "job").map(|number| (number <= 100).then_some(number))
            };
            let taken = in_order(
                2,
                jobs,
                |job| fails(work_fails, job, "work"),
                |result| {
                    found = fails(take_fails, result, "take")?;
                    Ok(())
                },
            );
            (taken, found)
        };
        assert_eq!(run(50, 0, 0), (Err("job"), 49));
        assert_eq!(run(0, 50, 0), (Err("work"), 49));
        assert_eq!(run(0, 0, 50), (Err("take"), 49));
        assert_eq!(run(0, 0, 0), (Ok(()), 100));
    }
}
