#include "server/batches/batch_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace onnxlocal {
namespace {

using anthropic::MessageBatch;
using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

class Batches : public testing::Test {
 protected:
  Batches() : folder(std::filesystem::path(testing::TempDir()) / unique_name()) { reopen(); }
  ~Batches() override {
    store.reset();
    std::filesystem::remove_all(folder);
  }

  static std::string unique_name() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    return fmt::format("batch_store_{}", test->name());
  }

  void reopen() {
    store.reset();
    auto opened = BatchStore::open(folder, Clock{.steady = [this] { return Clock::Steady(now); },
                                                 .wall = [this] { return Clock::Wall(now); }});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    store = *std::move(opened);
  }

  MessageBatch create(std::string_view owner, const std::string& id, int requests) {
    std::vector<anthropic::BatchRequest> all;
    for (int i = 0; i < requests; ++i) {
      all.push_back({.custom_id = fmt::format("r{}", i), .params = "{\"n\": 1.0}"});
    }
    auto created = store->create(owner, id, all);
    EXPECT_TRUE(created.has_value()) << created.error().message;
    return created ? *created : MessageBatch();
  }

  MessageBatch find(std::string_view id) {
    auto found = store->find("me", id);
    EXPECT_TRUE(found.has_value());
    return found ? *found : MessageBatch();
  }

  std::vector<PendingRequest> pending(std::size_t count_max = 100) {
    auto found = store->pending(count_max);
    EXPECT_TRUE(found.has_value());
    return found ? *found : std::vector<PendingRequest>();
  }

  void finish_all() {
    for (const PendingRequest& request : pending()) {
      EXPECT_TRUE(store
                      ->finish(request, BatchOutcome::kSucceeded,
                               anthropic::batch_succeeded_line(request.custom_id, "{}"))
                      .value_or(false));
    }
  }

  std::vector<std::string> list(const anthropic::ModelPage& page) {
    std::vector<std::string> ids;
    const auto found = store->list("me", page);
    EXPECT_TRUE(found.has_value());
    if (!found) return ids;
    for (const MessageBatch& batch : found->batches) ids.push_back(batch.id);
    if (found->has_more) ids.emplace_back("more");
    return ids;
  }

  std::chrono::nanoseconds now = 1'000'000s;
  std::filesystem::path folder;
  std::unique_ptr<BatchStore> store;
};

TEST_F(Batches, KeepTheirRequestsAsTheyCame) {
  const MessageBatch batch = create("me", "msgbatch_1", 2);
  EXPECT_EQ(batch.status, MessageBatch::Status::kInProgress);
  EXPECT_EQ(batch.counts.processing, 2U);
  EXPECT_EQ(batch.created_at.time_since_epoch(), 1'000'000s);
  EXPECT_EQ(batch.expires_at.time_since_epoch(), 1'000'000s + 24h);
  const auto waiting = pending();
  ASSERT_EQ(waiting.size(), 2U);
  EXPECT_EQ(waiting[0].custom_id, "r0");
  EXPECT_EQ(waiting[1].params, "{\"n\": 1.0}");
  EXPECT_EQ(waiting[1].owner, "me");
}

TEST_F(Batches, EndWithTheirLastResult) {
  create("me", "msgbatch_1", 2);
  const auto waiting = pending();
  EXPECT_TRUE(store->finish(waiting[1], BatchOutcome::kErrored, "b\n").value_or(false));
  EXPECT_EQ(find("msgbatch_1").status, MessageBatch::Status::kInProgress);
  EXPECT_FALSE(store->results("me", "msgbatch_1", 0).has_value());
  now += 10s;
  EXPECT_TRUE(store->finish(waiting[0], BatchOutcome::kSucceeded, "a\n").value_or(false));
  const MessageBatch ended = find("msgbatch_1");
  EXPECT_EQ(ended.status, MessageBatch::Status::kEnded);
  EXPECT_EQ(ended.ended_at->time_since_epoch(), 1'000'010s);
  EXPECT_EQ(ended.counts, (anthropic::BatchCounts{.succeeded = 1, .errored = 1}));
  EXPECT_EQ(store->results("me", "msgbatch_1", 0)->lines, "a\nb\n");
  EXPECT_TRUE(pending().empty());
}

