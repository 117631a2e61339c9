//! Grammar and matcher.

use std::ffi::c_char;

use super::{give_handle, guarded, run, Slice};
use crate::grammar::{Grammar, GrammarMatcher};
use crate::tokenizer::Tokenizer;

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_grammar_from_json_schema(
    tokenizer: &Tokenizer,
    schema: Slice,
    grammar: *mut *mut Grammar,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        give_handle(grammar, error, || tokenizer.grammars()?.from_json_schema(&schema.text()))
    }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_grammar_from_lark(
    tokenizer: &Tokenizer,
    lark: Slice,
    grammar: *mut *mut Grammar,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { give_handle(grammar, error, || tokenizer.grammars()?.from_lark(&lark.text())) }
}

#[no_mangle]
pub extern "C" fn onnxlocal_grammar_size_bytes(grammar: &Grammar) -> usize {
    grammar.size_bytes
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_matcher_new(
    grammar: &Grammar,
    matcher: *mut *mut GrammarMatcher,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { give_handle(matcher, error, || Ok(grammar.matcher())) }
}

#[no_mangle]
pub extern "C" fn onnxlocal_matcher_mask_words(matcher: &GrammarMatcher) -> usize {
    matcher.mask_words()
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_matcher_mask(
    matcher: &mut GrammarMatcher,
    words: *mut u32,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        run(error, || {
            let count = matcher.mask_words();
            if count == 0 {
                return Ok(());
            }
            matcher.mask(std::slice::from_raw_parts_mut(words, count))
        })
    }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_matcher_commit(
    matcher: &mut GrammarMatcher,
    token: u32,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { run(error, || matcher.commit(token)) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_matcher_rollback(
    matcher: &mut GrammarMatcher,
    count: u32,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { run(error, || matcher.rollback(count)) }
}

/// A matcher that failed accepts nothing.
#[no_mangle]
pub extern "C" fn onnxlocal_matcher_is_accepting(matcher: &mut GrammarMatcher) -> bool {
    guarded(|| matcher.is_accepting()).unwrap_or(false)
}
