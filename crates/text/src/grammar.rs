//! Constrained decoding by llguidance: which tokens may come next.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv, INVALID_TOKEN};

use crate::error::{Result, Status, TextError};
use crate::limits::{self, LeftBehind, Limits};
use crate::tokenizer::Core;
use crate::vocabulary::Decoding;

/// Where a grammar is complete, one of these may end the answer. By spelling, since a
/// `tokenizer.json` does not say which of its special tokens end a turn.
const END_TOKENS: [&str; 12] = [
    "</s>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "<eos>",
    "<|im_end|>",
    "<|end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<end_of_turn>",
    "<|return|>",
];

/// All tools of a client with all their schemas are some 100 kB.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Compiling: the largest schema of our tests takes 20 MB.
pub const COMPILE_LIMITS: Limits = Limits {
    bytes: 512 << 20,
    time: Duration::from_secs(20),
    // llguidance follows references by recursion, 50 000 at most.
    stack_bytes: 512 << 20,
    left_behind: &GIVEN_UP,
};
/// What clients send to be compiled or checked.
pub static GIVEN_UP: LeftBehind = LeftBehind::new("schemas and grammars");

struct Environment {
    core: Arc<Core>,
    trie: TokTrie,
}

impl Environment {
    fn new(core: Arc<Core>) -> Self {
        let size = core.vocabulary.size() as u32;
        let words: Vec<Vec<u8>> = (0..size)
            .map(|id| {
                let bytes = core.vocabulary.bytes(id);
                if core.vocabulary.is_special(id) {
                    [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
                } else {
                    bytes.to_vec()
                }
            })
            .collect();
        let ends: Vec<TokenId> = END_TOKENS.iter().filter_map(|name| core.token_id(name)).collect();
        let info = TokRxInfo::new(size, ends.first().copied().unwrap_or(INVALID_TOKEN));
        let trie = TokTrie::from(&info, &words);
        let trie = if ends.len() > 1 { trie.with_eos_tokens(&ends) } else { trie };
        Self { core, trie }
    }
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            // Only where the text is over the limit; no tokens mean no forced tokens.
            self.core.encode(text, false).unwrap_or_default()
        })
    }
}

/// What all grammars over one tokenizer share: the trie of its tokens.
pub struct GrammarFactory {
    factory: ParserFactory,
    vocabulary_size: usize,
}

impl GrammarFactory {
    pub fn new(core: Arc<Core>) -> Result<Self> {
        if core.vocabulary.decoding == Decoding::Library {
            return Err(TextError::new(
                Status::Unsupported,
                "constrained decoding needs a byte-level or SentencePiece tokenizer",
            ));
        }
        let vocabulary_size = core.vocabulary.size();
        let environment: TokEnv = Arc::new(Environment::new(core));
        let mut factory = ParserFactory::new_simple(&environment)
            .map_err(|e| TextError::internal(e.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, vocabulary_size })
    }

    pub fn from_json_schema(self: &Arc<Self>, schema: &str) -> Result<Grammar> {
        within_size(schema, "JSON schema")?;
        let schema = serde_json::from_str(schema)
            .map_err(|error| TextError::invalid(format!("not a JSON schema: {error}")))?;
        self.compile("JSON schema", TopLevelGrammar::from_json_schema(schema))
    }

    pub fn from_lark(self: &Arc<Self>, lark: &str) -> Result<Grammar> {
        within_size(lark, "grammar")?;
        self.compile("grammar", TopLevelGrammar::from_lark(lark.to_string()))
    }

    /// llguidance bounds what it does; these bounds are for what it forgot.
    fn compile(self: &Arc<Self>, what: &str, grammar: TopLevelGrammar) -> Result<Grammar> {
        let factory = self.clone();
        let compiled = limits::run_counted(COMPILE_LIMITS, move || {
            let parser = factory.factory.create_parser(grammar);
            let matcher = Matcher::new(parser);
            match matcher.get_error() {
                Some(error) => Err(error),
                None => Ok(matcher),
            }
        })?;
        let (matcher, size_bytes) = compiled
            .ok_or_else(|| TextError::invalid(format!("{what}: too large or too ambiguous")))?;
        let matcher = matcher.map_err(|error| TextError::invalid(format!("{what}: {error}")))?;
        Ok(Grammar {
            fresh: Mutex::new(matcher),
            vocabulary_size: self.vocabulary_size,
            size_bytes,
        })
    }
}

fn within_size(text: &str, what: &str) -> Result<()> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::new(
            Status::TooLarge,
            format!("{what} of {} bytes, at most {TEXT_BYTES_MAX} are possible", text.len()),
        ));
    }
    Ok(())
}

/// A compiled grammar. Any thread.
pub struct Grammar {
    /// Never advanced, only cloned. llguidance's state is not `Sync`.
    fresh: Mutex<Matcher>,
    vocabulary_size: usize,
    /// What compiling left behind.
    pub size_bytes: usize,
}

impl Grammar {
    pub fn matcher(&self) -> GrammarMatcher {
        let fresh = self.fresh.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Deep: a shared lexer would be a lock between the threads of all generations.
        GrammarMatcher {
            matcher: fresh.deep_clone(),
            vocabulary_size: self.vocabulary_size,
            ends_taken: 0,
        }
    }
}

/// One generation. One thread at a time.
pub struct GrammarMatcher {
    matcher: Matcher,
    vocabulary_size: usize,
    /// End tokens taken after the grammar had nothing more to allow: not counted by llguidance.
    ends_taken: u32,
}

fn failed(error: impl ToString) -> TextError {
    TextError::internal(format!("grammar: {}", error.to_string()))
}

impl GrammarMatcher {
    pub fn mask_words(&self) -> usize {
        self.vocabulary_size.div_ceil(32)
    }

    /// Writes `mask_words` words: bit `t % 32` of word `t / 32` for token `t`.
    pub fn mask(&mut self, words: &mut [u32]) -> Result<()> {
        let mask = self.matcher.compute_mask_or_eos().map_err(failed)?;
        words.fill(0);
        let count = words.len().min(mask.as_slice().len());
        words[..count].copy_from_slice(&mask.as_slice()[..count]);
        Ok(())
    }

    pub fn commit(&mut self, token: TokenId) -> Result<()> {
        let refused =
            || TextError::invalid(format!("the grammar does not allow token {token} here"));
        if token as usize >= self.vocabulary_size {
            return Err(refused());
        }
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            let environment = self.matcher.tok_env().map_err(failed)?;
            if !environment.tok_trie().eos_token_set().is_allowed(token) {
                return Err(refused());
            }
            self.ends_taken += 1;
            return Ok(());
        }
        if self.matcher.validate_tokens(&[token]).map_err(failed)? != 1 {
            return Err(refused());
        }
        self.matcher.consume_token(token).map_err(failed)
    }

    pub fn rollback(&mut self, count: u32) -> Result<()> {
        let ends = count.min(self.ends_taken);
        self.ends_taken -= ends;
        if count == ends {
            return Ok(());
        }
        self.matcher.rollback((count - ends) as usize).map_err(failed)
    }

    pub fn is_accepting(&mut self) -> Result<bool> {
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Ok(true);
        }
        self.matcher.is_accepting().map_err(failed)
    }
}
