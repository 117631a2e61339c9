//! The C ABI of `include/onnxlocal_text.h`, where ownership is told. Every entry catches panics.

mod grammar;
mod pdf;
mod schema;
mod template;
mod tokenizer;

use std::borrow::Cow;
use std::ffi::{c_char, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::{Arc, Once};

use crate::chat_template::ChatTemplate;
use crate::error::{Result, Status, TextError};
use crate::grammar::{Grammar, GrammarMatcher};
use crate::token_stream::TokenStream;
use crate::tokenizer::Tokenizer;

/// Borrowed bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    data: *const u8,
    size: usize,
}

/// Bytes that the caller owns and gives back.
#[repr(C)]
pub struct Text {
    data: *mut u8,
    size: usize,
}

#[repr(C)]
pub struct Tokens {
    data: *mut u32,
    size: usize,
}

/// `text[..end]` ends this piece; it starts where the last ended.
#[repr(C)]
pub struct Piece {
    end: usize,
    is_special: bool,
}

#[repr(C)]
pub struct Pieces {
    data: *mut Piece,
    size: usize,
}

impl Slice {
    /// # Safety
    /// `data` points to `size` bytes that outlive the result, or is anything where `size` is 0.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.size == 0 || self.data.is_null() {
            return &[];
        }
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }

    /// Ill-formed UTF-8 becomes U+FFFD.
    /// # Safety
    /// As `bytes`.
    unsafe fn text<'a>(self) -> Cow<'a, str> {
        // SAFETY: as above.
        String::from_utf8_lossy(unsafe { self.bytes() })
    }
}

fn leak<T>(values: Vec<T>) -> (*mut T, usize) {
    let values = values.into_boxed_slice();
    let size = values.len();
    (Box::into_raw(values).cast(), size)
}

/// # Safety
/// `data` and `size` came from `leak`, once.
unsafe fn release<T>(data: *mut T, size: usize) {
    if !data.is_null() {
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)) });
    }
}

fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    // A panic is reported as an error; a library does not write to stderr.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| text.to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(TextError::internal(format!("panic: {message}")))
    })
}

/// Runs `call`; on failure `*error` is a message for `onnxlocal_error_free`.
/// # Safety
/// `error` can be written.
unsafe fn run(error: *mut *mut c_char, call: impl FnOnce() -> Result<()>) -> i32 {
    match guarded(call) {
        Ok(()) => Status::Ok as i32,
        Err(failure) => {
            let message = CString::new(failure.message.replace('\0', "\\0")).unwrap_or_default();
            // SAFETY: the caller's.
            unsafe { *error = message.into_raw() };
            failure.status as i32
        }
    }
}

/// Puts what `make` gives behind a handle that the caller frees.
/// # Safety
/// `handle` and `error` can be written.
unsafe fn give_handle<T>(
    handle: *mut *mut T,
    error: *mut *mut c_char,
    make: impl FnOnce() -> Result<T>,
) -> i32 {
    // SAFETY: the caller's.
    unsafe {
        run(error, || {
            *handle = Box::into_raw(Box::new(make()?));
            Ok(())
        })
    }
}

/// The caller frees the text.
/// # Safety
/// `text` and `error` can be written.
unsafe fn give_text(
    text: *mut Text,
    error: *mut *mut c_char,
    make: impl FnOnce() -> Result<String>,
) -> i32 {
    // SAFETY: the caller's.
    unsafe {
        run(error, || {
            let (data, size) = leak(make()?.into_bytes());
            *text = Text { data, size };
            Ok(())
        })
    }
}

/// The caller frees the tokens.
/// # Safety
/// `tokens` and `error` can be written.
unsafe fn give_tokens(
    tokens: *mut Tokens,
    error: *mut *mut c_char,
    make: impl FnOnce() -> Result<Vec<u32>>,
) -> i32 {
    // SAFETY: the caller's.
    unsafe {
        run(error, || {
            let (data, size) = leak(make()?);
            *tokens = Tokens { data, size };
            Ok(())
        })
    }
}

/// # Safety
/// `message` came from a failed call, once, or is null.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_error_free(message: *mut c_char) {
    if !message.is_null() {
        // SAFETY: as above.
        drop(unsafe { CString::from_raw(message) });
    }
}

/// # Safety
/// `text` came from this library, once.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_text_free(text: Text) {
    // SAFETY: as above.
    unsafe { release(text.data, text.size) }
}

/// # Safety
/// `tokens` came from this library, once.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_tokens_free(tokens: Tokens) {
    // SAFETY: as above.
    unsafe { release(tokens.data, tokens.size) }
}

/// # Safety
/// `pieces` came from this library, once.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_pieces_free(pieces: Pieces) {
    // SAFETY: as above.
    unsafe { release(pieces.data, pieces.size) }
}

macro_rules! free_function {
    ($name:ident, $type:ty) => {
        /// # Safety
        /// The handle came from this library, once, or is null.
        #[no_mangle]
        pub unsafe extern "C" fn $name(handle: *mut $type) {
            if !handle.is_null() {
                // SAFETY: as above.
                let _ = guarded(|| Ok(drop(unsafe { Box::from_raw(handle) })));
            }
        }
    };
}
free_function!(onnxlocal_tokenizer_free, Tokenizer);
free_function!(onnxlocal_stream_free, TokenStream);
free_function!(onnxlocal_template_free, ChatTemplate);
free_function!(onnxlocal_grammar_free, Grammar);
free_function!(onnxlocal_matcher_free, GrammarMatcher);

/// Shared between threads: a compile error here is a broken promise of the header.
#[allow(dead_code)]
fn promises() {
    fn any_thread<T: Send + Sync>() {}
    fn one_thread_at_a_time<T: Send>() {}
    any_thread::<Tokenizer>();
    any_thread::<Arc<ChatTemplate>>();
    any_thread::<Grammar>();
    one_thread_at_a_time::<TokenStream>();
    one_thread_at_a_time::<GrammarMatcher>();
}
