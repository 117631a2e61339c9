#include "provider/local_embedder.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/log.h"
#include "provider/load_parts.h"
#include "runtime/embedding_model.h"
#include "runtime/embedding_pooling.h"
#include "text/encode_input.h"
#include "text/tokenizer.h"

namespace onnxlocal {

namespace {

std::string id_of(const EmbeddingFolder& folder) { return "onnx-local/" + folder.name; }

Error input_error(std::size_t index, std::string_view what) {
  return invalid_request(fmt::format("input.{}: {}", index, what));
}

/// The tokens of each input, checked against the model's window and vocabulary.
Result<std::vector<std::vector<TokenId>>> tokens_of(const EmbeddingRequest& request,
                                                    const EmbeddingFolder& folder,
                                                    const Tokenizer& tokenizer,
                                                    std::size_t tokens_max) {
  std::vector<std::vector<TokenId>> rows;
  std::size_t total = 0;
  for (const RawPrompt& input : request.inputs) {
    const std::size_t index = rows.size();
    if (const auto* text = std::get_if<std::string>(&input)) {
      TRY(auto tokens, encode_input(tokenizer, *text));
      rows.push_back(std::move(tokens));
    } else {
      rows.push_back(std::get<std::vector<TokenId>>(input));
    }
    const std::vector<TokenId>& row = rows.back();
    const auto is_known = [&](TokenId token) {
      return std::cmp_less(token, tokenizer.vocabulary_size());
    };
    if (row.empty()) return std::unexpected(input_error(index, "it has no tokens"));
    if (!std::ranges::all_of(row, is_known)) {
      return std::unexpected(input_error(index, "it has a token that the model does not know"));
    }
    if (row.size() > folder.config.context_tokens) {
      return std::unexpected(
          input_error(index, fmt::format("it has {} tokens, {} takes at most {}", row.size(),
                                         folder.name, folder.config.context_tokens)));
    }
    total += row.size();
    if (total > tokens_max) {
      return std::unexpected(invalid_request(
          fmt::format("input: more than {} tokens in all: ask several times", tokens_max)));
    }
  }
  return rows;
}

/// How many rows from `begin` on, each at most as long as the one before, fit a run.
std::size_t count_run(std::span<const std::size_t> order,
                      std::span<const std::vector<TokenId>> rows, std::size_t run_tokens) {
  const std::size_t width = rows[order.front()].size();
  return std::clamp<std::size_t>(run_tokens / width, 1, order.size());
}

/// Cuts to the first `dimensions` elements, of length 1 again.
Result<void> shorten(std::vector<std::vector<float>>& vectors, std::uint32_t dimensions,
                     std::string_view model) {
  for (std::vector<float>& vector : vectors) {
    if (dimensions > vector.size()) {
      return std::unexpected(invalid_request(
          fmt::format("dimensions: Input should be at most {}, the size of {}'s vectors",
                      vector.size(), model)));
    }
    if (dimensions == vector.size()) continue;
    vector.resize(dimensions);
    normalize(vector);
  }
  return {};
}

}  // namespace

struct LocalEmbedder::Model {
  std::size_t folder = 0;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<EmbeddingModel> encoder;
};

LocalEmbedder::LocalEmbedder(std::vector<EmbeddingFolder> folders, RuntimeOptions runtime,
                             EmbeddingLimits limits)
    : folders_(std::move(folders)),
      runtime_(std::move(runtime)),
      limits_(limits),
      jobs_(limits.queue_max),
      thread_([this](const std::stop_token&) { work(all_.get_token()); }) {}

LocalEmbedder::~LocalEmbedder() { shut_down(); }

std::vector<EmbeddingModelInfo> LocalEmbedder::models() const {
  std::vector<EmbeddingModelInfo> models;
  for (const EmbeddingFolder& folder : folders_) {
    models.push_back({.id = id_of(folder),
                      .display_name = folder.name,
                      .created_at = changed_at(folder.model_file()),
                      .context_tokens = folder.config.context_tokens,
                      .dimensions = folder.config.dimensions});
  }
  return models;
}

Result<ActiveGeneration> LocalEmbedder::embed(EmbeddingRequest request, EmbeddingSink sink) {
  const auto found = std::ranges::find(folders_, request.model, id_of);
  if (found == folders_.end()) return std::unexpected(not_found("model: " + request.model));
  std::stop_source cancel;
  Job job{.folder = static_cast<std::size_t>(found - folders_.begin()),
          .request = std::move(request),
          .sink = std::move(sink),
          .cancel = cancel.get_token()};
  switch (jobs_.push(std::move(job))) {
    case ChannelPush::kAccepted: break;
    case ChannelPush::kFull:
      return std::unexpected(overloaded("too many embedding requests are waiting"));
    case ChannelPush::kClosed: return std::unexpected(unavailable("the server is stopping"));
  }
  return ActiveGeneration([cancel]() mutable { cancel.request_stop(); });
}

void LocalEmbedder::shut_down() {
  all_.request_stop();
  jobs_.close();
}

void LocalEmbedder::work(const std::stop_token& stop) {
  while (auto job = jobs_.pop()) {
    job->sink(stop.stop_requested() ? std::unexpected(cancelled()) : run(*job));
  }
}

Result<LocalEmbedder::Model*> LocalEmbedder::model(std::size_t folder,
                                                   const std::stop_token& stop) {
  const auto found = std::ranges::find(loaded_, folder, &Model::folder);
  if (found != loaded_.end()) {
    std::rotate(loaded_.begin(), found, found + 1);
    return loaded_.front().get();
  }
  // Before the new one is there, so that there are never more.
  if (loaded_.size() >= limits_.models_loaded) loaded_.pop_back();
  const EmbeddingFolder& chosen = folders_[folder];
  auto model = std::make_unique<Model>();
  model->folder = folder;
  TRY(model->tokenizer, Tokenizer::load(chosen.tokenizer_file()));
  TRY(model->encoder, EmbeddingModel::load(chosen, runtime_, stop));
  LOG_INFO("embedding model {} is ready on {}", chosen.name, model->encoder->execution_provider());
  loaded_.insert(loaded_.begin(), std::move(model));
  return loaded_.front().get();
}

Result<Embeddings> LocalEmbedder::run(const Job& job) {
  if (job.cancel.stop_requested()) return std::unexpected(cancelled());
  const EmbeddingFolder& folder = folders_[job.folder];
  TRY(Model* const model, this->model(job.folder, all_.get_token()));
  TRY(auto rows, tokens_of(job.request, folder, *model->tokenizer, limits_.request_tokens));
  Embeddings made;
  for (const auto& row : rows) made.tokens += static_cast<std::uint32_t>(row.size());
  made.vectors.resize(rows.size());
  // The longest first: rows of about one length share a run, and padding is rare.
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, std::ranges::greater(),
                    [&](std::size_t i) { return std::pair(rows[i].size(), i); });
  for (std::span<const std::size_t> rest = order; !rest.empty();) {
    if (job.cancel.stop_requested() || all_.stop_requested()) return std::unexpected(cancelled());
    const auto chosen = rest.first(count_run(rest, rows, limits_.run_tokens));
    rest = rest.subspan(chosen.size());
    std::vector<std::vector<TokenId>> together;
    for (const std::size_t i : chosen) together.push_back(rows[i]);
    TRY(auto vectors, model->encoder->embed(together));
    for (std::size_t i = 0; i < chosen.size(); ++i) made.vectors[chosen[i]] = std::move(vectors[i]);
  }
  if (job.request.dimensions) {
    TRY_VOID(shorten(made.vectors, *job.request.dimensions, folder.name));
  }
  return made;
}

}  // namespace onnxlocal
