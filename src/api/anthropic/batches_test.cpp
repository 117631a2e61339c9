#include "api/anthropic/batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/anthropic/test_requests.h"

namespace onnxlocal::anthropic {
namespace {

using testing::HasSubstr;

const std::chrono::sys_seconds kDay{std::chrono::seconds(86400)};

std::string refusal(const std::string& text) {
  const auto parsed = parse_batch(text);
  return parsed ? "it was accepted" : parsed.error().message;
}

TEST(Batch, KeepsTheParametersOfEachRequestAsTheyWereWritten) {
  const auto requests = parse_batch(R"({"requests":[
      {"custom_id":"a-1","params":{"model": "m", "temperature":1.0}},
      {"params":{"b":[1,{}]},"custom_id":"b_2"}]})");
  ASSERT_TRUE(requests.has_value());
  ASSERT_EQ(requests->size(), 2U);
  EXPECT_EQ(requests->at(0).custom_id, "a-1");
  EXPECT_EQ(requests->at(0).params, R"({"model": "m", "temperature":1.0})");
  EXPECT_EQ(requests->at(1).params, R"({"b":[1,{}]})");
}

class MalformedBatch : public testing::TestWithParam<BadRequest> {};

TEST_P(MalformedBatch, IsRefusedByItsPath) {
  EXPECT_THAT(refusal(GetParam().fields), HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    EachField, MalformedBatch,
    testing::Values(
        BadRequest{"[]", "Input should be an object"}, BadRequest{"{}", "requests: Field required"},
        BadRequest{R"({"requests":[]})", "requests: List should have at least 1 item"},
        BadRequest{R"({"requests":{}})", "requests: Input should be a valid list"},
        BadRequest{R"({"requests":[{"params":{}}]})", "requests.0.custom_id: Field required"},
        BadRequest{R"({"requests":[{"custom_id":"a"}]})", "requests.0.params: Field required"},
        BadRequest{R"({"requests":[{"custom_id":"a","params":[]}]})",
                   "requests.0.params: Input should be an object"},
        BadRequest{R"({"requests":[{"custom_id":"a b","params":{}}]})",
                   "requests.0.custom_id: 'a b' does not match"},
        BadRequest{R"({"requests":[{"custom_id":")" + std::string(65, 'x') + R"(","params":{}}]})",
                   "requests.0.custom_id: 'xxx"},
        BadRequest{R"({"requests":[{"custom_id":"a","params":{}},
                                   {"custom_id":"a","params":{}}]})",
                   "requests.1.custom_id: custom_id must be unique"}));

TEST(Batch, DescribesItself) {
  const auto running = json::parse(batch_body({.id = "msgbatch_1",
                                               .status = MessageBatch::Status::kInProgress,
                                               .counts = {.processing = 2, .succeeded = 1},
                                               .created_at = kDay,
                                               .expires_at = kDay + std::chrono::hours(24),
                                               .ended_at = {},
                                               .cancel_initiated_at = {},
                                               .results_url = {}}))
                           .value();
  EXPECT_EQ(running.at("type"), "message_batch");
  EXPECT_EQ(running.at("processing_status"), "in_progress");
  EXPECT_EQ(running.at("request_counts").at("processing"), 2);
  EXPECT_EQ(running.at("request_counts").at("expired"), 0);
  EXPECT_EQ(running.at("created_at"), "1970-01-02T00:00:00Z");
  EXPECT_EQ(running.at("expires_at"), "1970-01-03T00:00:00Z");
  for (const char* field : {"ended_at", "cancel_initiated_at", "archived_at", "results_url"}) {
    EXPECT_TRUE(running.at(field).is_null()) << field;
  }
}

TEST(Batch, HasAResultsUrlWhenItEnded) {
  MessageBatch batch{.id = "msgbatch_1",
                     .status = MessageBatch::Status::kEnded,
                     .counts = {},
                     .created_at = kDay,
                     .expires_at = kDay,
                     .ended_at = kDay,
                     .cancel_initiated_at = kDay,
                     .results_url = "http://h/r"};
  const auto ended = json::parse(batch_body(batch)).value();
  EXPECT_EQ(ended.at("processing_status"), "ended");
  EXPECT_EQ(ended.at("results_url"), "http://h/r");
  EXPECT_EQ(ended.at("ended_at"), "1970-01-02T00:00:00Z");
  batch.status = MessageBatch::Status::kCanceling;
  EXPECT_THAT(batch_body(batch), HasSubstr("\"canceling\""));
}

TEST(Batch, IsListedInPages) {
  const std::vector<MessageBatch> page(2, MessageBatch{.id = "msgbatch_1",
                                                       .counts = {},
                                                       .created_at = kDay,
                                                       .expires_at = kDay,
                                                       .ended_at = {},
                                                       .cancel_initiated_at = {},
                                                       .results_url = {}});
  const auto list = json::parse(batch_list_body(page, true)).value();
  EXPECT_EQ(list.at("data").get_array().size(), 2U);
  EXPECT_EQ(list.at("has_more"), true);
  EXPECT_EQ(list.at("last_id"), "msgbatch_1");
  EXPECT_TRUE(json::parse(batch_list_body({}, false))->at("first_id").is_null());
}

TEST(Batch, TellsThatItWasDeleted) {
  EXPECT_EQ(batch_deleted_body("msgbatch_1"),
            R"({"id":"msgbatch_1","type":"message_batch_deleted"})");
}

TEST(BatchResult, IsOneLine) {
  EXPECT_EQ(batch_succeeded_line("a", R"({"id":"msg_1","n":1.0})"),
            "{\"custom_id\":\"a\",\"result\":{\"type\":\"succeeded\",\"message\":"
            "{\"id\":\"msg_1\",\"n\":1.0}}}\n");
  EXPECT_EQ(batch_canceled_line("a"), "{\"custom_id\":\"a\",\"result\":{\"type\":\"canceled\"}}\n");
  EXPECT_EQ(batch_expired_line("a"), "{\"custom_id\":\"a\",\"result\":{\"type\":\"expired\"}}\n");
  const std::string errored = batch_errored_line("a", not_found("model: \"x\""));
  EXPECT_TRUE(errored.ends_with("}\n"));
  const auto error = json::parse(errored)->at("result").at("error");
  EXPECT_EQ(error.at("type"), "error");
  EXPECT_EQ(error.at("error").at("type"), "not_found_error");
  EXPECT_EQ(error.at("error").at("message"), "model: \"x\"");
  EXPECT_TRUE(error.at("request_id").is_null());
}

}  // namespace
}  // namespace onnxlocal::anthropic
