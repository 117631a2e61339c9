#include "api/anthropic/batches.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "api/anthropic/errors.h"
#include "api/anthropic/limits.h"
#include "api/anthropic/timestamp.h"
#include "api/anthropic/tools.h"
#include "api/fields.h"
#include "base/json.h"
#include "base/json_text.h"

namespace onnxlocal::anthropic {

namespace {

Result<BatchRequest> parse_request(const Fields& fields, json::TextView text) {
  TRY(const std::string_view id, fields.require_text("custom_id"));
  if (!is_name(id, kCustomIdBytesMax)) {
    return std::unexpected(field_error(
        fields.path_of("custom_id"),
        fmt::format("'{}' does not match ^[a-zA-Z0-9_-]{{1,{}}}$", shown(id), kCustomIdBytesMax)));
  }
  TRY_VOID(fields.require_object("params"));
  const auto params = text.member("params");
  return BatchRequest{.custom_id = std::string(id),
                      .params = std::string(params ? params->text() : "{}")};
}

std::string_view to_text(MessageBatch::Status status) {
  switch (status) {
    case MessageBatch::Status::kInProgress: return "in_progress";
    case MessageBatch::Status::kCanceling: return "canceling";
    case MessageBatch::Status::kEnded: break;
  }
  return "ended";
}

json::value time_or_null(const std::optional<std::chrono::sys_seconds>& time) {
  return time ? json::value(to_rfc3339(*time)) : json::value(nullptr);
}

json::object to_object(const MessageBatch& batch) {
  return {{"id", batch.id},
          {"type", "message_batch"},
          {"processing_status", to_text(batch.status)},
          {"request_counts", json::object{{"processing", batch.counts.processing},
                                          {"succeeded", batch.counts.succeeded},
                                          {"errored", batch.counts.errored},
                                          {"canceled", batch.counts.canceled},
                                          {"expired", batch.counts.expired}}},
          {"created_at", to_rfc3339(batch.created_at)},
          {"expires_at", to_rfc3339(batch.expires_at)},
          {"ended_at", time_or_null(batch.ended_at)},
          {"cancel_initiated_at", time_or_null(batch.cancel_initiated_at)},
          {"archived_at", nullptr},
          {"results_url",
           batch.results_url.empty() ? json::value(nullptr) : json::value(batch.results_url)}};
}

std::string result_line(std::string_view custom_id, std::string_view result) {
  return fmt::format("{{\"custom_id\":{},\"result\":{}}}\n",
                     json::serialize(json::value(custom_id)), result);
}

}  // namespace

Result<std::vector<BatchRequest>> parse_batch(std::string_view body) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields batch, Fields::of(value, {}));
  TRY_VOID(batch.require("requests"));
  TRY(const json::array* list, batch.list("requests", kBatchRequestsMax));
  if (list->empty()) {
    return std::unexpected(field_error("requests", "List should have at least 1 item"));
  }
  const auto written = json::TextView(body).member("requests");
  const auto slices = written ? written->elements() : std::vector<json::TextView>();
  std::vector<BatchRequest> requests;
  std::set<std::string_view> ids;
  for (std::size_t i = 0; i < list->size(); ++i) {
    TRY(const Fields fields, Fields::of((*list)[i], fmt::format("requests.{}", i)));
    TRY(BatchRequest request,
        parse_request(fields, i < slices.size() ? slices[i] : json::TextView({})));
    TRY(const std::string_view id, fields.require_text("custom_id"));
    if (!ids.insert(id).second) {
      return std::unexpected(
          field_error(fields.path_of("custom_id"),
                      fmt::format("custom_id must be unique: '{}' is there twice", shown(id))));
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

std::string batch_body(const MessageBatch& batch) { return json::serialize(to_object(batch)); }

std::string batch_list_body(std::span<const MessageBatch> batches, bool has_more) {
  json::array data;
  for (const MessageBatch& batch : batches) data.push_back(to_object(batch));
  json::object body{{"data", std::move(data)}, {"has_more", has_more}};
  body["first_id"] = batches.empty() ? json::value(nullptr) : json::value(batches.front().id);
  body["last_id"] = batches.empty() ? json::value(nullptr) : json::value(batches.back().id);
  return json::serialize(body);
}

std::string batch_deleted_body(std::string_view id) {
  return json::serialize(json::object{{"id", id}, {"type", "message_batch_deleted"}});
}

std::string batch_succeeded_line(std::string_view custom_id, std::string_view message) {
  return result_line(custom_id, fmt::format(R"({{"type":"succeeded","message":{}}})", message));
}

std::string batch_errored_line(std::string_view custom_id, const Error& error) {
  const json::object body{{"type", "error"},
                          {"error", json::object{{"type", to_http_error(error.code).type},
                                                 {"message", describe(error)}}},
                          {"request_id", nullptr}};
  return result_line(custom_id,
                     json::serialize(json::object{{"type", "errored"}, {"error", body}}));
}

std::string batch_canceled_line(std::string_view custom_id) {
  return result_line(custom_id, R"({"type":"canceled"})");
}

std::string batch_expired_line(std::string_view custom_id) {
  return result_line(custom_id, R"({"type":"expired"})");
}

}  // namespace onnxlocal::anthropic
