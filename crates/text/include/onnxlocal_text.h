#ifndef ONNXLOCAL_TEXT_H
#define ONNXLOCAL_TEXT_H

/* The C ABI of crates/text.
 *
 * Strings: UTF-8, by pointer and length, no NUL needed; ill-formed bytes count as U+FFFD. A slice
 * is borrowed for the call. What comes back in `onnxlocal_text`, `onnxlocal_tokens` and
 * `onnxlocal_pieces` is the caller's and goes back through the `_free` of its type, once.
 * Handles: made by `_load`, `_new`, `_compile` or `_from_...`, given back by their `_free`, in any
 * order (a stream, template or grammar keeps what it needs of its tokenizer alive).
 * Errors: a function that returns `int32_t` gives ONNXLOCAL_TEXT_OK, or a status with `*error` set
 * to a message for `onnxlocal_error_free`; its other outputs are then untouched. No panic crosses.
 * Threads: tokenizer, template and grammar: any, at once. Stream and matcher: one at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum onnxlocal_text_status {
  ONNXLOCAL_TEXT_OK = 0,
  ONNXLOCAL_TEXT_INVALID_REQUEST = 1,
  ONNXLOCAL_TEXT_MODEL_CORRUPT = 2,
  ONNXLOCAL_TEXT_UNSUPPORTED = 3,
  ONNXLOCAL_TEXT_TOO_LARGE = 4,
  ONNXLOCAL_TEXT_INTERNAL = 5,
  ONNXLOCAL_TEXT_OVERLOADED = 6,
};

typedef struct onnxlocal_tokenizer onnxlocal_tokenizer;
typedef struct onnxlocal_stream onnxlocal_stream;
typedef struct onnxlocal_template onnxlocal_template;
typedef struct onnxlocal_grammar onnxlocal_grammar;
typedef struct onnxlocal_matcher onnxlocal_matcher;

typedef struct onnxlocal_slice {
  const char* data;
  size_t size;
} onnxlocal_slice;

typedef struct onnxlocal_text {
  char* data;
  size_t size;
} onnxlocal_text;

typedef struct onnxlocal_tokens {
  uint32_t* data;
  size_t size;
} onnxlocal_tokens;

/* kind: 0 text, 1 thinking, 2 a call (`text` is its input, JSON), 3 a result. `id` and `name` are
 * of the call and its tool. */
typedef struct onnxlocal_block {
  int32_t kind;
  onnxlocal_slice text;
  onnxlocal_slice id;
  onnxlocal_slice name;
} onnxlocal_block;

/* role: 0 system, 1 user, 2 assistant. */
typedef struct onnxlocal_message {
  int32_t role;
  const onnxlocal_block* blocks;
  size_t count;
} onnxlocal_message;

/* `input_schema` is JSON. */
typedef struct onnxlocal_tool {
  onnxlocal_slice name;
  onnxlocal_slice description;
  onnxlocal_slice input_schema;
} onnxlocal_tool;

/* enable_thinking: 0, 1, or -1 for undefined. */
typedef struct onnxlocal_conversation {
  const onnxlocal_message* messages;
  size_t message_count;
  const onnxlocal_tool* tools;
  size_t tool_count;
  int32_t enable_thinking;
} onnxlocal_conversation;

/* What a template does with what it is given. */
typedef struct onnxlocal_abilities {
  bool takes_system;
  bool takes_tools;
  bool takes_tool_history;
  bool has_thinking_switch;
} onnxlocal_abilities;

/* A piece ends at byte `end` of the prompt and starts where the one before ended. */
typedef struct onnxlocal_piece {
  size_t end;
  bool is_special;
} onnxlocal_piece;

typedef struct onnxlocal_pieces {
  onnxlocal_piece* data;
  size_t size;
} onnxlocal_pieces;

/* Year, month 1-12, day, hour, minute, second, day of the week from Sunday 0, day of the year from
 * 1: what `strftime_now` of a template sees. */
typedef int32_t onnxlocal_now[8];

void onnxlocal_error_free(char* error);
void onnxlocal_text_free(onnxlocal_text text);
void onnxlocal_tokens_free(onnxlocal_tokens tokens);
void onnxlocal_pieces_free(onnxlocal_pieces pieces);

/* Tokenizer: `json` is the text of a tokenizer.json. */
int32_t onnxlocal_tokenizer_load(onnxlocal_slice json, onnxlocal_tokenizer** tokenizer,
                                 char** error);
void onnxlocal_tokenizer_free(onnxlocal_tokenizer* tokenizer);
int32_t onnxlocal_tokenizer_encode(const onnxlocal_tokenizer* tokenizer, onnxlocal_slice text,
                                   bool may_spell_special, onnxlocal_tokens* tokens, char** error);
/* As an input of its own: `text` spells no special token, and those of the tokenizer's
 * post-processor stand around it. */
