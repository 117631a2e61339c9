//! Runs a job with a bound on its memory and time.
//!
//! A chat template is a program from outside, and so is a grammar. minijinja counts its instructions, but one of them
//! may double a string (`s + s`), and Rust has no way to fail such an allocation inside a library: it
//! aborts the process, or the system kills it. So a job runs on a thread of its own, the allocator
//! counts for that thread, and a thread that is over its budget (or out of time) does not return
//! from the allocation: it says so and sleeps for ever. Its stack and memory, at most the budget,
//! are lost: the caller does not run the same job again. Rejected: a process per rendering (slow to
//! fork beside gigabytes of weights); a fork of minijinja; unwinding out of the allocator
//! (undefined).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::error::{Result, TextError};

const STACK_BYTES: usize = 8 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Running,
    Done,
    OutOfMemory,
}

struct Watch {
    outcome: Mutex<Outcome>,
    changed: Condvar,
    is_out_of_time: AtomicBool,
}

impl Watch {
    /// Does not allocate: it is called from the allocator.
    fn set(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = outcome;
        self.changed.notify_one();
    }
}

/// Bytes that the thread may still take, and who waits for it; null for threads without a limit.
#[derive(Clone, Copy)]
struct Budget {
    bytes_left: isize,
    watch: *const Watch,
}

thread_local! {
    static BUDGET: Cell<Budget> = const { Cell::new(Budget { bytes_left: 0, watch: ptr::null() }) };
}

/// Charges `bytes` (negative: gives back) to this thread.
#[inline]
fn charge(bytes: isize) {
    let _ = BUDGET.try_with(|cell| {
        let mut budget = cell.get();
        if budget.watch.is_null() {
            return;
        }
        budget.bytes_left = budget.bytes_left.saturating_sub(bytes);
        cell.set(budget);
        // SAFETY: the job's thread keeps its `Watch` alive as long as the budget names it.
        let watch = unsafe { &*budget.watch };
        if bytes > 0 && (budget.bytes_left < 0 || watch.is_out_of_time.load(Ordering::Relaxed)) {
            cell.set(Budget { bytes_left: 0, watch: ptr::null() });
            watch.set(Outcome::OutOfMemory);
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
    });
}

struct CountingAllocator;

// SAFETY: `System` does the work; `charge` neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        charge(-(layout.size() as isize));
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        charge(size as isize - layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bounds of one job.
#[derive(Clone, Copy)]
pub struct Limits {
    pub bytes: usize,
    pub time: Duration,
    /// Committed as it is used.
    pub stack_bytes: usize,
}

/// What `job` returned, or nothing where it went over `bytes` or `time`. A panic is passed on.
pub fn run<T: Send + 'static>(
    bytes: usize,
    time: Duration,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>> {
    run_within(Limits { bytes, time, stack_bytes: STACK_BYTES }, job)
}

pub fn run_within<T: Send + 'static>(
    limits: Limits,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>> {
    Ok(run_counted(limits, job)?.map(|(result, _)| result))
}

/// The same, and the memory that the job took and did not give back.
pub fn run_counted<T: Send + 'static>(
    limits: Limits,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<(T, usize)>> {
    let Limits { bytes, time, stack_bytes } = limits;
    let watch = Arc::new(Watch {
        outcome: Mutex::new(Outcome::Running),
        changed: Condvar::new(),
        is_out_of_time: AtomicBool::new(false),
    });
    let watched = watch.clone();
    let thread = std::thread::Builder::new()
        .name("text-limited".into())
        .stack_size(stack_bytes)
        .spawn(move || {
            BUDGET.set(Budget { bytes_left: bytes as isize, watch: Arc::as_ptr(&watched) });
            let result = catch_unwind(AssertUnwindSafe(job));
            let bytes_left =
                BUDGET.replace(Budget { bytes_left: 0, watch: ptr::null() }).bytes_left;
            watched.set(Outcome::Done);
            result.map(|result| (result, bytes.saturating_sub(bytes_left.max(0) as usize)))
        })
        .map_err(|error| TextError::internal(format!("no thread for a bounded job: {error}")))?;

    let outcome = watch.outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let waited = watch.changed.wait_timeout_while(outcome, time, |now| *now == Outcome::Running);
    let outcome = *waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
    if outcome != Outcome::Done {
        // Its next allocation is its last.
        watch.is_out_of_time.store(true, Ordering::Relaxed);
        return Ok(None);
    }
    match thread.join() {
        Ok(Ok(result)) => Ok(Some(result)),
        Ok(Err(panic)) | Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_job_within_its_budget_returns() {
        let made = run(1 << 20, LONG, || vec![1u8; 1000].len()).unwrap();
        assert_eq!(made, Some(1000));
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let job =
            || (0..1000).map(|_| std::hint::black_box(vec![1u8; 1 << 18]).len()).sum::<usize>();
        assert_eq!(run(1 << 20, LONG, job).unwrap(), Some(1000 << 18));
    }

    #[test]
    fn a_job_over_its_budget_is_given_up() {
        let large = || std::hint::black_box(vec![1u8; 2 << 20]).len();
        assert!(run(1 << 20, LONG, large).unwrap().is_none());
    }

    #[test]
    fn a_job_over_its_time_is_given_up() {
        let endless = || loop {
            std::hint::black_box(vec![0u8; 16]);
        };
        assert!(run::<()>(1 << 20, Duration::from_millis(1), endless).unwrap().is_none());
    }

    #[test]
    fn a_panic_is_passed_on() {
        // The hook that prints panics allocates, for a trace of the stack.
        let panicking = || catch_unwind(|| run(1 << 30, LONG, || -> u8 { panic!("x") }));
        assert!(panicking().is_err());
    }
}
