#include "api/openai/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "api/common_sampling.h"

namespace onnxlocal::openai {

namespace {

constexpr double kTemperatureMax = 2;
constexpr std::uint32_t kAlternativesMax = 20;
constexpr std::size_t kStopsMax = 16;
constexpr std::size_t kBiasesMax = 1024;
constexpr std::size_t kAgentBytesMax = 128;

Result<void> parse_number(const Fields& request, std::string_view name, double least, double most,
                          float& target) {
  TRY(const auto number, request.number(name, least, most));
  if (number) target = static_cast<float>(*number);
  return {};
}

Result<void> parse_seed(const Fields& request, SamplingOptions& sampling) {
  const json::value* seed = request.find("seed");
  if (seed == nullptr) return {};
  if (const std::int64_t* whole = seed->if_int64()) {
    sampling.seed = static_cast<std::uint64_t>(*whole);
  } else if (const std::uint64_t* large = seed->if_uint64()) {
    sampling.seed = *large;
  } else {
    return std::unexpected(field_error(request.path_of("seed"), "Input should be a valid integer"));
  }
  return {};
}

Result<void> parse_logit_bias(const Fields& request, SamplingOptions& sampling) {
  const json::value* value = request.find("logit_bias");
  if (value == nullptr) return {};
  const json::object* biases = value->if_object();
  if (biases == nullptr) {
    return std::unexpected(field_error("logit_bias", "Input should be an object"));
  }
  if (biases->size() > kBiasesMax) {
    return std::unexpected(
        field_error("logit_bias", fmt::format("at most {} tokens may have one", kBiasesMax)));
  }
  for (const auto& [name, bias] : *biases) {
    const std::string_view key = name;
    TokenId token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc{} || end != key.data() + key.size() || token < 0) {
      return std::unexpected(field_error("logit_bias", "each key should be a token's number"));
    }
    const double number = bias.is_number() ? bias.to_number<double>() : 1000;
    if (!(number >= -100 && number <= 100)) {
      return std::unexpected(field_error("logit_bias", "each bias should be from -100 to 100"));
    }
    sampling.logit_bias[token] = static_cast<float>(number);
  }
  return {};
}

}  // namespace

Result<void> parse_sampling(const Fields& request, GenerationRequest& generation) {
  TRY(const std::string_view model, request.require_text("model"));
  if (model.empty()) {
    return std::unexpected(field_error("model", "String should have at least 1 character"));
  }
  generation.model = model;
  SamplingOptions& sampling = generation.sampling;
  TRY_VOID(parse_common_sampling(request, kTemperatureMax, sampling));
  TRY_VOID(parse_number(request, "min_p", 0, 1, sampling.min_p));
  TRY_VOID(parse_number(request, "repetition_penalty", 0.01, 100, sampling.repetition_penalty));
  TRY_VOID(parse_number(request, "frequency_penalty", -2, 2, sampling.frequency_penalty));
  TRY_VOID(parse_number(request, "presence_penalty", -2, 2, sampling.presence_penalty));
  TRY_VOID(parse_seed(request, sampling));
  TRY_VOID(parse_logit_bias(request, sampling));
  TRY(const auto agent, request.text("prompt_cache_key"));
  generation.agent = agent.value_or("").substr(0, kAgentBytesMax);
  return {};
}

Result<std::uint32_t> parse_tokens_max(const Fields& request,
                                       std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    TRY(const auto tokens_max, request.whole_number(name, 1));
    if (tokens_max) return *tokens_max;
  }
  return kTokensUnlimited;
}

Result<std::optional<std::uint32_t>> parse_alternatives(const Fields& request,
                                                        std::string_view name) {
  TRY(const auto alternatives, request.whole_number(name, 0));
  if (alternatives.value_or(0) > kAlternativesMax) {
    return std::unexpected(field_error(
        name, fmt::format("Input should be less than or equal to {}", kAlternativesMax)));
  }
  return alternatives;
}

Result<std::vector<std::string>> parse_stop(const Fields& request) {
  std::vector<std::string> stops;
  const json::value* value = request.find("stop");
  if (value == nullptr) return stops;
  const auto add = [&](const json::value& stop) {
    if (!stop.is_string() || stop.get_string().empty()) return false;
    stops.emplace_back(stop.get_string());
    return true;
  };
  bool is_sound = true;
  if (const json::array* list = value->if_array()) {
    is_sound = list->size() <= kStopsMax && std::ranges::all_of(*list, add);
  } else {
    is_sound = add(*value);
  }
  if (!is_sound) {
    return std::unexpected(field_error(
        "stop",
        fmt::format("Input should be a string that is not empty, or up to {} of them", kStopsMax)));
  }
  return stops;
}

Result<ThinkingOptions> parse_effort(const Fields& fields, std::string_view name) {
  struct Effort {
    std::string_view name;
    std::uint32_t tokens_max = 0;
  };
  constexpr std::array<Effort, 7> kEfforts = {{{"none"},
                                               {"minimal"},
                                               {"low", 1024},
                                               {"medium", 4096},
                                               {"high", 16384},
                                               {"xhigh", 32768},
                                               {"max", 65536}}};
  TRY(const auto asked, fields.text(name));
  if (!asked) return ThinkingOptions{};
  const auto* const found = std::ranges::find(kEfforts, *asked, &Effort::name);
  if (found == kEfforts.end()) {
    return std::unexpected(field_error(
        fields.path_of(name),
        "Input should be 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max'"));
  }
  if (found->tokens_max == 0)
    return ThinkingOptions{.mode = ThinkingOptions::Mode::kDisabled, .tokens_max = {}};
  return ThinkingOptions{.mode = ThinkingOptions::Mode::kEnabled, .tokens_max = found->tokens_max};
}

Result<StreamOptions> parse_stream(const Fields& request) {
  StreamOptions options;
  TRY(const auto stream, request.boolean("stream"));
  options.stream = stream.value_or(false);
  TRY(const auto more, request.object("stream_options"));
  if (!more) return options;
  TRY(const auto include_usage, more->boolean("include_usage"));
  options.include_usage = include_usage.value_or(false);
  return options;
}

Result<void> refuse_fields(const Fields& request, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (request.find(name) == nullptr) continue;
    return std::unexpected(
        field_error(request.path_of(name), "this is not supported by this server"));
  }
  return {};
}

Result<void> check_count(const Fields& request, std::string_view name) {
  TRY(const auto count, request.whole_number(name, 1));
  if (count.value_or(1) == 1) return {};
  return std::unexpected(
      field_error(request.path_of(name), "only 1 is supported by this server: ask several times"));
}

}  // namespace onnxlocal::openai