int32_t onnxlocal_tokenizer_encode_input(const onnxlocal_tokenizer* tokenizer, onnxlocal_slice text,
                                         onnxlocal_tokens* tokens, char** error);
/* Special tokens and ids that no token has give no text. */
int32_t onnxlocal_tokenizer_decode(const onnxlocal_tokenizer* tokenizer, const uint32_t* tokens,
                                   size_t count, onnxlocal_text* text, char** error);
/* One more than the highest id. */
size_t onnxlocal_tokenizer_vocabulary_size(const onnxlocal_tokenizer* tokenizer);
bool onnxlocal_tokenizer_is_special(const onnxlocal_tokenizer* tokenizer, uint32_t token);
/* False where there is no such token. */
bool onnxlocal_tokenizer_token_id(const onnxlocal_tokenizer* tokenizer, onnxlocal_slice content,
                                  uint32_t* token);

/* Stream: tokens to text. NULL only where the machine is out of memory. */
onnxlocal_stream* onnxlocal_stream_new(const onnxlocal_tokenizer* tokenizer);
void onnxlocal_stream_free(onnxlocal_stream* stream);
/* `*text` is the stream's, valid until the next call on it. */
int32_t onnxlocal_stream_push(onnxlocal_stream* stream, uint32_t token, onnxlocal_slice* text,
                              char** error);
/* As push, but a special token's spelling is its text, behind what was held back. */
int32_t onnxlocal_stream_push_visible(onnxlocal_stream* stream, uint32_t token,
                                      onnxlocal_slice* text, char** error);
int32_t onnxlocal_stream_finish(onnxlocal_stream* stream, onnxlocal_slice* text, char** error);

/* Chat template. */
int32_t onnxlocal_template_compile(onnxlocal_slice source, onnxlocal_slice bos_token,
                                   onnxlocal_slice eos_token, onnxlocal_template** compiled,
                                   char** error);
void onnxlocal_template_free(onnxlocal_template* compiled);
onnxlocal_abilities onnxlocal_template_abilities(const onnxlocal_template* compiled);
int32_t onnxlocal_template_render(const onnxlocal_template* compiled,
                                  const onnxlocal_tokenizer* tokenizer,
                                  const onnxlocal_conversation* conversation,
                                  const onnxlocal_now* now, onnxlocal_text* text,
                                  onnxlocal_pieces* pieces, char** error);
int32_t onnxlocal_template_render_tokens(const onnxlocal_template* compiled,
                                         const onnxlocal_tokenizer* tokenizer,
                                         const onnxlocal_conversation* conversation,
                                         const onnxlocal_now* now, onnxlocal_tokens* tokens,
                                         char** error);

/* Grammar: a JSON schema, or llguidance's Lark. */
int32_t onnxlocal_grammar_from_json_schema(const onnxlocal_tokenizer* tokenizer,
                                           onnxlocal_slice schema, onnxlocal_grammar** grammar,
                                           char** error);
int32_t onnxlocal_grammar_from_lark(const onnxlocal_tokenizer* tokenizer, onnxlocal_slice lark,
                                    onnxlocal_grammar** grammar, char** error);
size_t onnxlocal_grammar_size_bytes(const onnxlocal_grammar* grammar);
void onnxlocal_grammar_free(onnxlocal_grammar* grammar);
int32_t onnxlocal_matcher_new(const onnxlocal_grammar* grammar, onnxlocal_matcher** matcher,
                              char** error);
void onnxlocal_matcher_free(onnxlocal_matcher* matcher);
size_t onnxlocal_matcher_mask_words(const onnxlocal_matcher* matcher);
/* Writes `mask_words` words. */
int32_t onnxlocal_matcher_mask(onnxlocal_matcher* matcher, uint32_t* words, char** error);
int32_t onnxlocal_matcher_commit(onnxlocal_matcher* matcher, uint32_t token, char** error);
int32_t onnxlocal_matcher_rollback(onnxlocal_matcher* matcher, uint32_t count, char** error);
bool onnxlocal_matcher_is_accepting(onnxlocal_matcher* matcher);

/* JSON schema: whether a grammar can enforce it; what one can of it; whether JSON satisfies it. */
int32_t onnxlocal_schema_check(onnxlocal_slice schema, char** error);
int32_t onnxlocal_schema_relax(onnxlocal_slice schema, onnxlocal_text* relaxed, char** error);
int32_t onnxlocal_schema_validate(onnxlocal_slice schema, onnxlocal_slice instance, char** error);

/* The text of a PDF file, `*text` for onnxlocal_text_free. INVALID_REQUEST: it is none, is
 * protected or holds no text. TOO_LARGE: over a limit. A hostile file may still take long, take
 * much memory or overflow the stack: call it in a process of its own. */
int32_t onnxlocal_pdf_text(onnxlocal_slice pdf, size_t pages_max, size_t text_bytes_max,
                           onnxlocal_text* text, char** error);

#ifdef __cplusplus
}
#endif

#endif
