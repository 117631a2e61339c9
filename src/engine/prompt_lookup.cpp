// Prompt lookup: two incremental indexes of each sequence's tokens, by the last four and by the
// last two. A new token costs one entry in each; a guess looks at a bounded number of places.
#include <algorithm>
#include <unordered_map>

#include "engine/drafter.h"

namespace onnxlocal {
namespace {

/// Places that are compared, most recent first, and how far back.
constexpr std::uint32_t kPlacesMax = 8;
constexpr std::uint32_t kMatchMax = 32;
/// How far from the place that is copied one token is a match.
constexpr std::uint32_t kNearby = 5;
/// A long prompt is indexed over several steps.
constexpr std::uint32_t kIndexedPerCallMax = 8192;

std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93ULL;
  x ^= x >> 32;
  return x;
}

/// Where runs of `size` tokens ended.
class RunIndex {
 public:
  explicit RunIndex(std::uint32_t size) : size_(size) {}

  std::uint32_t size() const { return size_; }
  /// Adds the run that ends before `end`. In order of `end`, none left out.
  void add(std::span<const TokenId> tokens, std::uint32_t end) {
    before_.resize(end + 1, 0);
    if (end < size_) return;
    std::uint32_t& last = last_[key(tokens, end)];
    before_[end] = std::exchange(last, end);
  }
  /// The last place where the run that ends before `end` ended; 0 where there is none.
  std::uint32_t find(std::span<const TokenId> tokens, std::uint32_t end) const {
    if (end < size_) return 0;
    const auto found = last_.find(key(tokens, end));
    return found == last_.end() ? 0 : found->second;
  }
  std::uint32_t before(std::uint32_t place) const { return before_[place]; }

 private:
  std::uint64_t key(std::span<const TokenId> tokens, std::uint32_t end) const {
    std::uint64_t key = 0;
    for (const TokenId token : tokens.subspan(end - size_, size_)) {
      key = mix(key ^ static_cast<std::uint32_t>(token)) + 0x9E3779B97F4A7C15ULL;
    }
    return key;
  }

  std::uint32_t size_;
  std::unordered_map<std::uint64_t, std::uint32_t> last_;
  std::vector<std::uint32_t> before_;  ///< [place] the place before with the same run.
};

/// How many tokens before `place` are those before the end.
std::uint32_t match_length(std::span<const TokenId> tokens, std::uint32_t place) {
  const std::uint32_t most = std::min(place, kMatchMax);
  std::uint32_t length = 0;
  while (length < most && tokens[place - 1 - length] == tokens[tokens.size() - 1 - length]) {
    ++length;
  }
  return length;
}

/// The longer the match, the surer what follows.
std::uint32_t kind_of(std::uint32_t match_length) {
  constexpr std::uint32_t kMiddling = 4;
  constexpr std::uint32_t kLong = 12;
  return match_length < kMiddling ? 0 : match_length < kLong ? 1 : 2;
}

class PromptLookup final : public Drafter {
 public:
  explicit PromptLookup(std::uint32_t slots) : states_(slots) {}

  DraftPrepared prepare(const DraftSource& source, std::uint32_t tokens_max) override {
    State& state = states_.at(source.slot.value);
    const auto size = static_cast<std::uint32_t>(source.tokens.size());
    // The run at the very end is what is looked for: it is not indexed yet.
    const std::uint32_t end = std::min(size, state.indexed + kIndexedPerCallMax);
    for (; state.indexed < end; ++state.indexed) {
      state.fours.add(source.tokens, state.indexed);
      state.pairs.add(source.tokens, state.indexed);
    }
    if (state.indexed < size) return {};
    state.place = find(state, source.tokens);
    if (state.place != 0) {
      state.trail = state.place;
      state.size = size;
    }
    if (state.place == 0) return {};
    return {.tokens_max = tokens_max, .kind = kind_of(match_length(source.tokens, state.place))};
  }

  void draft(std::span<const DraftRequest> requests) override {
    for (const DraftRequest& request : requests) {
      const State& state = states_.at(request.source.slot.value);
      const std::span<const TokenId> tokens = request.source.tokens;
      std::vector<TokenId>& draft = *request.draft;
      // A place near the end goes on in the guess itself, as a text that repeats itself does.
      for (std::size_t at = state.place; draft.size() < request.tokens_max; ++at) {
        draft.push_back(at < tokens.size() ? tokens[at] : draft[at - tokens.size()]);
      }
    }
  }

  void forget(SlotId slot) override { states_.at(slot.value) = {}; }
  double token_cost() const override { return 0; }

 private:
  struct State {
    RunIndex fours{4};
    RunIndex pairs{2};
    std::uint32_t indexed = 0;  ///< Runs that end before this are in the indexes.
    std::uint32_t place = 0;    ///< What is there came next the last time; 0: nowhere.
    std::uint32_t trail = 0;    ///< Where the text that is copied went on; 0: none is.
    std::uint32_t size = 0;     ///< Tokens when `trail` was right.
  };

  /// The place with the longest match; of several the one near what is being copied, else the most
  /// recent one.
  static std::uint32_t find(const State& state, std::span<const TokenId> tokens) {
    const auto end = static_cast<std::uint32_t>(tokens.size());
    std::uint32_t best = 0;
    std::uint32_t best_length = 0;
    const auto look_at = [&](std::uint32_t place) {
      const std::uint32_t length = match_length(tokens, place);
      if (length <= best_length) return;
      best = place;
      best_length = length;
    };
    // Where a word of a copied text was replaced, it goes on nearby: there one token is a match.
    const std::uint32_t here = state.trail + (end - state.size);
    if (state.trail != 0) {
      look_at(std::min(here, end - 1));
      for (std::uint32_t step = 1; step <= kNearby; ++step) {
        look_at(std::min(here + step, end - 1));
        look_at(here - std::min(here, step));
      }
    }
    for (const RunIndex* index : {&state.fours, &state.pairs}) {
      if (best_length >= index->size()) continue;
      std::uint32_t place = index->find(tokens, end);
      for (std::uint32_t i = 0; i < kPlacesMax && place != 0; ++i) {
        look_at(place);
        place = index->before(place);
      }
    }
    return best;
  }

  std::vector<State> states_;  ///< By slot.
};

}  // namespace

std::unique_ptr<Drafter> make_prompt_lookup(std::uint32_t slots) {
  return std::make_unique<PromptLookup>(slots);
}

}  // namespace onnxlocal
