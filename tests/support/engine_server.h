#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "fake_decoder.h"
#include "provider/local.h"
#include "raw_http_client.h"
#include "server/server.h"

namespace onnxlocal {

/// The real server over a real engine, whose decoder is the fake one and whose tokens are bytes.
class EngineServer {
 public:
  explicit EngineServer(FakeDecoderOptions decoder, EngineOptions engine = {}) {
    decoder.vocabulary_size = 259;
    LocalParts parts;
    parts.name = "tiny";
    parts.decoder = std::make_unique<FakeDecoder>(std::move(decoder));
    parts.tokenizer = *Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json");
    auto provider = LocalProvider::from_parts(std::move(parts), std::move(engine));
    EXPECT_TRUE(provider.has_value());
    ServerOptions options;
    options.port = 0;
    auto started = Server::start(std::move(options), *std::move(provider));
    EXPECT_TRUE(started.has_value());
    server_ = *std::move(started);
  }

  /// On a connection of its own. Any thread.
  RawResponse ask(std::string_view method, std::string_view path,
                  std::string_view body = {}) const {
    RawHttpClient client(server_->port());
    client.send(raw_request(method, path, body));
    return client.read_response();
  }

 private:
  std::unique_ptr<Server> server_;
};

}  // namespace onnxlocal
