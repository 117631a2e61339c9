// The default model on our own execution provider: against the shared buffers of the stock one, and
// against itself in other company, where it must give the same bits.
// ONNX_LOCAL_HOME holds the imported model.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include <gmock/gmock.h>

#include "base/environment.h"
#include "runtime/model_session.h"
#include "text/tokenizer.h"

namespace onnxlocal {
namespace {

constexpr std::uint32_t kSlots = 20;

ModelFolder default_model() {
  const auto home = environment_variable("ONNX_LOCAL_HOME");
  auto folder = read_model_folder(std::filesystem::path(home.value_or("")) / "models" /
                                  "smollm2-135m-instruct");
  EXPECT_TRUE(folder.has_value()) << describe(folder.error());
  return folder.value_or(ModelFolder{});
}

std::unique_ptr<Decoder> load_on(const char* provider, KvCacheType type = KvCacheType::kBf16) {
  RuntimeOptions options;
  options.slots = kSlots;
  options.context_tokens = 1024;
  options.kv_cache_type = type;
  options.execution_providers = {{.name = provider, .options = {}, .library = {}}};
  options.cache_folder =
      std::filesystem::path(environment_variable("ONNX_LOCAL_HOME").value_or("")) / "cache";
  auto loaded = load_decoder(default_model(), options);
  EXPECT_TRUE(loaded.has_value()) << describe(loaded.error());
  return loaded ? std::move(loaded->decoder) : nullptr;
}

/// Tokens of a real text from its `begin`-th on.
std::vector<TokenId> text_tokens(std::size_t begin, std::size_t count) {
  static const std::vector<TokenId> all = [] {
    const auto tokenizer = Tokenizer::load(default_model().tokenizer_file());
    EXPECT_TRUE(tokenizer.has_value());
    std::ifstream file(std::string(ONNXLOCAL_TEST_DATA) + "/perplexity_text.txt");
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    auto tokens = (*tokenizer)->encode(text, SpecialTokens::kAsText);
    EXPECT_TRUE(tokens.has_value());
    return *std::move(tokens);
  }();
  const auto from = all.begin() + static_cast<std::ptrdiff_t>(begin);
  return {from, from + static_cast<std::ptrdiff_t>(count)};
}

std::vector<float> feed(Decoder& decoder, SlotId slot, std::span<const TokenId> tokens,
                        std::size_t chunk) {
  std::vector<float> last;
  for (std::size_t i = 0; i < tokens.size(); i += chunk) {
    const Step step{.slot = slot, .tokens = tokens.subspan(i, std::min(chunk, tokens.size() - i))};
    const auto logits = decoder.forward({&step, 1});
    EXPECT_TRUE(logits.has_value()) << describe(logits.error());
    if (logits) last.assign(logits->values.begin(), logits->values.end());
  }
  return last;
}

class PagedDefaultModel : public ::testing::TestWithParam<KvCacheType> {};

TEST_P(PagedDefaultModel, SaysWhatTheStockProviderSays) {
  const auto own = load_on("onnx-local", GetParam());
  const auto stock = load_on("cpu");
  ASSERT_TRUE(own && stock);
  for (const std::size_t begin : {0U, 700U, 2100U, 5000U}) {
    const auto tokens = text_tokens(begin, 150);
    const auto expected = feed(*stock, SlotId{0}, tokens, 150);
    const auto got = feed(*own, SlotId{0}, tokens, 150);
    double squares = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      squares += (expected[i] - got[i]) * (expected[i] - got[i]);
    }
    // The stock provider's weights are rounded to 8 bits, ours keep keys and values in fewer bits.
    EXPECT_LT(std::sqrt(squares / static_cast<double>(expected.size())), 0.5) << begin;
    const auto best = std::ranges::max_element(expected) - expected.begin();
    EXPECT_GT(got[static_cast<std::size_t>(best)], std::ranges::max(got) - 1.0F) << begin;
    stock->truncate(SlotId{0}, 0);
    own->truncate(SlotId{0}, 0);
  }
}

TEST_P(PagedDefaultModel, GivesTheSameBitsInAnyChunksAndCompany) {
  const auto decoder = load_on("onnx-local", GetParam());
  ASSERT_TRUE(decoder);
  const auto tokens = text_tokens(300, 200);
  const auto alone = feed(*decoder, SlotId{0}, tokens, 512);
  for (const std::size_t chunk : {1U, 7U, 32U, 100U}) {
    decoder->truncate(SlotId{1}, 0);
    EXPECT_EQ(alone, feed(*decoder, SlotId{1}, tokens, chunk)) << chunk;
  }
  // Among 16 others: some decode, some read, one ragged step.
  std::vector<std::vector<TokenId>> texts{tokens};
  for (std::uint32_t i = 1; i <= 16; ++i) texts.push_back(text_tokens(i * 400, 20 + 11 * i));
  std::vector<Step> steps;
  for (std::uint32_t i = 0; i < texts.size(); ++i) {
    const std::size_t left = i == 0 || i % 2 == 0 ? 1 : 5 + i;
    const std::span<const TokenId> text = texts[i];
    decoder->truncate(SlotId{i}, 0);
    feed(*decoder, SlotId{i}, text.first(text.size() - left), 64);
    steps.push_back({.slot = SlotId{i}, .tokens = text.last(left)});
  }
  const auto together = decoder->forward(steps);
  ASSERT_TRUE(together.has_value()) << describe(together.error());
  EXPECT_TRUE(std::ranges::equal(alone, together->row(0)));
}

TEST_P(PagedDefaultModel, GivesTheSameBitsAfterACopyAndAnImport) {
  const auto decoder = load_on("onnx-local", GetParam());
  ASSERT_TRUE(decoder);
  const auto tokens = text_tokens(900, 150);
  const auto whole = feed(*decoder, SlotId{0}, tokens, 512);
  ASSERT_TRUE(decoder->copy_prefix(SlotId{0}, SlotId{1}, 77).has_value());
  EXPECT_EQ(whole, feed(*decoder, SlotId{1}, std::span(tokens).subspan(77), 512));
  std::vector<std::byte> blocks(4 * decoder->layout().block_bytes);
  ASSERT_TRUE(decoder->export_blocks(SlotId{0}, 0, blocks).has_value());
  ASSERT_TRUE(decoder->import_blocks(SlotId{2}, blocks).has_value());
  EXPECT_EQ(whole, feed(*decoder, SlotId{2}, std::span(tokens).subspan(128), 512));
}

INSTANTIATE_TEST_SUITE_P(KvCacheTypes, PagedDefaultModel,
                         ::testing::Values(KvCacheType::kBf16, KvCacheType::kInt8),
                         [](const auto& info) { return std::string(to_string(info.param)); });

}  // namespace
}  // namespace onnxlocal
