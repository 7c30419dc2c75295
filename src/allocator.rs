//! What glibc's allocator keeps of memory that was given back.
//!
//! By itself glibc raises both its bounds with the largest block that was ever freed, up to 32 and
//! 64 MiB. Rows that wait for their file come and go in such blocks, and left the process larger.

/// Blocks from here on come from the system and go back to it: what glibc begins with.
const MAPPED_BYTES_MIN: i32 = 128 << 10;

/// Freed memory that stays at the end of a heap, for smaller blocks asked for soon.
const KEPT_BYTES_MAX: i32 = 1 << 20;

/// Has the allocator hold to fixed bounds. To be called before any thread starts.
#[expect(unsafe_code, reason = "the C library's setting has no safe wrapper")]
pub fn bound() {
    // SAFETY: it takes two numbers and locks the heap while it changes its setting; a value that it
    // refuses changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    #[test]
    #[expect(unsafe_code, reason = "the C library's statistics have no safe wrapper")]
    fn a_large_block_that_was_freed_leaves_the_next_one_outside_the_heap() {
        super::bound();
        drop(black_box(vec![1_u8; 24 << 20]));
        let block = black_box(vec![1_u8; 16 << 20]);
        // SAFETY: it only reads the allocator's own numbers.
        let mapped_bytes = unsafe { libc::mallinfo2() }.hblkhd;
        assert!(mapped_bytes >= block.len(), "{mapped_bytes} bytes outside the heaps");
    }
}
