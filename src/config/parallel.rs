//! Work on many files at once, on as many threads as there are processors.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

/// Below so many items a thread costs more than it saves.
const ITEMS_MIN: usize = 16;
/// More threads than that wait for each other.
const THREADS_MAX: usize = 8;

/// Does the work for each item; the results have the order of the items.
pub(super) fn side_by_side<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    if threads < 2 || items.len() < ITEMS_MIN {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    // A thread that panicked has left the queue as it was: the others go on, and the panic comes out at the end of the scope.
    let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let run = || std::iter::from_fn(next).map(|(place, item)| (place, work(item))).collect::<Vec<_>>();
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            match other.join() {
                Ok(results) => done.extend(results),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Gives back what is large, without waiting for it.
pub(super) fn drop_aside<T: Send + 'static>(value: T) {
    // Where no thread can be had, the value is given back here.
    drop(thread::Builder::new().spawn(move || drop(value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(side_by_side(items.clone(), |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(side_by_side(vec![1], |n| n + 1), [2]);
    }
}
