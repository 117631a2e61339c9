//! The bytes of every token, and how bytes become text again.

use tokenizers::decoders::metaspace::Metaspace;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{DecoderWrapper, Tokenizer};

use crate::error::{Result, Status, TextError};

/// A vocabulary beyond this is not a model's; ids may have holes, and each costs a few bytes.
const IDS_MAX: u32 = 8 << 20;

/// How the tokenizer's own decoder turns tokens into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoding {
    /// GPT-2: each character of a token stands for a byte.
    ByteLevel,
    /// SentencePiece: a character for the space, `<0xE2>` for a byte that has no token.
    SentencePiece {
        /// Up to this many spaces are taken from the front of the text.
        leading_spaces: usize,
        /// The first token loses all its spaces (the `Metaspace` decoder).
        first_token_without_spaces: bool,
    },
    /// Anything else: only the library knows.
    Library,
}

/// One entry per token id: its bytes in the text (special tokens: their spelling).
pub struct Vocabulary {
    pub decoding: Decoding,
    bytes: Vec<u8>,
    /// Token `i` is `bytes[ends[i - 1]..ends[i]]`.
    ends: Vec<u32>,
    special: Vec<bool>,
}

impl Vocabulary {
    pub fn new(hf: &Tokenizer, is_special: impl Fn(&str) -> bool) -> Result<Self> {
        if hf.get_decoder().is_some_and(strips_the_end) {
            return Err(TextError::new(
                Status::Unsupported,
                "the decoder strips the end of texts (Strip with \"stop\" above 0), which can't be \
                 done as they grow",
            ));
        }
        let (decoding, space) = decoding_of(hf.get_decoder());
        let tokens = hf.get_vocab(true);
        let size = tokens.values().max().map_or(0, |&id| id as u64 + 1);
        if size > IDS_MAX as u64 {
            return Err(TextError::corrupt(format!(
                "token id {} found, at most {IDS_MAX} are possible",
                size - 1
            )));
        }
        let mut by_id = vec![""; size as usize];
        for (token, &id) in &tokens {
            by_id[id as usize] = token;
        }
        let byte_of = byte_level_table();
        let mut result =
            Self { decoding, bytes: Vec::new(), ends: Vec::new(), special: Vec::new() };
        for token in by_id {
            let special = !token.is_empty() && is_special(token);
            match decoding {
                Decoding::ByteLevel if !special => {
                    push_byte_level(token, &byte_of, &mut result.bytes)
                }
                Decoding::SentencePiece { .. } if !special => {
                    push_sentence_piece(token, space, &mut result.bytes)
                }
                _ => result.bytes.extend_from_slice(token.as_bytes()),
            }
            result.ends.push(result.bytes.len() as u32);
            result.special.push(special);
        }
        Ok(result)
    }

    /// One more than the highest id.
    pub fn size(&self) -> usize {
        self.ends.len()
    }

    /// Ids that no token has, as a model's padded output may give, are empty.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let index = id as usize;
        if index >= self.ends.len() {
            return &[];
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }
}

/// GPT-2's table: printable bytes stand for themselves, the others for U+0100 and up.
fn byte_level_table() -> [Option<u8>; 0x144] {
    let mut table = [None; 0x144];
    let mut moved = 0x100;
    for byte in 0..=255u8 {
        let is_printable = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let character = if is_printable { byte as usize } else { moved };
        moved += usize::from(!is_printable);
        table[character] = Some(byte);
    }
    table
}

/// As the library: a token with a character that stands for no byte is taken as it is.
fn push_byte_level(token: &str, byte_of: &[Option<u8>; 0x144], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for c in token.chars() {
        match byte_of.get(c as usize).copied().flatten() {
            Some(byte) => bytes.push(byte),
            None => {
                bytes.truncate(start);
                bytes.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

fn push_sentence_piece(token: &str, space: char, bytes: &mut Vec<u8>) {
    let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    match hex.filter(|hex| hex.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
        Some(byte) => bytes.push(byte),
        None => bytes.extend_from_slice(token.replace(space, " ").as_bytes()),
    }
}

/// The library panics where such a step meets a text shorter than what it strips.
fn strips_the_end(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::Strip(strip) => strip.stop > 0,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(strips_the_end),
        _ => false,
    }
}

fn decoding_of(decoder: Option<&DecoderWrapper>) -> (Decoding, char) {
    match decoder {
        Some(DecoderWrapper::ByteLevel(_)) => (Decoding::ByteLevel, ' '),
        Some(DecoderWrapper::Metaspace(metaspace)) => metaspace_decoding(metaspace),
        Some(DecoderWrapper::Sequence(sequence)) => match sequence.get_decoders() {
            [DecoderWrapper::ByteLevel(_)] => (Decoding::ByteLevel, ' '),
            steps => sequence_decoding(steps).unwrap_or((Decoding::Library, ' ')),
        },
        _ => (Decoding::Library, ' '),
    }
}

fn metaspace_decoding(metaspace: &Metaspace) -> (Decoding, char) {
    let first_token_without_spaces = metaspace.prepend_scheme != PrependScheme::Never;
    (
        Decoding::SentencePiece { leading_spaces: 0, first_token_without_spaces },
        metaspace.get_replacement(),
    )
}

/// `[Replace(c, " "), ByteFallback, Fuse, Strip(" ", n, 0)]`, the last two maybe missing: what
/// Llama, Mistral and Gemma have.
fn sequence_decoding(steps: &[DecoderWrapper]) -> Option<(Decoding, char)> {
    let (DecoderWrapper::Replace(replace), DecoderWrapper::ByteFallback(_)) =
        (steps.first()?, steps.get(1)?)
    else {
        return None;
    };
    let leading_spaces = match &steps[2..] {
        [] | [DecoderWrapper::Fuse(_)] => 0,
        [DecoderWrapper::Fuse(_), DecoderWrapper::Strip(strip)]
            if strip.content == ' ' && strip.stop == 0 =>
        {
            strip.start
        }
        _ => return None,
    };
    // The pattern has no accessor.
    let json = serde_json::to_value(replace).ok()?;
    let mut pattern = json["pattern"]["String"].as_str()?.chars();
    let (Some(space), None) = (pattern.next(), pattern.next()) else { return None };
    (replace.content == " ").then_some((
        Decoding::SentencePiece { leading_spaces, first_token_without_spaces: false },
        space,
    ))
}
