//! An allocator that counts: what a stage allocates, and what it holds.
//!
//! A program or a test that wants to know installs it:
//! `#[global_allocator] static ALLOCATOR: Counting = Counting;`

#![expect(unsafe_code, reason = "an allocator is an unsafe trait; this one hands all on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static HELD_BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, counted.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

/// What all threads have allocated, or some work of theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Allocations, a growth of one counted as another.
    pub allocations: u64,
    pub held_bytes: i64,
}

impl Usage {
    /// So far.
    pub fn now() -> Self {
        let allocations = ALLOCATIONS.load(Ordering::Relaxed);
        Self { allocations, held_bytes: HELD_BYTES.load(Ordering::Relaxed) }
    }

    /// Adds what `work` takes to this.
    pub fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = Self::now();
        let result = work();
        let after = Self::now();
        self.allocations += after.allocations - before.allocations;
        self.held_bytes += after.held_bytes - before.held_bytes;
        result
    }
}

fn count(grown_bytes: i64) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    HELD_BYTES.fetch_add(grown_bytes, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came, so its promises are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps what `GlobalAlloc::alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above; the block is one of the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}
