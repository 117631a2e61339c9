// Over the fake decoder and the byte tokenizer of tests/data (token i is the byte i; 257 and 258
// are
// <|im_start|> and <|im_end|>), with the template that most small models share.
#include "provider/local.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "event_recorder.h"
#include "fake_decoder.h"
#include "provider/unavailable.h"
#include "text/test_tokenizer.h"

namespace onnxlocal {
namespace {

constexpr std::string_view kChatTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ "
    "'<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}";

constexpr TokenId kImEnd = 258;

FakeDecoderOptions roomy() {
  return {.vocabulary_size = 259, .slot_tokens_max = 600, .block_tokens = 4};
}

/// Says `reply` after each "assistant\n" that ends a prompt.
FakeDecoderOptions saying(std::string reply) {
  auto options = roomy();
  options.scripted_next =
      [reply = std::move(reply)](std::span<const TokenId> prefix) -> std::optional<TokenId> {
    std::string text;
    for (const TokenId token : prefix) text += token < 256 ? static_cast<char>(token) : '|';
    const std::size_t turn = text.rfind("|assistant\n");
    if (turn == std::string::npos) return std::nullopt;
    const std::string said = text.substr(turn + std::string_view("|assistant\n").size());
    if (said.size() >= reply.size() || !reply.starts_with(said)) return kImEnd;
    return static_cast<unsigned char>(reply[said.size()]);
  };
  return options;
}

struct Model {
  explicit Model(FakeDecoderOptions options = roomy(), bool has_template = true) {
    auto owned = std::make_unique<FakeDecoder>(std::move(options));
    decoder = owned.get();
    LocalParts parts{.name = "tiny", .decoder = std::move(owned), .execution_provider = "cpu"};
    parts.tokenizer = *Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json");
    if (has_template) parts.chat_template = *ChatTemplate::compile(kChatTemplate, {});
    auto made = LocalProvider::from_parts(std::move(parts), {.end_tokens = {kImEnd}});
    EXPECT_TRUE(made.has_value());
    provider = *std::move(made);
  }
  Recorded answer(const GenerationRequest& request) {
    EventRecorder recorder;
    auto active = provider->generate(request, recorder.sink());
    EXPECT_TRUE(active.has_value()) << active.error().message;
    return active ? recorder.wait() : Recorded{};
  }
  FakeDecoder* decoder = nullptr;
  std::unique_ptr<LocalProvider> provider;
};

Message says(Role role, std::string text) {
  return {.role = role, .content = {TextBlock{.text = std::move(text)}}};
}

GenerationRequest ask(std::vector<Message> messages, std::uint32_t tokens_max = 40) {
  GenerationRequest request;
  request.messages = std::move(messages);
  request.sampling.temperature = 0;
  request.tokens_max = tokens_max;
  return request;
}

std::string text_of(std::span<const TokenId> tokens) {
  std::string text;
  for (const TokenId token : tokens) {
    text += token == 257 ? "<S>" : token == 258 ? "<E>" : std::string(1, static_cast<char>(token));
  }
  return text;
}

TEST(LocalProvider, RendersTheTemplateAndAnswers) {
  Model model(saying("Grüße!"));
  const auto request = ask({says(Role::kSystem, "Be kind."), says(Role::kUser, "Hi")});
  const Recorded result = model.answer(request);
  EXPECT_EQ(result.text, "Grüße!");
  EXPECT_EQ(result.finished->reason, StopReason::kEndOfTurn);
  const auto tokens = model.provider->tokenize(request);
  ASSERT_TRUE(tokens);
  EXPECT_EQ(text_of(*tokens), "<S>system\nBe kind.<E>\n<S>user\nHi<E>\n<S>assistant\n");
}

TEST(LocalProvider, SamplesAsTheModelSuggestsWhereTheRequestLeavesItOpen) {
  auto open = ask({says(Role::kUser, "Hi")});
  open.sampling = {.seed = 5};
  auto said = open;
  said.sampling = {.temperature = 0.3F, .top_k = 0, .top_p = 0.9F, .seed = 5};
  auto plain = open;
  plain.sampling = {.temperature = 2.0F, .top_k = 0, .top_p = 1.0F, .seed = 5};
  Model model;
  const std::string as_suggested = model.answer(open).text;
  EXPECT_EQ(as_suggested, model.answer(said).text);
  EXPECT_NE(as_suggested, model.answer(plain).text);
}

TEST(LocalProvider, CountsTheTokensThatARequestReports) {
  Model model;
  const auto request = ask({says(Role::kUser, "How many? <|im_end|> 👋")}, 1);
  const auto counted = model.provider->count_tokens(request);
  ASSERT_TRUE(counted);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(model.answer(request).finished->usage.prompt_tokens(), *counted);
  }
}

TEST(LocalProvider, NeverTurnsClientTextIntoSpecialTokens) {
  Model model;
  const auto tokens = model.provider->tokenize(ask({says(Role::kUser, "<|im_end|>")}));
  ASSERT_TRUE(tokens);
  EXPECT_EQ(text_of(*tokens), "<S>user\n<|im_end|><E>\n<S>assistant\n");
}

TEST(LocalProvider, ContinuesATrailingAssistantMessage) {
  Model model(saying("Hello you"));
  const Recorded result =
      model.answer(ask({says(Role::kUser, "Hi"), says(Role::kAssistant, "Hello")}));
  EXPECT_EQ(result.text, " you");
}

TEST(LocalProvider, ReusesTheWholeConversationInTheNextTurn) {
  Model model(saying("A long reply that fills some blocks."));
  std::vector<Message> messages{says(Role::kUser, "Tell me something.")};
  const Recorded first = model.answer(ask(messages, 100));
  messages.push_back(says(Role::kAssistant, first.text));
  messages.push_back(says(Role::kUser, "More."));
  const Recorded second = model.answer(ask(messages, 100));
  // All but the last block of the first turn, whose end was not fed back to the model.
  const std::uint32_t first_turn = first.started->prompt_tokens() + 35;
  EXPECT_GE(second.started->cache_read_tokens, first_turn - 4);
}

TEST(LocalProvider, WorksWithoutAChatTemplate) {
  Model model(roomy(), false);
  const auto tokens =
      model.provider->tokenize(ask({says(Role::kSystem, "S"), says(Role::kUser, "U"),
                                    says(Role::kAssistant, " A"), says(Role::kUser, "V")}));
  ASSERT_TRUE(tokens);
  EXPECT_EQ(text_of(*tokens), "system: S\n\nuser: U\n\nassistant: A\n\nuser: V\n\nassistant:");
}

TEST(LocalProvider, CancelsWhenTheHandleGoes) {
  Model model([] {
    auto options = roomy();
    options.slot_tokens_max = 1 << 20;
    return options;
  }());
  EventRecorder recorder;
  {
    auto request = ask({says(Role::kUser, "Hi")}, 1 << 19);
    auto active = model.provider->generate(request, recorder.sink());
    ASSERT_TRUE(active);
    recorder.wait_until([](const Recorded& r) { return r.deltas > 0 || r.has_ended(); });
  }
  EXPECT_TRUE(recorder.wait().has_ended());
  EXPECT_EQ(model.provider->status().running, 0U);
}

TEST(LocalProvider, TellsOfItsModelAndHowItIs) {
  const Model model;
  const auto models = model.provider->models();
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].id, "onnx-local/tiny");
  EXPECT_EQ(models[0].context_tokens, 600U);
  const ProviderStatus status = model.provider->status();
  EXPECT_EQ(status.state, ProviderStatus::State::kReady);
  EXPECT_EQ(status.execution_provider, "cpu");
  EXPECT_EQ(status.slots, 4U);
}

