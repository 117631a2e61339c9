// GB/s and GOP/s of products, beside what the memory gives: ep_matrix_bench [M K N BITS]...
// Without arguments: the shapes of a 135M and a 0.5B model.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "matrix/matrix_product.h"
#include "threads/thread_pool.h"

namespace {

using namespace onnxlocal::ep;

struct Case {
  std::size_t m;
  std::uint32_t k;
  std::uint32_t n;
  int bits;
};

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Bytes = std::unique_ptr<std::byte, Free>;
Bytes make_bytes(std::size_t size) {
  Bytes bytes(static_cast<std::byte*>(std::aligned_alloc(64, (size + 63) / 64 * 64)));
  std::memset(bytes.get(), 1, size);
  return bytes;
}

/// Matrices of one shape, enough of them that no cache holds them all.
constexpr std::size_t kMemoryBytes = 256U << 20U;

double median_seconds(std::size_t runs, const auto& body) {
  std::vector<double> seconds;
  for (std::size_t run = 0; run < runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::sort(seconds);
  return seconds[runs / 2];
}

/// Bytes per second of a plain read by all threads.
double read_speed(ThreadPool& pool, const std::byte* memory) {
  constexpr std::size_t kChunk = 1U << 20U;
  std::vector<std::uint64_t> sums(kMemoryBytes / kChunk * 8);
  const double seconds = median_seconds(7, [&] {
    pool.run(kMemoryBytes / kChunk, [&](std::size_t task) {
      std::uint64_t sum[8] = {};
      const auto* words = reinterpret_cast<const std::uint64_t*>(memory + task * kChunk);
      for (std::size_t i = 0; i < kChunk / 8; i += 8) {
        for (std::size_t lane = 0; lane < 8; ++lane) sum[lane] += words[i + lane];
      }
      sums[task * 8] = std::accumulate(sum, sum + 8, std::uint64_t{0});
    });
  });
  return static_cast<double>(kMemoryBytes) / seconds;
}

void run_case(const MatrixKernels& kernels, ThreadPool& pool, std::byte* memory, const Case& c,
              double read) {
  const MatrixFormat format{
      .rows = c.n,
      .columns = c.k,
      .bits = static_cast<std::uint8_t>(c.bits),
      .block = 32,
      .zeros = std::getenv("MINIMUM") != nullptr ? ZeroPoints::kMinimum : ZeroPoints::kSymmetric,
      .has_half_scales = true};
  const std::size_t bytes = format.packed_bytes();
  const std::size_t matrices = std::max<std::size_t>(kMemoryBytes / bytes, 1);
  std::vector<float> x(c.m * c.k, 0.5F);
  std::vector<float> out(c.m * c.n);
  const Bytes rows = make_bytes(quantized_rows_bytes(c.m, c.k));
  const QuantizedRows quantized =
      quantized_rows_over({rows.get(), quantized_rows_bytes(c.m, c.k)}, c.m, c.k);
  ProductOutput output;
  output.out = Rows{.data = out.data(), .stride = c.n};
  const std::size_t count = c.m > 64 ? std::min<std::size_t>(matrices, 4) : matrices;
  const double seconds =
      median_seconds(5,
                     [&] {
                       for (std::size_t i = 0; i < count; ++i) {
                         quantize_rows(kernels, pool, ConstRows(x.data(), c.k), quantized);
                         multiply(kernels, pool,
                                  {.format = format, .packed = {memory + i * bytes, bytes}},
                                  quantized, output);
                       }
                     }) /
      static_cast<double>(count);
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
  std::vector<Case> cases;
  for (int i = 1; i + 3 < argc; i += 4) {
    cases.push_back({.m = std::strtoul(argv[i], nullptr, 10),
                     .k = static_cast<std::uint32_t>(std::strtoul(argv[i + 1], nullptr, 10)),
                     .n = static_cast<std::uint32_t>(std::strtoul(argv[i + 2], nullptr, 10)),
                     .bits = static_cast<int>(std::strtoul(argv[i + 3], nullptr, 10))});
  }
  if (cases.empty()) cases = default_cases();
  const char* wanted = std::getenv("ONNX_LOCAL_ISA");
  const InstructionSetChoice choice = choose_instruction_set(wanted == nullptr ? "" : wanted);
  const MatrixKernels& kernels = matrix_kernels(choice.set);
  const char* threads = std::getenv("THREADS");
  ThreadPool pool(threads == nullptr ? 0
                                     : static_cast<unsigned>(std::strtoul(threads, nullptr, 10)));
  const Bytes memory = make_bytes(kMemoryBytes + (32U << 20U));
  const double read = read_speed(pool, memory.get());
  std::printf("%s, %u threads, plain read %.1f GB/s\n",
              std::string(to_string(kernels.set())).c_str(), pool.threads(), read / 1e9);
  for (const Case& c : cases) run_case(kernels, pool, memory.get(), c, read);
  return 0;
}
