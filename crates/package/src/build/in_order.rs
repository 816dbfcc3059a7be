//! Work for several threads whose results are wanted in order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// More threads would need more memory than a build may take, and outrun the disk.
const THREADS_MAX: usize = 8;
/// So many results may wait for one before them.
const AHEAD: usize = 64;

/// Calls `make` for each item on several threads, and `take` here with what was made, in the order of the items.
/// Nothing new is begun after a failure of either.
///
/// # Errors
/// The first error of `take`, or of `make` in the order of the items.
pub(super) fn in_order<Item: Sync, Made: Send, Error: Send>(
    items: &[Item],
    make: impl Fn(&Item) -> Result<Made, Error> + Sync,
    mut take: impl FnMut(&Item, Made) -> Result<(), Error>,
) -> Result<(), Error> {
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX);
    let (jobs, queue) = mpsc::channel::<usize>();
    let queue = Mutex::new(queue);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let (next, make) = (&next, &make);
    // Moves `jobs` in, so that threads which wait for one end with this function.
    thread::scope(move |scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(move || {
                while let Ok(index) = next() {
                    let made = catch_unwind(AssertUnwindSafe(|| make(&items[index])));
                    if sender.send((index, made)).is_err() {
                        break;
                    }
                }
            });
        }
        let mut upcoming = 0..items.len();
        let mut begin = |count| upcoming.by_ref().take(count).try_for_each(|index| jobs.send(index));
        let _ = begin(AHEAD);
        let mut early = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            while !early.contains_key(&index) {
                let Ok((index, made)) = results.recv() else { break };
                early.insert(index, made);
            }
            let Some(made) = early.remove(&index) else { break };
            take(item, made.unwrap_or_else(|panic| resume_unwind(panic))?)?;
            let _ = begin(1);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_not_too_early() {
        let items: Vec<usize> = (0..500).collect();
        let (made, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut order = Vec::new();
        let make = |item: &usize| {
            assert!(made.fetch_add(1, Ordering::SeqCst) < taken.load(Ordering::SeqCst) + AHEAD + 1);
            // The later ones are done sooner.
            (0..(500 - item) * 20).for_each(|_| std::hint::spin_loop());
            Ok::<_, ()>(item * 2)
        };
        let take = |item: &usize, double: usize| {
            taken.fetch_add(1, Ordering::SeqCst);
            order.push((*item, double));
            Ok(())
        };
        in_order(&items, make, take).unwrap();
        assert!(order.into_iter().eq((0..500).map(|item| (item, 2 * item))));
        in_order(&[], |_: &()| Err::<(), _>("called"), |_, ()| Ok(())).unwrap();
    }

    #[test]
    fn the_first_failure_ends_it() {
        let items: Vec<usize> = (0..10_000).collect();
        let made = AtomicUsize::new(0);
        let fails_at_three = |item: &usize| {
            made.fetch_add(1, Ordering::SeqCst);
            if *item >= 3 { Err(*item) } else { Ok(()) }
        };
        assert_eq!(in_order(&items, fails_at_three, |_, ()| Ok(())), Err(3));
        assert_eq!(in_order(&items, |_| Ok(()), |item, ()| if *item == 5 { Err(5) } else { Ok(()) }), Err(5));
        assert!(made.load(Ordering::SeqCst) < 1000);
    }

    #[test]
    #[should_panic(expected = "made badly")]
    fn a_panic_of_a_thread_arrives() {
        let _ = in_order(
            &[1, 2, 3],
            |item| if *item == 2 { panic!("made badly") } else { Ok::<_, ()>(()) },
            |_, ()| Ok(()),
        );
    }
}
