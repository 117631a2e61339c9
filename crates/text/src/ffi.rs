//! The C ABI of `include/onnxlocal_text.h`, where ownership is told. Every entry catches panics.

use std::borrow::Cow;
use std::ffi::{c_char, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::{Arc, Once};

use crate::chat_template::{ChatTemplate, Message, Now, Role};
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

#[repr(C)]
pub struct CMessage {
    role: i32,
    text: Slice,
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

/// # Safety
/// As the header says; so for all below.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_tokenizer_load(
    json: Slice,
    tokenizer: *mut *mut Tokenizer,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        run(error, || {
            *tokenizer = Box::into_raw(Box::new(Tokenizer::from_json(json.bytes())?));
            Ok(())
        })
    }
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
    unsafe {
        run(error, || {
            let (data, size) = leak(tokenizer.core.encode(&text.text(), may_spell_special)?);
            *tokens = Tokens { data, size };
            Ok(())
        })
    }
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
        run(error, || {
            let ids = if count == 0 { &[] } else { std::slice::from_raw_parts(tokens, count) };
            let (data, size) = leak(tokenizer.core.decode(ids)?.into_bytes());
            *text = Text { data, size };
            Ok(())
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
    unsafe {
        run(error, || {
            let whole = stream.push(token)?;
            *text = Slice { data: whole.as_ptr(), size: whole.len() };
            Ok(())
        })
    }
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
    unsafe {
        run(error, || {
            let rest = stream.finish()?;
            *text = Slice { data: rest.as_ptr(), size: rest.len() };
            Ok(())
        })
    }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_template_compile(
    source: Slice,
    bos_token: Slice,
    eos_token: Slice,
    template: *mut *mut ChatTemplate,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        run(error, || {
            let compiled =
                ChatTemplate::compile(&source.text(), &bos_token.text(), &eos_token.text())?;
            *template = Box::into_raw(Box::new(compiled));
            Ok(())
        })
    }
}

/// # Safety
/// `messages` points to `count` messages whose texts live through the call.
unsafe fn owned_messages(messages: *const CMessage, count: usize) -> Result<Vec<Message>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: as above.
    let messages = unsafe { std::slice::from_raw_parts(messages, count) };
    let owned = messages.iter().map(|message| {
        let role = match message.role {
            0 => Role::System,
            1 => Role::User,
            2 => Role::Assistant,
            other => return Err(TextError::internal(format!("role {other}"))),
        };
        // SAFETY: as above.
        Ok(Message { role, text: unsafe { message.text.text() }.into_owned() })
    });
    owned.collect()
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_template_render(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    messages: *const CMessage,
    count: usize,
    now: &Now,
    text: *mut Text,
    pieces: *mut Pieces,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        run(error, || {
            let messages = owned_messages(messages, count)?;
            let prompt = template.render(&tokenizer.core, messages, *now)?;
            let mut flat = String::with_capacity(prompt.len());
            let mut ends = Vec::new();
            for (piece, is_special) in tokenizer.core.stand_ins.pieces(&prompt) {
                flat.push_str(piece);
                ends.push(Piece { end: flat.len(), is_special });
            }
            let (data, size) = leak(flat.into_bytes());
            *text = Text { data, size };
            let (data, size) = leak(ends);
            *pieces = Pieces { data, size };
            Ok(())
        })
    }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_template_render_tokens(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    messages: *const CMessage,
    count: usize,
    now: &Now,
    tokens: *mut Tokens,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        run(error, || {
            let messages = owned_messages(messages, count)?;
            let prompt = template.render(&tokenizer.core, messages, *now)?;
            let (data, size) = leak(tokenizer.core.encode_with_stand_ins(&prompt)?);
            *tokens = Tokens { data, size };
            Ok(())
        })
    }
}

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
        run(error, || {
            let compiled = tokenizer.grammars()?.from_json_schema(&schema.text())?;
            *grammar = Box::into_raw(Box::new(compiled));
            Ok(())
        })
    }
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
    unsafe {
        run(error, || {
            *matcher = Box::into_raw(Box::new(grammar.matcher()));
            Ok(())
        })
    }
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
