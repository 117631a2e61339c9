// One layer's attention: ep_attention_bench [threads] [instruction set] [deepest] [int8]. Caches of
// several layers are gone through in turn, as a model does, so that decoding reads them from
// memory.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string_view>

#include "attention/attention.h"
#include "threads/thread_pool.h"

namespace onnxlocal::ep {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTime(500);

struct Model {
  const char* name;
  AttentionShape shape;
  std::uint32_t layers;
};

class Layers {
 public:
  Layers(const Model& model, std::uint32_t tokens)
      : bytes_(layer_page_bytes(model.shape)),
        pages_((tokens + kPageTokens - 1) / kPageTokens),
        memory_(bytes_ * model.layers * pages_.size() + 64) {
    for (std::size_t i = 0; i < pages_.size(); ++i) pages_[i] = static_cast<std::int32_t>(i);
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    base_ = memory_.data() + (64 - address % 64) % 64;
    layers_ = model.layers;
  }
  PagedCache cache(std::uint32_t layer) {
    return {.pages = base_, .page_bytes = bytes_ * layers_, .layer_offset = layer * bytes_};
  }
  const std::int32_t* pages() const { return pages_.data(); }

 private:
  std::size_t bytes_;
  std::vector<std::int32_t> pages_;
  std::vector<std::byte> memory_;
  std::byte* base_ = nullptr;
  std::uint32_t layers_ = 0;
};

struct Bench {
  const AttentionKernels& kernels;
  ThreadPool& pool;

  void measure(const Model& model, std::uint32_t depth, std::uint32_t rows) const {
    const AttentionShape& shape = model.shape;
    const std::uint32_t tokens = depth + rows;
    Layers layers(model, tokens);
    const std::size_t q_width = std::size_t{shape.heads} * shape.head_dim;
    const std::size_t width = std::size_t{shape.kv_heads} * shape.head_dim;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> q(rows * q_width);
    std::vector<float> kv(tokens * width);
    for (float& value : q) value = normal(random);
    for (float& value : kv) value = normal(random);
    std::vector<float> out(q.size());
    std::vector<std::byte> scratch;
    const SequenceRows all{.rows = tokens, .pages = layers.pages()};
    const SequenceRows last{.rows = rows, .past = depth, .pages = layers.pages()};
    for (std::uint32_t layer = 0; layer < model.layers; ++layer) {
      append_to_pages(kernels, pool, shape, layers.cache(layer), {&all, 1}, {kv.data(), width},
                      {kv.data(), width});
    }
    // The best call stands for a quiet machine, the median for this one.
    std::vector<double> times;
    const auto start = Clock::now();
    for (std::uint32_t i = 0; i < 3 * model.layers || Clock::now() - start < kTime; ++i) {
      const auto begin = Clock::now();
      const PagedCache cache = layers.cache(i % model.layers);
      append_to_pages(kernels, pool, shape, cache, {&last, 1}, {kv.data(), width},
                      {kv.data(), width});
      attend_pages(kernels, pool, shape, cache, {&last, 1}, {q.data(), q_width},
                   {out.data(), q_width}, scratch);
      times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
      if (Clock::now() - start > 4 * kTime) break;
    }
    std::ranges::sort(times);
    const double seconds = times[times.size() / 2];
    const double best = times.front();
    double products = 0;
    for (std::uint32_t row = 0; row < rows; ++row) products += depth + row + 1;
    products *= 2.0 * static_cast<double>(q_width);
    const double bytes = static_cast<double>(layer_page_bytes(shape)) / kPageTokens * tokens;
    std::printf(
        "%s rows %4u depth %6u: %8.4f ms per layer (best %8.4f), %6.1f GMAC/s, %5.1f GB/s\n",
        model.name, rows, depth, seconds * 1e3, best * 1e3, products / best * 1e-9,
        bytes / best * 1e-9);
  }
};

}  // namespace
}  // namespace onnxlocal::ep

int main(int argc, char** argv) {
  using namespace onnxlocal::ep;
  const auto number = [&](int index, unsigned otherwise) {
    if (argc > index) {
      std::from_chars(argv[index], argv[index] + std::strlen(argv[index]), otherwise);
    }
    return otherwise;
  };
  const unsigned deepest = number(3, 1U << 20U);
  const InstructionSetChoice choice = choose_instruction_set(argc > 2 ? argv[2] : "");
  ThreadPool pool(number(1, 0));
  const Bench bench{.kernels = attention_kernels(choice.set), .pool = pool};
  std::printf("%s, %u threads %s\n", to_string(choice.set).data(), pool.threads(),
              choice.problem.c_str());
  const Model models[] = {{.name = "S",
                           .shape = {.heads = 9, .kv_heads = 3, .head_dim = 64, .scale = 0.125F},
                           .layers = 30},
                          {.name = "B",
                           .shape = {.heads = 14, .kv_heads = 2, .head_dim = 64, .scale = 0.125F},
                           .layers = 24}};
  for (Model model : models) {
    if (argc > 4) model.shape.kv_type = KvType::kInt8;
    for (const std::uint32_t rows : {1U, 512U}) {
      for (const std::uint32_t depth : {0U, 512U, 4096U, 16384U}) {
        if (depth <= deepest) bench.measure(model, depth, rows);
      }
    }
  }
  return 0;
}
