//! Tokenizers, chat templates and grammars for onnx-local.
//!
//! The rules of the C ABI (`include/onnxlocal_text.h`) live in `ffi`; everything else is plain
//! Rust:
//! * `tokenizer`, `stand_in`: text to tokens, with the one rule that matters for safety: the
//!   spelling of a special token is ordinary text unless a template wrote it.
//! * `vocabulary`, `token_stream`: tokens to text, a token at a time.
//! * `conversation`, `client_json`: messages, tools and calls in Hugging Face's form.
//! * `chat_template`, `abilities`, `environment`, `python_json`, `limits`: these to a prompt, as
//!   Hugging Face does with jinja2; a hostile template ends.
//! * `grammar`: which tokens may come next under a JSON schema or a Lark grammar.
//! * `schema`: what a grammar can hold of a JSON schema, and whether JSON satisfies it.
//! * `pdf`: the text of PDF files.

pub mod abilities;
pub mod chat_template;
pub mod client_json;
pub mod conversation;
pub mod environment;
pub mod error;
pub mod ffi;
pub mod grammar;
pub mod limits;
pub mod pdf;
pub mod python_json;
pub mod schema;
pub mod stand_in;
pub mod token_stream;
pub mod tokenizer;
pub mod vocabulary;