TEST_F(Batches, GiveEachRequestOneResult) {
  create("me", "msgbatch_1", 2);
  const PendingRequest request = pending()[0];
  EXPECT_TRUE(store->finish(request, BatchOutcome::kSucceeded, "once\n").value_or(false));
  EXPECT_FALSE(store->finish(request, BatchOutcome::kSucceeded, "twice\n").value_or(true));
  EXPECT_EQ(find("msgbatch_1").counts.succeeded, 1U);
}

TEST_F(Batches, AreThereAfterARestart) {
  create("me", "msgbatch_1", 3);
  ASSERT_TRUE(store->finish(pending()[0], BatchOutcome::kSucceeded, "a\n").has_value());
  reopen();
  EXPECT_EQ(find("msgbatch_1").counts.succeeded, 1U);
  EXPECT_EQ(pending().size(), 2U);
}

TEST_F(Batches, BelongToOneServerAtATime) {
  const auto second = BatchStore::open(folder, Clock());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(second.error().message, HasSubstr("another server"));
}

TEST_F(Batches, ThatAreCancelledEndWithoutTheRest) {
  create("me", "msgbatch_1", 3);
  const auto waiting = pending();
  ASSERT_TRUE(store->finish(waiting[0], BatchOutcome::kSucceeded, "a\n").has_value());
  const auto cancelled = store->cancel("me", "msgbatch_1");
  ASSERT_TRUE(cancelled.has_value());
  EXPECT_EQ(cancelled->status, MessageBatch::Status::kCanceling);
  EXPECT_TRUE(pending().empty());
  EXPECT_FALSE(store->sweep().value_or(true));
  const MessageBatch ended = find("msgbatch_1");
  EXPECT_EQ(ended.status, MessageBatch::Status::kEnded);
  EXPECT_EQ(ended.counts, (anthropic::BatchCounts{.succeeded = 1, .canceled = 2}));
  EXPECT_EQ(ended.cancel_initiated_at->time_since_epoch(), 1'000'000s);
  // What still ran comes too late.
  EXPECT_FALSE(store->finish(waiting[1], BatchOutcome::kSucceeded, "b\n").value_or(true));
  EXPECT_EQ(store->results("me", "msgbatch_1", 0)->lines,
            fmt::format("a\n{}{}", anthropic::batch_canceled_line("r1"),
                        anthropic::batch_canceled_line("r2")));
}

TEST_F(Batches, ThatEndedAreNotCancelled) {
  create("me", "msgbatch_1", 1);
  finish_all();
  EXPECT_FALSE(store->cancel("me", "msgbatch_1")->cancel_initiated_at.has_value());
}

