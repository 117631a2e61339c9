//! A Hugging Face `tokenizer.json`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use crate::error::{Result, Status, TextError};
use crate::grammar::GrammarFactory;
use crate::stand_in::StandIns;
use crate::token_stream::TokenStream;
use crate::vocabulary::{Decoding, Vocabulary};

/// A longer text is refused: the library needs some hundred times its size in memory.
pub const TEXT_BYTES_MAX: usize = 64 << 20;

/// What streams, templates and grammars share. Immutable.
pub struct Core {
    /// Special tokens are found by their stand-ins alone: the library is told to take their
    /// spelling as text, and each stand-in is an added token with the same whitespace rules.
    hf: HfTokenizer,
    pub stand_ins: StandIns,
    /// Special token ids in the order of `stand_ins`.
    special_ids: Vec<u32>,
    /// The id that the library gave the first stand-in; the others follow.
    stand_in_id: u32,
    pub vocabulary: Vocabulary,
}

pub struct Tokenizer {
    pub core: Arc<Core>,
    /// Made for the first grammar: it costs a few times what loading does.
    grammars: OnceLock<Result<Arc<GrammarFactory>>>,
}

impl Tokenizer {
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let hf = HfTokenizer::from_bytes(json)
            .map_err(|error| TextError::corrupt(format!("not a tokenizer.json: {error}")))?;
        Ok(Self { core: Arc::new(Core::new(hf)?), grammars: OnceLock::new() })
    }

    pub fn grammars(&self) -> Result<Arc<GrammarFactory>> {
        let make = || GrammarFactory::new(self.core.clone()).map(Arc::new);
        self.grammars.get_or_init(make).clone()
    }

    pub fn stream(&self) -> TokenStream {
        TokenStream::new(self.core.clone())
    }
}

/// Flagged special, or spelled like a control token: several models leave the flag out on those
/// (Qwen2.5's `<|fim_prefix|>`). Others without the flag (`<think>`, runs of spaces) are text.
fn is_control(token: &AddedToken) -> bool {
    let content = token.content.as_str();
    let is_between = |open: &str, close: &str| {
        content.len() > open.len() + close.len()
            && content.starts_with(open)
            && content.ends_with(close)
    };
    token.special || is_between("<|", "|>") || is_between("<｜", "｜>")
}

impl Core {
    fn new(mut hf: HfTokenizer) -> Result<Self> {
        // Prompts are whole and single here, whatever the file says about training.
        hf.with_truncation(None)
            .map_err(|error| TextError::corrupt(format!("truncation: {error}")))?;
        hf.with_padding(None);

        let mut specials: Vec<(u32, AddedToken)> = hf
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| !token.content.is_empty() && is_control(token))
            .collect();
        specials.sort_by_key(|(id, _)| *id);
        let spellings: HashSet<&str> = specials.iter().map(|(_, t)| t.content.as_str()).collect();
        let vocabulary = Vocabulary::new(&hf, |token| spellings.contains(token))?;

        let flagged: Vec<AddedToken> =
            specials.iter().map(|(_, token)| token.clone().special(true)).collect();
        hf.add_special_tokens(&flagged);
        hf.set_encode_special_tokens(true);
        let stand_in_id = Self::add_stand_ins(&mut hf, &specials)?;
        if (stand_in_id as usize) < vocabulary.size() {
            return Err(TextError::new(
                Status::Unsupported,
                format!(
                    "the vocabulary skips ids: {} is the highest, {stand_in_id} is free",
                    vocabulary.size() - 1
                ),
            ));
        }
        let special_ids = specials.iter().map(|(id, _)| *id).collect();
        let stand_ins = StandIns::new(specials.into_iter().map(|(_, t)| t.content).collect())?;
        Ok(Self { hf, stand_ins, special_ids, stand_in_id, vocabulary })
    }

    fn add_stand_ins(hf: &mut HfTokenizer, specials: &[(u32, AddedToken)]) -> Result<u32> {
        let added: Vec<AddedToken> = specials
            .iter()
            .enumerate()
            .map(|(index, (_, token))| {
                AddedToken::from(StandIns::stand_in(index), false)
                    .single_word(token.single_word)
                    .lstrip(token.lstrip)
                    .rstrip(token.rstrip)
                    .normalized(false)
            })
            .collect();
        hf.add_tokens(&added);
        let Some(first) = added.first() else { return Ok(u32::MAX) };
        let first_id = hf.token_to_id(&first.content);
        let follow = added
            .iter()
            .enumerate()
            .all(|(i, token)| hf.token_to_id(&token.content) == first_id.map(|f| f + i as u32));
        first_id
            .filter(|_| follow)
            .ok_or_else(|| TextError::corrupt("the vocabulary has a token U+FDD0 U+100000"))
    }

    pub fn hf(&self) -> &HfTokenizer {
        &self.hf
    }

    /// `text` to tokens, no beginning-of-sequence token.
    pub fn encode(&self, text: &str, may_spell_special: bool) -> Result<Vec<u32>> {
        let text = self.stand_ins.sanitize(text);
        if !may_spell_special {
            return self.encode_with_stand_ins(&text);
        }
        let parsed: Cow<str> = self.stand_ins.parse(&text);
        self.encode_with_stand_ins(&parsed)
    }

    /// `text` as an input of its own: it spells no special token, and those that the tokenizer's
    /// post-processor adds (`[CLS]`, `</s>`) stand around it.
    pub fn encode_input(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_by_library(&self.stand_ins.sanitize(text), true)
    }

    /// Text in which stand-ins, and they alone, are special tokens.
    pub fn encode_with_stand_ins(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_by_library(text, false)
    }

    fn encode_by_library(&self, text: &str, post_processed: bool) -> Result<Vec<u32>> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TextError::new(
                Status::TooLarge,
                format!("text of {} bytes, at most {TEXT_BYTES_MAX} are possible", text.len()),
            ));
        }
        let encoding = self
            .hf
            .encode_fast(text, post_processed)
            .map_err(|error| TextError::internal(format!("tokenizing: {error}")))?;
        let true_id = |id: u32| match id.checked_sub(self.stand_in_id) {
            Some(index) => self.special_ids.get(index as usize).copied().unwrap_or(id),
            None => id,
        };
        Ok(encoding.get_ids().iter().map(|&id| true_id(id)).collect())
    }

    /// Tokens to text, special tokens left out: what a stream gives, in one piece.
    pub fn decode(self: &Arc<Self>, ids: &[u32]) -> Result<String> {
        if self.vocabulary.decoding == Decoding::Library {
            return self.decode_by_library(ids);
        }
        let mut stream = TokenStream::new(self.clone());
        let mut text = String::with_capacity(ids.len() * 4);
        for &id in ids {
            text.push_str(stream.push(id)?);
        }
        text.push_str(stream.finish()?);
        Ok(text)
    }

    pub fn decode_by_library(&self, ids: &[u32]) -> Result<String> {
        self.hf.decode(ids, true).map_err(|error| TextError::internal(format!("decoding: {error}")))
    }

    pub fn token_id(&self, content: &str) -> Option<u32> {
        self.hf.token_to_id(content).filter(|&id| (id as usize) < self.vocabulary.size())
    }
}
