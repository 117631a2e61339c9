// GB/s and GOP/s of products, beside what the memory gives:
//   ep_matrix_bench [--threads N] [--isa NAME] [--cached] [--minima] [M K N BITS]...
// Without shapes: those of a 135M and a 0.5B model.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "matrix/matrix_product.h"
#include "threads/thread_pool.h"

namespace {

using namespace onnxlocal::ep;

struct Options {
  bool cached = false;  ///< One matrix again and again, instead of many that no cache holds.
  bool minima = false;
  std::string isa;
  unsigned threads = 0;
};

struct Case {
  std::size_t m;
  std::uint32_t k;
  std::uint32_t n;
  int bits;
};

using Bytes = std::unique_ptr<std::byte, void (*)(void*)>;
Bytes make_bytes(std::size_t size) {
  Bytes bytes(static_cast<std::byte*>(std::aligned_alloc(64, (size + 63) / 64 * 64)), &std::free);
  std::memset(bytes.get(), 1, size);
  return bytes;
}

/// Matrices of one shape, enough of them that no cache holds them all.
constexpr std::size_t kMemoryBytes = 256U << 20U;

/// body(0), body(1), ... for at least a moment; the second decile of their times, because other
/// programs on the machine only ever add.
double typical_seconds(std::size_t runs, const auto& body) {
  std::vector<double> seconds;
  for (std::size_t run = 0; run < runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    body(run);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::sort(seconds);
  return seconds[runs / 5];
}

/// Bytes per second of a plain read by all threads.
double read_speed(ThreadPool& pool, const std::byte* memory) {
  constexpr std::size_t kChunk = 128U << 10U;
  constexpr std::size_t kChunks = 32;
  std::vector<std::uint64_t> sums(kChunks * 8);
  const double seconds = typical_seconds(3 * kMemoryBytes / kChunk / kChunks, [&](std::size_t run) {
    const std::byte* from = memory + run * kChunks * kChunk % kMemoryBytes;
    pool.run(kChunks, [&](std::size_t task) {
      std::uint64_t sum[8] = {};
      const auto* words = reinterpret_cast<const std::uint64_t*>(from + task * kChunk);
      for (std::size_t i = 0; i < kChunk / 8; i += 8) {
        for (std::size_t lane = 0; lane < 8; ++lane) sum[lane] += words[i + lane];
      }
      sums[task * 8] = std::accumulate(sum, sum + 8, std::uint64_t{0});
    });
  });
  return static_cast<double>(kChunk * kChunks) / seconds;
}

struct Setting {
  const MatrixKernels& kernels;
  ThreadPool& pool;
  const Options& options;
};

void run_case(const Setting& setting, std::byte* memory, const Case& c, double read) {
  const auto& [kernels, pool, options] = setting;
  const MatrixFormat format{.rows = c.n,
                            .columns = c.k,
                            .bits = static_cast<std::uint8_t>(c.bits),
                            .block = 32,
                            .zeros = options.minima ? ZeroPoints::kMinimum : ZeroPoints::kSymmetric,
                            .has_half_scales = true};
  const std::size_t bytes = format.packed_bytes();
  const std::size_t matrices = options.cached ? 1 : std::max<std::size_t>(kMemoryBytes / bytes, 1);
  std::vector<float> x(c.m * c.k, 0.5F);
  Bytes out = make_bytes(c.m * c.n * sizeof(float));
  Bytes rows = make_bytes(quantized_rows_bytes(c.m, c.k));
  const QuantizedRows quantized =
      quantized_rows_over({rows.get(), quantized_rows_bytes(c.m, c.k)}, c.m, c.k);
  ProductOutput output;
  output.out = Rows{.data = reinterpret_cast<float*>(out.get()), .stride = c.n};
  const std::size_t runs = c.m > 64 ? 30 : std::max<std::size_t>(3 * kMemoryBytes / bytes, 10);
  const double seconds = typical_seconds(runs, [&](std::size_t run) {
    quantize_rows(kernels, pool, ConstRows(x.data(), c.k), quantized);
    multiply(kernels, pool, {.format = format, .packed = {memory + run % matrices * bytes, bytes}},
             quantized, output);
  });
  const double operations = 2.0 * static_cast<double>(c.m) * c.k * c.n;
  const double speed = static_cast<double>(bytes) / seconds;
  std::printf("M %4zu K %5u N %6u bits %d: %9.1f us %6.1f GB/s (%3.0f%% of read) %6.0f GOP/s\n",
              c.m, c.k, c.n, c.bits, seconds * 1e6, speed / 1e9, 100 * speed / read,
              operations / seconds / 1e9);
}

std::vector<Case> default_cases() {
  std::vector<Case> cases;
  const std::vector<Case> shapes = {{0, 576, 960, 4},   {0, 576, 576, 4},   {0, 576, 3072, 4},
                                    {0, 1536, 576, 4},  {0, 576, 49152, 8}, {0, 896, 1152, 4},
                                    {0, 896, 896, 4},   {0, 896, 9728, 4},  {0, 4864, 896, 4},
                                    {0, 896, 151936, 8}};
  for (const std::size_t m : {1U, 2U, 4U, 8U, 16U, 512U}) {
    for (Case c : shapes) {
      if (m > 16 && c.bits == 8) continue;
      c.m = m;
      cases.push_back(c);
    }
  }
  return cases;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto number = [&](std::size_t at) {
    return std::strtoul(arguments[at].c_str(), nullptr, 10);
  };
  std::size_t at = 0;
  for (; at < arguments.size() && arguments[at].starts_with("--"); ++at) {
    if (arguments[at] == "--cached") options.cached = true;
    if (arguments[at] == "--minima") options.minima = true;
    if (at + 1 == arguments.size()) break;
    if (arguments[at] == "--isa") options.isa = arguments[++at];
    if (arguments[at] == "--threads") options.threads = static_cast<unsigned>(number(++at));
  }
  std::vector<Case> cases;
  for (; at + 3 < arguments.size(); at += 4) {
    cases.push_back({.m = number(at),
                     .k = static_cast<std::uint32_t>(number(at + 1)),
                     .n = static_cast<std::uint32_t>(number(at + 2)),
                     .bits = static_cast<int>(number(at + 3))});
  }
  if (cases.empty()) cases = default_cases();
  const MatrixKernels& kernels = matrix_kernels(choose_instruction_set(options.isa).set);
  ThreadPool pool(options.threads);
  const Bytes memory = make_bytes(kMemoryBytes + (32U << 20U));
  const double read = read_speed(pool, memory.get());
  std::printf("%s, %u threads, plain read %.1f GB/s\n",
              std::string(to_string(kernels.set())).c_str(), pool.threads(), read / 1e9);
  for (const Case& c : cases) run_case({kernels, pool, options}, memory.get(), c, read);
  return 0;
}
