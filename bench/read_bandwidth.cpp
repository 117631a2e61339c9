// read_bandwidth [THREADS]: how fast the threads read memory together, as one line of JSON. What a
// decode step, which reads every weight once, cannot beat.

#include <algorithm>
#include <barrier>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kBytes = std::size_t{512} << 20;  // Far beyond any cache.
constexpr int kPasses = 5;

/// Eight independent sums, so that the additions never wait for each other.
std::uint64_t sum_of(const std::uint64_t* data, std::size_t count) {
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) sums[j] += data[i + j];
  }
  std::uint64_t total = 0;
  for (const std::uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  int wanted = 0;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), wanted);
  const auto threads = static_cast<std::size_t>(
      wanted > 0 ? wanted : static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U)));
  const std::vector<std::uint64_t> data(kBytes / sizeof(std::uint64_t), 1);
  const std::size_t share = data.size() / threads;
  std::vector<std::uint64_t> sums(threads);
  std::barrier line(static_cast<std::ptrdiff_t>(threads) + 1);
  std::vector<std::jthread> readers;
  for (std::size_t i = 0; i < threads; ++i) {
    readers.emplace_back([&, i] {
      for (int pass = 0; pass < kPasses; ++pass) {
        line.arrive_and_wait();
        sums[i] += sum_of(data.data() + i * share, share);
        line.arrive_and_wait();
      }
    });
  }
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    line.arrive_and_wait();
    line.arrive_and_wait();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::max(
        best, static_cast<double>(share * threads * sizeof(std::uint64_t)) / taken.count() / 1e9);
  }
  std::uint64_t total = 0;
  for (const std::uint64_t sum : sums) total += sum;
  std::printf("{\"threads\": %zu, \"gb_per_s\": %.2f, \"sum\": %llu}\n", threads, best,
              static_cast<unsigned long long>(total));
}