TEST(LocalProvider, PassesOnWhatTheEngineRefuses) {
  Model model;
  const auto refused = model.provider->generate(ask({says(Role::kUser, std::string(700, 'x'))}),
                                                [](GenerationEvent) { ADD_FAILURE(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPromptTooLong);
}

TEST(LocalProvider, RefusesNewWorkAfterShutdown) {
  Model model;
  model.provider->shut_down({});
  const auto refused = model.provider->generate(ask({says(Role::kUser, "Hi")}),
                                                [](GenerationEvent) { ADD_FAILURE(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
}

TEST(LocalProvider, TakesTokensToo) {
  Model model;
  EventRecorder recorder;
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.sampling.temperature = 0;
  request.tokens_max = 5;
  request.ignore_end_tokens = true;
  const std::vector<TokenId> prompt = request.prompt;
  auto active = model.provider->generate_from_tokens(std::move(request), recorder.sink());
  ASSERT_TRUE(active);
  EXPECT_EQ(recorder.wait().tokens, model.decoder->expected_greedy(prompt, 5));
}

TEST(LocalProvider, ContinuesARawPromptAsItStands) {
  Model model;
  EventRecorder recorder;
  GenerationRequest request;
  request.raw_prompt = std::vector<TokenId>{1, 2, 3};
  request.sampling.temperature = 0;
  request.tokens_max = 1;
  auto active = model.provider->generate(request, recorder.sink());
  ASSERT_TRUE(active);
  EXPECT_EQ(recorder.wait().started.value().prompt_tokens(), 3U);
  EXPECT_EQ(model.provider->count_tokens(request), 3U);
}

/// The tokens of the raw prompt "hi", for a model with this tokenizer and these settings.
std::vector<TokenId> raw_hi(std::shared_ptr<const Tokenizer> tokenizer,
                            std::optional<bool> adds_bos,
                            std::string_view chat_template = kChatTemplate) {
  LocalParts parts{.name = "tiny",
                   .decoder = std::make_unique<FakeDecoder>(roomy()),
                   .tokenizer = std::move(tokenizer),
                   .bos_token = 256,
                   .adds_bos = adds_bos};
  if (!chat_template.empty()) parts.chat_template = *ChatTemplate::compile(chat_template, {});
  const auto provider = LocalProvider::from_parts(std::move(parts), {.end_tokens = {kImEnd}});
  EXPECT_TRUE(provider);
  GenerationRequest request;
  request.raw_prompt = std::string("hi");
  return (*provider)->tokenize(request).value();
}

TEST(LocalProvider, BeginsARawPromptAsTheTokenizerSays) {
  const auto plain = test::byte_tokenizer();
  const auto framing = test::framing_tokenizer();
  EXPECT_EQ(raw_hi(plain, true), (std::vector<TokenId>{256, 'h', 'i'}));
  EXPECT_EQ(raw_hi(plain, false, ""), test::bytes_of("hi"));
  EXPECT_EQ(raw_hi(framing, false), test::bytes_of("hi"));
  EXPECT_EQ(raw_hi(framing, std::nullopt), (std::vector<TokenId>{257, 'h', 'i'}))
      << "what the post-processor puts behind a text ends it";
}

TEST(LocalProvider, GuessesTheBeginningWhereNothingSaysIt) {
  const auto plain = test::byte_tokenizer();
  EXPECT_EQ(raw_hi(plain, std::nullopt), test::bytes_of("hi"));
  EXPECT_EQ(raw_hi(plain, std::nullopt, ""), (std::vector<TokenId>{256, 'h', 'i'}));
}

TEST(LocalProvider, SaysWhyAModelDoesNotLoad) {
  ModelFolder folder;
  folder.path = ONNXLOCAL_TEST_DATA "/no_such_model";
  folder.name = "missing";
  const auto provider = LocalProvider::load(folder, {}, {});
  const auto loaded = provider->wait_until_loaded();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(provider->status().state, ProviderStatus::State::kFailed);
  EXPECT_EQ(provider->status().failure.message, loaded.error().message);
  const auto refused =
      provider->generate(ask({says(Role::kUser, "Hi")}), [](GenerationEvent) { ADD_FAILURE(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, loaded.error().message);
  EXPECT_FALSE(retryable(refused.error().code));
}

TEST(UnavailableProvider, AnswersEverythingWithTheCause) {
  UnavailableProvider provider("onnx-local/broken", model_corrupt("model.onnx is cut off"));
  const auto refused = provider.generate({}, [](GenerationEvent) { ADD_FAILURE(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kModelCorrupt);
  EXPECT_EQ(provider.count_tokens({}).error().message, "model.onnx is cut off");
  EXPECT_TRUE(provider.models().empty());
  EXPECT_EQ(provider.status().state, ProviderStatus::State::kFailed);
  EXPECT_EQ(provider.status().model, "onnx-local/broken");
  provider.shut_down({});
}

}  // namespace
}  // namespace onnxlocal
