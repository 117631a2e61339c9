#include "api/anthropic/response_encoder.h"

#include <utility>
#include <variant>

namespace onnxlocal::anthropic {

namespace {

class Stream final : public ResponseEncoder {
 public:
  explicit Stream(const MessageIdentity& identity)
      : encoder_(identity), request_id_(identity.request_id) {}

  bool is_stream() const override { return true; }
  std::string encode(const GenerationEvent& event) override { return encoder_.encode(event); }
  std::string start_early(const Usage& usage) override { return encoder_.start_early(usage); }
  std::string ping() override { return StreamEncoder::ping(); }
  ErrorReply error_reply(const Error& error) const override {
    return onnxlocal::error_reply(WireFormat::kAnthropic, error, request_id_);
  }

 private:
  StreamEncoder encoder_;
  std::string request_id_;
};

class Body final : public ResponseEncoder {
 public:
  explicit Body(const MessageIdentity& identity)
      : builder_(identity), request_id_(identity.request_id) {}

  bool is_stream() const override { return false; }
  std::string encode(const GenerationEvent& event) override {
    if (const auto* finished = std::get_if<GenerationFinished>(&event)) {
      return builder_.finish(*finished);
    }
    builder_.add(event);
    return {};
  }
  std::string start_early(const Usage&) override { return {}; }
  std::string ping() override { return {}; }
  ErrorReply error_reply(const Error& error) const override {
    return onnxlocal::error_reply(WireFormat::kAnthropic, error, request_id_);
  }

 private:
  MessageBuilder builder_;
  std::string request_id_;
};

}  // namespace

std::unique_ptr<ResponseEncoder> make_response_encoder(const MessageIdentity& identity,
                                                       bool is_stream) {
  if (is_stream) return std::make_unique<Stream>(identity);
  return std::make_unique<Body>(identity);
}

}  // namespace onnxlocal::anthropic
