//! Runs a job with a bound on its memory and time.
//!
//! A chat template is a program from outside, and so is a grammar. minijinja counts its instructions, but one of them
//! may double a string (`s + s`), and Rust has no way to fail such an allocation inside a library: it
//! aborts the process, or the system kills it. So a job runs on a thread of its own, the allocator
//! counts for that thread, and a thread that is over its budget (or out of time) does not return
//! from the allocation: it says so and sleeps for ever. Its stack and memory, at most the budget,
//! are lost: the caller does not run the same job again, and where a few of a kind are left behind,
//! no more of it are run (`LeftBehind`). Rejected: a process per rendering (slow to fork beside
//! gigabytes of weights); a fork of minijinja; unwinding out of the allocator (undefined); ending
//! the thread there (it may hold locks, and others what it allocated).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::error::{Result, Status, TextError};

/// Jobs of one kind that were given up and have not ended; some never will. Kinds are counted apart,
/// so that clients' schemas cannot stop what a plain request needs.
pub struct LeftBehind {
    kind: &'static str,
    count: AtomicUsize,
}

impl LeftBehind {
    /// Of one kind, besides those that run: at worst so many times a job's budget is lost.
    const MAX: usize = 8;

    pub const fn new(kind: &'static str) -> Self {
        Self { kind, count: AtomicUsize::new(0) }
    }

    fn check_room(&self) -> Result<()> {
        if self.count.load(Ordering::Relaxed) < Self::MAX {
            return Ok(());
        }
        let kind = self.kind;
        let message = format!("{} {kind} were given up and have not ended", Self::MAX);
        Err(TextError::new(Status::Overloaded, format!("{message}: no more are taken for now")))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Running,
    Done,
    OutOfMemory,
    /// It is not waited for any longer, and may end later.
    GivenUp,
}

struct Watch {
    outcome: Mutex<Outcome>,
    changed: Condvar,
    is_out_of_time: AtomicBool,
}

impl Watch {
    /// Does not allocate: it is called from the allocator. Returns what was before.
    fn set(&self, outcome: Outcome) -> Outcome {
        let mut now = self.outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = std::mem::replace(&mut *now, outcome);
        self.changed.notify_one();
        before
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
    pub left_behind: &'static LeftBehind,
}

/// What `job` returned, or nothing where it went over `bytes` or `time`. A panic is passed on.
/// Errors: overloaded (too many are left behind: it was not run).
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
    let Limits { bytes, time, stack_bytes, left_behind } = limits;
    left_behind.check_room()?;
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
            if watched.set(Outcome::Done) == Outcome::GivenUp {
                left_behind.count.fetch_sub(1, Ordering::Relaxed);
            }
            result.map(|result| (result, bytes.saturating_sub(bytes_left.max(0) as usize)))
        })
        .map_err(|error| TextError::internal(format!("no thread for a bounded job: {error}")))?;

    let outcome = watch.outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let waited = watch.changed.wait_timeout_while(outcome, time, |now| *now == Outcome::Running);
    let mut outcome = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
    if *outcome != Outcome::Done {
        // Its next allocation is its last.
        watch.is_out_of_time.store(true, Ordering::Relaxed);
        left_behind.count.fetch_add(1, Ordering::Relaxed);
        *outcome = Outcome::GivenUp;
        return Ok(None);
    }
    drop(outcome);
    match thread.join() {
        Ok(Ok(result)) => Ok(Some(result)),
        Ok(Err(panic)) | Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    static TESTS: LeftBehind = LeftBehind::new("tests");

    fn within(bytes: usize, time: Duration) -> Limits {
        Limits { bytes, time, stack_bytes: 1 << 20, left_behind: &TESTS }
    }

    #[test]
    fn a_job_within_its_budget_returns() {
        let made = run_within(within(1 << 20, LONG), || vec![1u8; 1000].len()).unwrap();
        assert_eq!(made, Some(1000));
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let job =
            || (0..1000).map(|_| std::hint::black_box(vec![1u8; 1 << 18]).len()).sum::<usize>();
        assert_eq!(run_within(within(1 << 20, LONG), job).unwrap(), Some(1000 << 18));
    }

    #[test]
    fn a_job_over_its_budget_is_given_up() {
        let large = || std::hint::black_box(vec![1u8; 2 << 20]).len();
        assert!(run_within(within(1 << 20, LONG), large).unwrap().is_none());
    }

    #[test]
    fn a_job_over_its_time_is_given_up() {
        let endless = || loop {
            std::hint::black_box(vec![0u8; 16]);
        };
        let limits = within(1 << 20, Duration::from_millis(1));
        assert!(run_within::<()>(limits, endless).unwrap().is_none());
    }

    #[test]
    fn a_panic_is_passed_on() {
        // The hook that prints panics allocates, for a trace of the stack.
        let limits = within(1 << 30, LONG);
        let panicking = || catch_unwind(|| run_within(limits, || -> u8 { panic!("x") }));
        assert!(panicking().is_err());
    }

    #[test]
    fn no_more_than_a_few_are_left_behind() {
        static MANY: LeftBehind = LeftBehind::new("jobs");
        let limits = Limits { left_behind: &MANY, ..within(1 << 20, LONG) };
        let large = || std::hint::black_box(vec![1u8; 2 << 20]).len();
        for _ in 0..LeftBehind::MAX {
            assert!(run_within(limits, large).unwrap().is_none());
        }
        let refused = run_within(limits, || 1).unwrap_err();
        assert_eq!(refused.status, Status::Overloaded);
        // Others go on.
        assert_eq!(run_within(within(1 << 20, LONG), || 1).unwrap(), Some(1));
    }

    #[test]
    fn a_job_that_ends_after_all_leaves_nothing_behind() {
        static ONE: LeftBehind = LeftBehind::new("jobs");
        let limits = Limits { left_behind: &ONE, ..within(1 << 20, Duration::from_millis(1)) };
        let (go_on, held) = std::sync::mpsc::channel::<()>();
        assert!(run_within(limits, move || held.recv().is_ok()).unwrap().is_none());
        assert_eq!(ONE.count.load(Ordering::Relaxed), 1);
        go_on.send(()).unwrap();
        while ONE.count.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
    }
}
