//! Tokenizer and token stream.

use std::ffi::c_char;
use std::ptr;

use super::{give_handle, give_text, give_tokens, guarded, run, Slice, Text, Tokens};
use crate::error::Result;
use crate::token_stream::TokenStream;
use crate::tokenizer::Tokenizer;

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_tokenizer_load(
    json: Slice,
    tokenizer: *mut *mut Tokenizer,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { give_handle(tokenizer, error, || Tokenizer::from_json(json.bytes())) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_tokenizer_encode(
    tokenizer: &Tokenizer,
    text: Slice,
    may_spell_special: bool,
    tokens: *mut Tokens,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { give_tokens(tokens, error, || tokenizer.core.encode(&text.text(), may_spell_special)) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_tokenizer_encode_input(
    tokenizer: &Tokenizer,
    text: Slice,
    tokens: *mut Tokens,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { give_tokens(tokens, error, || tokenizer.core.encode_input(&text.text())) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_tokenizer_decode(
    tokenizer: &Tokenizer,
    tokens: *const u32,
    count: usize,
    text: *mut Text,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        give_text(text, error, || {
            let ids = if count == 0 { &[] } else { std::slice::from_raw_parts(tokens, count) };
            tokenizer.core.decode(ids)
        })
    }
}

#[no_mangle]
pub extern "C" fn onnxlocal_tokenizer_vocabulary_size(tokenizer: &Tokenizer) -> usize {
    tokenizer.core.vocabulary.size()
}

#[no_mangle]
pub extern "C" fn onnxlocal_tokenizer_is_special(tokenizer: &Tokenizer, token: u32) -> bool {
    tokenizer.core.vocabulary.is_special(token)
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_tokenizer_token_id(
    tokenizer: &Tokenizer,
    content: Slice,
    token: *mut u32,
) -> bool {
    // SAFETY: the header's rules.
    let found = guarded(|| Ok(tokenizer.core.token_id(&unsafe { content.text() })));
    match found {
        Ok(Some(id)) => {
            // SAFETY: the header's rules.
            unsafe { *token = id };
            true
        }
        _ => false,
    }
}

#[no_mangle]
pub extern "C" fn onnxlocal_stream_new(tokenizer: &Tokenizer) -> *mut TokenStream {
    guarded(|| Ok(Box::into_raw(Box::new(tokenizer.stream())))).unwrap_or(ptr::null_mut())
}

/// The stream keeps the text.
/// # Safety
/// `text` and `error` can be written.
unsafe fn lend_text<'a>(
    text: *mut Slice,
    error: *mut *mut c_char,
    next: impl FnOnce() -> Result<&'a str>,
) -> i32 {
    // SAFETY: the caller's.
    unsafe {
        run(error, || {
            let whole = next()?;
            *text = Slice { data: whole.as_ptr(), size: whole.len() };
            Ok(())
        })
    }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_stream_push(
    stream: &mut TokenStream,
    token: u32,
    text: *mut Slice,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { lend_text(text, error, move || stream.push(token)) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_stream_push_visible(
    stream: &mut TokenStream,
    token: u32,
    text: *mut Slice,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { lend_text(text, error, move || stream.push_visible(token)) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_stream_finish(
    stream: &mut TokenStream,
    text: *mut Slice,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { lend_text(text, error, move || stream.finish()) }
}
