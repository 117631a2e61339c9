//! Tokens to text, a token at a time: the text that became whole with each.

use std::sync::Arc;

use tokenizers::tokenizer::step_decode_stream;

use crate::error::{Result, TextError};
use crate::tokenizer::Core;
use crate::vocabulary::Decoding;

pub struct TokenStream {
    core: Arc<Core>,
    /// Bytes that may be the start of a character; at most three after each push.
    pending: Vec<u8>,
    text: String,
    is_first: bool,
    leading_spaces: usize,
    library: LibraryState,
}

#[derive(Default)]
struct LibraryState {
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl TokenStream {
    pub fn new(core: Arc<Core>) -> Self {
        let leading_spaces = match core.vocabulary.decoding {
            Decoding::SentencePiece { leading_spaces, .. } => leading_spaces,
            _ => 0,
        };
        Self {
            core,
            pending: Vec::new(),
            text: String::new(),
            is_first: true,
            leading_spaces,
            library: LibraryState::default(),
        }
    }

    /// The text is valid until the next call.
    pub fn push(&mut self, id: u32) -> Result<&str> {
        self.text.clear();
        if self.core.vocabulary.is_special(id) || id as usize >= self.core.vocabulary.size() {
            return Ok(&self.text);
        }
        if self.core.vocabulary.decoding == Decoding::Library {
            self.push_by_library(id)?;
        } else {
            self.push_bytes(id);
            self.take_whole_characters();
        }
        Ok(&self.text)
    }

    /// As `push`, but a special token's spelling is its text. No character spans it: what was held
    /// back comes first.
    pub fn push_visible(&mut self, id: u32) -> Result<&str> {
        if !self.core.vocabulary.is_special(id) {
            return self.push(id);
        }
        self.finish()?;
        self.is_first = false;
        self.leading_spaces = 0;
        self.text.push_str(&String::from_utf8_lossy(self.core.vocabulary.bytes(id)));
        Ok(&self.text)
    }

    pub fn finish(&mut self) -> Result<&str> {
        self.text.clear();
        if self.core.vocabulary.decoding == Decoding::Library {
            let all = self.core.decode_by_library(&self.library.ids)?;
            self.text.push_str(all.strip_prefix(self.library.prefix.as_str()).unwrap_or(""));
            self.library = LibraryState::default();
        } else {
            self.text.push_str(&String::from_utf8_lossy(&self.pending));
            self.pending.clear();
        }
        Ok(&self.text)
    }

    fn push_bytes(&mut self, id: u32) {
        let mut bytes = self.core.vocabulary.bytes(id);
        if self.is_first {
            self.is_first = false;
            if let Decoding::SentencePiece { first_token_without_spaces: true, .. } =
                self.core.vocabulary.decoding
            {
                self.pending.extend(bytes.iter().filter(|&&byte| byte != b' '));
                return;
            }
        }
        while self.leading_spaces > 0 && !bytes.is_empty() {
            if bytes[0] != b' ' {
                self.leading_spaces = 0;
                break;
            }
            self.leading_spaces -= 1;
            bytes = &bytes[1..];
        }
        self.pending.extend_from_slice(bytes);
    }

    /// What `String::from_utf8_lossy` would give, but for the start of a character at the end.
    fn take_whole_characters(&mut self) {
        let mut taken = 0;
        loop {
            let rest = &self.pending[taken..];
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    self.text.push_str(valid);
                    taken = self.pending.len();
                    break;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    self.text.push_str(&String::from_utf8_lossy(&rest[..valid]));
                    taken += valid;
                    let Some(ill_formed) = error.error_len() else { break };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    taken += ill_formed;
                }
            }
        }
        self.pending.drain(..taken);
    }

    fn push_by_library(&mut self, id: u32) -> Result<()> {
        let state = &mut self.library;
        let step = step_decode_stream(
            self.core.hf(),
            id,
            true,
            &mut state.ids,
            &mut state.prefix,
            &mut state.prefix_index,
        );
        match step {
            Ok(text) => self.text.push_str(text.as_deref().unwrap_or("")),
            Err(error) => return Err(TextError::internal(format!("decoding: {error}"))),
        }
        Ok(())
    }
}
