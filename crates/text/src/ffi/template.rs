//! Chat template.

use std::ffi::c_char;

use super::{give_handle, give_tokens, leak, run, Piece, Pieces, Slice, Text, Tokens};
use crate::abilities::Abilities;
use crate::chat_template::{ChatTemplate, Now};
use crate::conversation::{Block, Conversation, Message, Role, Tool};
use crate::error::{Result, TextError};
use crate::tokenizer::Tokenizer;

#[repr(C)]
pub struct CBlock {
    kind: i32,
    text: Slice,
    id: Slice,
    name: Slice,
}

#[repr(C)]
pub struct CMessage {
    role: i32,
    blocks: *const CBlock,
    count: usize,
}

#[repr(C)]
pub struct CTool {
    name: Slice,
    description: Slice,
    input_schema: Slice,
}

#[repr(C)]
pub struct CConversation {
    messages: *const CMessage,
    message_count: usize,
    tools: *const CTool,
    tool_count: usize,
    enable_thinking: i32,
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
        give_handle(template, error, || {
            ChatTemplate::compile(&source.text(), &bos_token.text(), &eos_token.text())
        })
    }
}

#[no_mangle]
pub extern "C" fn onnxlocal_template_abilities(template: &ChatTemplate) -> Abilities {
    template.abilities()
}

/// # Safety
/// `data` points to `count` values that outlive the result, or is anything where `count` is 0.
unsafe fn span<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if count == 0 || data.is_null() {
        return &[];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(data, count) }
}

/// # Safety
/// What the conversation points to lives through the call.
unsafe fn owned(conversation: &CConversation) -> Result<Conversation> {
    // SAFETY: as above.
    let own = |slice: Slice| unsafe { slice.text() }.into_owned();
    // SAFETY: as above.
    let (messages, tools) = unsafe {
        (
            span(conversation.messages, conversation.message_count),
            span(conversation.tools, conversation.tool_count),
        )
    };
    let block = |block: &CBlock| {
        let (text, id, name) = (own(block.text), own(block.id), own(block.name));
        Ok(match block.kind {
            0 => Block::Text(text),
            1 => Block::Thinking(text),
            2 => Block::ToolUse { id, name, input: text },
            3 => Block::ToolResult { id, name, text },
            other => return Err(TextError::internal(format!("block of kind {other}"))),
        })
    };
    let message = |message: &CMessage| {
        let role = match message.role {
            0 => Role::System,
            1 => Role::User,
            2 => Role::Assistant,
            other => return Err(TextError::internal(format!("role {other}"))),
        };
        // SAFETY: as above.
        let blocks = unsafe { span(message.blocks, message.count) };
        Ok(Message { role, blocks: blocks.iter().map(block).collect::<Result<_>>()? })
    };
    let tool = |tool: &CTool| Tool {
        name: own(tool.name),
        description: own(tool.description),
        input_schema: own(tool.input_schema),
    };
    Ok(Conversation {
        messages: messages.iter().map(message).collect::<Result<_>>()?,
        tools: tools.iter().map(tool).collect(),
        enable_thinking: match conversation.enable_thinking {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_template_render(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    conversation: &CConversation,
    now: &Now,
    text: *mut Text,
    pieces: *mut Pieces,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        run(error, || {
            let prompt = template.render(&tokenizer.core, owned(conversation)?, *now)?;
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
    conversation: &CConversation,
    now: &Now,
    tokens: *mut Tokens,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        give_tokens(tokens, error, || {
            let prompt = template.render(&tokenizer.core, owned(conversation)?, *now)?;
            tokenizer.core.encode_with_stand_ins(&prompt)
        })
    }
}
