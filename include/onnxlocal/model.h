#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "onnxlocal/error.h"
#include "onnxlocal/export.h"
#include "onnxlocal/options.h"

/// Language models inside a program of yours. Needs C++23 (`std::expected`). Start here:
///
///   auto model = onnxlocal::embed::Model::create({});          // the default model
///   if (model && model->initialize()) {
///     auto reply = model->generate({{Role::kUser, "Hello!"}}, {.tokens_max = 50});
///     if (reply) use(reply->text);
///   }
namespace onnxlocal::embed {

enum class Role { kSystem, kUser, kAssistant };

struct Message {
  Role role = Role::kUser;
  std::string text;  ///< UTF-8. Never becomes a special token.
};

/// Why an answer ended.
enum class StopReason {
  kEndOfTurn,    ///< The model said so.
  kTokensMax,    ///< `GenerateOptions::tokens_max`.
  kStopString,   ///< `Reply::stop_string` came.
  kContextFull,  ///< The context window is full.
};

/// Tokens as they were really counted; the first three add up to the prompt.
struct Usage {
  std::uint32_t input_tokens = 0;           ///< Computed and not kept in the prefix cache.
  std::uint32_t cache_read_tokens = 0;      ///< Taken from the prefix cache.
  std::uint32_t cache_creation_tokens = 0;  ///< Computed and kept.
  std::uint32_t output_tokens = 0;          ///< Generated, the end token included.
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;  ///< Natural logarithm, under the model's own distribution.
};

/// One generated token; log-probabilities only where they were asked for.
struct Token {
  TokenId token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> alternatives;  ///< Most likely first.
};

struct Reply {
  std::string text;
  std::vector<Token> tokens;
  StopReason stop_reason = StopReason::kEndOfTurn;
  std::string stop_string;
  Usage usage;
};

struct ModelInfo {
  std::string name;
  std::string folder;
  std::string architecture;  ///< "llama", "qwen2", ...
  std::uint32_t context_tokens = 0;
  std::uint32_t vocabulary_size = 0;
  std::string execution_provider;     ///< "cpu", "cuda"; empty before `initialize`.
  std::vector<std::string> warnings;  ///< Execution providers that were tried and failed, with why.
};

/// Takes text as it comes, in whole characters, on the thread that called `generate`. False stops
/// the generation, which then returns kCancelled.
using TextCallback = std::function<bool(std::string_view text)>;

/// One model. Any thread may call any method but the destructor and the moves; calls of `generate`
/// that overlap run in one batch. No method throws.
class ONNXLOCAL_EXPORT Model {
 public:
  /// Checks the options and finds the model; loads nothing yet.
  /// Errors: kInvalidRequest, kNotFound, kModelCorrupt, kUnsupported.
  static Result<Model> create(const ModelOptions& options);
  /// Disposes.
  ~Model();
  Model(Model&& other) noexcept;
  Model& operator=(Model&& other) noexcept;

  /// Loads the model and waits for it; does nothing where it is loaded. May follow a `dispose`.
  /// Errors: kModelCorrupt, kUnsupported, kUnavailable (no execution provider took it), kDiskFull.
  Result<void> initialize();
  bool is_initialized() const;
  /// What is known; more of it after `initialize`.
  ModelInfo model_info() const;

  /// Answers a conversation, through the model's chat template. A trailing assistant message is a
  /// beginning that the answer continues. Waits for the whole answer; `on_text` sees it come.
  /// Errors: kUnavailable (not initialized), kInvalidRequest, kPromptTooLong, kOverloaded,
  /// kCancelled, kTimeout, kInternal.
  Result<Reply> generate(std::span<const Message> messages, const GenerateOptions& options = {},
                         const TextCallback& on_text = {});
  Result<Reply> generate(std::initializer_list<Message> messages,
                         const GenerateOptions& options = {}, const TextCallback& on_text = {}) {
    return generate(std::span(messages.begin(), messages.size()), options, on_text);
  }
  /// Continues tokens as they are, without a chat template.
  Result<Reply> generate(std::span<const TokenId> tokens, const GenerateOptions& options = {},
                         const TextCallback& on_text = {});

  /// Answers many conversations, as many at a time as run together; in the order of `batch`, each
  /// with its own error. More of them than the queue holds is fine.
  std::vector<Result<Reply>> generate_batch(std::span<const std::vector<Message>> batch,
                                            const GenerateOptions& options = {});

  /// The tokens that `generate` would make of the messages. Errors: kUnavailable, kInvalidRequest.
  Result<std::vector<TokenId>> tokenize(std::span<const Message> messages);

  /// Cancels what runs and frees the model's memory. Does nothing where it is not loaded.
  void dispose();

 private:
  class Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace onnxlocal::embed