TEST_F(Batches, ExpireAfterADay) {
  create("me", "msgbatch_1", 1'200);
  now += 24h - 1s;
  EXPECT_FALSE(store->sweep().value_or(true));
  EXPECT_EQ(pending().size(), 100U);
  now += 1s;
  EXPECT_TRUE(pending().empty());
  while (store->sweep().value_or(false)) {
  }
  EXPECT_EQ(find("msgbatch_1").counts.expired, 1'200U);
  EXPECT_EQ(find("msgbatch_1").status, MessageBatch::Status::kEnded);
}

TEST_F(Batches, AreDeletedOnceTheyEnded) {
  create("me", "msgbatch_1", 1);
  EXPECT_EQ(store->remove("me", "msgbatch_1").error().code, ErrorCode::kInvalidRequest);
  finish_all();
  EXPECT_TRUE(store->remove("me", "msgbatch_1").has_value());
  EXPECT_EQ(store->find("me", "msgbatch_1").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store->remove("me", "msgbatch_1").error().code, ErrorCode::kNotFound);
}

TEST_F(Batches, AreForgottenInTheEnd) {
  create("me", "msgbatch_1", 1);
  finish_all();
  now += BatchStore::kRetention;
  EXPECT_FALSE(store->sweep().value_or(true));
  now += 1s;
  while (store->sweep().value_or(false)) {
  }
  EXPECT_FALSE(store->find("me", "msgbatch_1").has_value());
}

TEST_F(Batches, BelongToTheirKeys) {
  create("me", "msgbatch_1", 1);
  create("you", "msgbatch_2", 1);
  EXPECT_THAT(list({}), ElementsAre("msgbatch_1"));
  for (const Error& error :
       {store->find("me", "msgbatch_2").error(), store->cancel("me", "msgbatch_2").error(),
        store->remove("me", "msgbatch_2").error(), store->results("me", "msgbatch_2", 0).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kNotFound);
  }
}

TEST_F(Batches, AreListedNewestFirstByPages) {
  for (const char* id : {"a", "b", "c", "d"}) create("me", id, 1);
  EXPECT_THAT(list({.limit = 10, .after_id = "", .before_id = ""}),
              ElementsAre("d", "c", "b", "a"));
  EXPECT_THAT(list({.limit = 2, .after_id = "", .before_id = ""}), ElementsAre("d", "c", "more"));
  EXPECT_THAT(list({.limit = 2, .after_id = "c", .before_id = ""}), ElementsAre("b", "a"));
  EXPECT_THAT(list({.limit = 2, .after_id = "", .before_id = "a"}), ElementsAre("c", "b", "more"));
  EXPECT_EQ(store->list("me", {.limit = 2, .after_id = "x", .before_id = ""}).error().code,
            ErrorCode::kInvalidRequest);
}

TEST_F(Batches, GiveResultsInPages) {
  create("me", "msgbatch_1", 3);
  std::string large_line(std::size_t{1} << 20, 'x');
  large_line += '\n';
  for (const PendingRequest& request : pending()) {
    ASSERT_TRUE(store->finish(request, BatchOutcome::kSucceeded, large_line).has_value());
  }
  std::int64_t position = 0;
  for (int page_number = 0; page_number < 3; ++page_number) {
    const auto page = store->results("me", "msgbatch_1", position);
    ASSERT_TRUE(page.has_value());
    EXPECT_EQ(page->lines.size(), large_line.size());
    position = page->next_position;
  }
  EXPECT_EQ(store->results("me", "msgbatch_1", position)->lines, "");
}

TEST_F(Batches, TakeTurnsByAge) {
  create("me", "msgbatch_1", 2);
  create("you", "msgbatch_2", 2);
  const auto waiting = pending(3);
  ASSERT_EQ(waiting.size(), 3U);
  EXPECT_EQ(waiting[1].owner, "me");
  EXPECT_EQ(waiting[2].owner, "you");
}

TEST_F(Batches, AreNotMoreThanAKeyMayHaveOpen) {
  for (std::uint32_t i = 0; i < BatchStore::kOpenBatchesMax; ++i) {
    ASSERT_TRUE(
        store->create("me", std::to_string(i), {{.custom_id = "a", .params = "{}"}}).has_value());
  }
  EXPECT_EQ(store->create("me", "one more", {{.custom_id = "a", .params = "{}"}}).error().code,
            ErrorCode::kOverloaded);
  EXPECT_TRUE(store->create("you", "other", {{.custom_id = "a", .params = "{}"}}).has_value());
}

TEST_F(Batches, StayWholeWhenThreadsWriteThem) {
  create("me", "msgbatch_1", 64);
  const auto waiting = pending();
  std::atomic<int> written = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (const PendingRequest& request : waiting) {
          if (store->finish(request, BatchOutcome::kSucceeded, "x\n").value_or(false)) ++written;
        }
      });
    }
  }
  EXPECT_EQ(written, 64);
  EXPECT_EQ(find("msgbatch_1").counts.succeeded, 64U);
}

}  // namespace
}  // namespace onnxlocal
