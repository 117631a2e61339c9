#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "dialect/json_stream.h"

namespace onnxlocal {

/// What a piece of a call brought.
struct CallPiece {
  std::optional<std::string> name;  ///< Once per call, before or with the first of its input.
  std::string input;                ///< Valid JSON when all are joined and the call is closed.
};

/// Reads one call: a JSON object that holds name and input in any order, or the input alone, as it
/// comes in pieces. Input given as a JSON text within a string, as some models do, is unpacked.
/// Copyable; one thread.
class CallBody {
 public:
  enum class Status {
    kOpen,
    kDone,
    kBroken,  ///< No JSON, or no call: nothing more is taken.
  };

  /// With a name it reads the input alone.
  explicit CallBody(bool is_named) : state_(is_named ? State::kValue : State::kBrace) {
    is_named_ = is_named;
    has_name_ = is_named;
    value_kind_ = ValueKind::kInput;
  }

  /// How many bytes were taken: all, but where the call ends, and where its name does.
  std::size_t push(std::string_view text, CallPiece& piece);
  /// Ends a call that is cut off or broken; for one whose name is known.
  void close(CallPiece& piece);
  Status status() const { return status_; }
  bool has_name() const { return has_name_; }
  /// The input came whole and was an object.
  bool is_whole() const { return is_whole_; }

 private:
  enum class State { kBrace, kKeyOrEnd, kKey, kInKey, kColon, kValue, kAfterValue };
  enum class ValueKind { kName, kInput, kOther };

  std::size_t take(std::string_view text, CallPiece& piece);
  void take_key();
  void take_value_part(std::string_view part, CallPiece& piece);
  void end_value(CallPiece& piece);
  void unpack_input(CallPiece& piece);
  void give(std::string_view input, CallPiece& piece);
  void finish(CallPiece& piece);

  Status status_ = Status::kOpen;
  State state_;
  ValueKind value_kind_ = ValueKind::kOther;
  JsonStream stream_;
  std::string text_;        ///< Of a key, a name, or an input that is not an object.
  std::string early_;       ///< Input that came before the name.
  bool is_object_ = false;  ///< The input is one, and was given on as it came.
  bool has_input_ = false;
  bool is_named_ = false;
  bool has_name_ = false;
  bool is_whole_ = false;
  bool is_over_ = false;  ///< The input is, whole or not.
};

}  // namespace onnxlocal
