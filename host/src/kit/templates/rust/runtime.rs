//! What the bindings stand on: memory that crosses the border between host and plugin, and the start of static values.
//!
//! With wit-bindgen's macro this comes from its crate. Here the bindings are written out, and so is this, so that a plugin
//! depends on nothing that must be fetched.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    ptr::{NonNull, null_mut},
};

/// Memory for what the host hands over: the canonical ABI's `realloc`, which only ever grows.
///
/// # Safety
/// `old` and `old_size` are what this returned before, with the same `align`.
#[cfg(target_family = "wasm")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    size: usize,
) -> *mut u8 {
    if size == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    // SAFETY: The canonical ABI asks for alignments that are powers of two, and what is old came from here.
    let pointer = unsafe {
        if old_size == 0 {
            alloc(Layout::from_size_align_unchecked(size, align))
        } else {
            let layout = Layout::from_size_align_unchecked(old_size, align);
            std::alloc::realloc(old, layout, size)
        }
    };
    if pointer.is_null() {
        // No message: that would bring in all of the standard library's formatting.
        core::arch::wasm32::unreachable()
    }
    pointer
}

/// Keeps [`cabi_realloc`] from being taken for unused.
pub fn maybe_link_cabi_realloc() {
    #[cfg(target_family = "wasm")]
    {
        #[used]
        static KEPT: unsafe extern "C" fn(*mut u8, usize, usize, usize) -> *mut u8 = cabi_realloc;
    }
}

/// Runs the constructors of static values, once: the linker leaves that to whoever calls this.
#[cfg(target_family = "wasm")]
pub fn run_ctors_once() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    static DONE: AtomicBool = AtomicBool::new(false);
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    if !DONE.swap(true, Relaxed) {
        // SAFETY: The linker makes it, and it is called before anything that needs it.
        unsafe { __wasm_call_ctors() }
    }
}

/// A block that lives until the call is over.
pub struct Cleanup {
    pointer: NonNull<u8>,
    layout: Layout,
}

impl Cleanup {
    /// Memory of this layout, and what frees it; a null pointer and nothing where there is nothing to hold.
    pub fn new(layout: Layout) -> (*mut u8, Option<Self>) {
        if layout.size() == 0 {
            return (null_mut(), None);
        }
        // SAFETY: The size is not zero.
        let Some(pointer) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        (pointer.as_ptr(), Some(Self { pointer, layout }))
    }

    /// Leaves the memory to somebody else.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: `new` got it with this layout, and nobody has freed it.
        unsafe { dealloc(self.pointer.as_ptr(), self.layout) }
    }
}
