//! Chat template.

use std::ffi::c_char;

use super::{leak, run, Piece, Pieces, Slice, Text, Tokens};
use crate::chat_template::{ChatTemplate, Message, Now, Role};
use crate::error::{Result, TextError};
use crate::tokenizer::Tokenizer;

#[repr(C)]
pub struct CMessage {
    role: i32,
    text: Slice,
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
