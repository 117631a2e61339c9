// The order in which a server stops: idle connections close, running requests finish or are told.
#include <gmock/gmock.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>

#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Shutdown : public ServerTest {
 protected:
  std::shared_ptr<ScriptedProvider::Running> begin(RawHttpClient& client, bool stream) {
    provider->set_script({});
    client.send(raw_request("POST", "/v1/messages", message_body(stream)));
    return provider->wait_for(0, soon());
  }
};

TEST_F(Shutdown, ClosesIdleConnections) {
  start();
  RawHttpClient client(server->port());
  client.send(raw_request("GET", "/health"));
  EXPECT_EQ(client.read_response().status, 200U);
  EXPECT_TRUE(server->stop());
  EXPECT_TRUE(client.is_closed_by_server());
  EXPECT_TRUE(server->stop());
}

TEST_F(Shutdown, LetsRunningRequestsFinish) {
  start();
  RawHttpClient client(server->port());
  const auto running = begin(client, true);
  ASSERT_NE(running, nullptr);
  RawHttpClient idle(server->port());
  idle.send(raw_request("GET", "/health"));
  EXPECT_EQ(idle.read_response().status, 200U);
  auto stopped = std::async(std::launch::async, [this] { return server->stop(); });
  EXPECT_TRUE(idle.is_closed_by_server());  // So the stop has begun.
  for (GenerationEvent& event : scripted_answer({"whole"})) running->emit(std::move(event));
  EXPECT_THAT(client.read_response().body, HasSubstr("message_stop"));
  EXPECT_TRUE(stopped.get());
}

TEST_F(Shutdown, CancelsWhatRunsTooLongAndTellsTheClient) {
  limits.drain = 50ms;
  start();
  RawHttpClient client(server->port());
  const auto running = begin(client, false);
  ASSERT_NE(running, nullptr);
  EXPECT_FALSE(server->stop());
  EXPECT_TRUE(running->wait_until_cancelled(soon()));
  expect_error(client.read_response(), 503, "api_error");
}

TEST_F(Shutdown, EndsAStreamThatRunsTooLongWithAnErrorEvent) {
  limits.drain = 50ms;
  start();
  RawHttpClient client(server->port());
  const auto running = begin(client, true);
  ASSERT_NE(running, nullptr);
  running->emit(GenerationStarted{});
  running->emit_text("half");
  static_cast<void>(client.read_until("half"));
  EXPECT_FALSE(server->stop());
  EXPECT_THAT(client.read_response().body, HasSubstr("the server is stopping"));
}

TEST_F(Shutdown, IsNotHeldUpByAClientThatSendsHalfARequest) {
  limits.drain = 50ms;
  start();
  RawHttpClient client(server->port());
  client.send("POST /v1/messages HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(ask("GET", "/health").status, 200U);  // The half is there by now, or never counts.
  static_cast<void>(server->stop());
  EXPECT_EQ(client.read_response().status, 0U);
}

TEST_F(Shutdown, RefusesAPortThatIsTaken) {
  start();
  const auto second_at = [this](std::string host, std::uint16_t port) {
    ServerOptions options;
    options.host = std::move(host);
    options.port = port;
    return Server::start(std::move(options), provider);
  };
  const auto second = second_at("127.0.0.1", server->port());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(server->port())));
  EXPECT_FALSE(second_at("no.such.host.invalid", 0).has_value());
}

/// Runs `run_until_signal` in a process of its own, and sends it signals.
class SignalledServer : public Shutdown {
 protected:
  /// The child's exit code after the signals; it writes its port into a pipe first.
  int exit_code_after(std::initializer_list<int> signals, bool with_running_request) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      provider->set_script({});
      start();
      server->catch_signals();
      const std::uint16_t port = server->port();
      static_cast<void>(!::write(ends[1], &port, sizeof port));
      const bool nothing_cancelled = server->run_until_signal();
      ::_exit(nothing_cancelled ? 0 : 1);
    }
    std::uint16_t port = 0;
    EXPECT_EQ(::read(ends[0], &port, sizeof port), static_cast<ssize_t>(sizeof port));
    std::unique_ptr<RawHttpClient> client;
    if (with_running_request) {
      client = std::make_unique<RawHttpClient>(port);
      client->send(raw_request("POST", "/v1/messages", message_body(true)));
    }
    RawHttpClient idle(port);
    idle.send(raw_request("GET", "/health"));
    EXPECT_EQ(idle.read_response().status, 200U);
    for (const int signal : signals) {
      ::kill(child, signal);
      if (!with_running_request) continue;
      EXPECT_TRUE(idle.is_closed_by_server());  // So the signal was seen.
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    ::close(ends[0]);
    ::close(ends[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

TEST_F(SignalledServer, EndsWellOnTheFirst) {
  EXPECT_EQ(exit_code_after({SIGTERM}, false), 0);
  EXPECT_EQ(exit_code_after({SIGINT}, false), 0);
}

TEST_F(SignalledServer, EndsWellOnASignalThatComesBeforeItWaits) {
  const pid_t child = ::fork();
  if (child == 0) {
    provider->set_script({});
    start();
    server->catch_signals();
    ::raise(SIGTERM);
    ::_exit(server->run_until_signal() ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(SignalledServer, EndsAtOnceOnTheSecond) {
  EXPECT_EQ(exit_code_after({SIGTERM, SIGINT}, true), 128 + SIGINT);
}

}  // namespace
}  // namespace onnxlocal
