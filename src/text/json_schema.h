#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

/// JSON schemas: what a grammar can hold of one, and whether JSON satisfies it. Draft 2020-12, or
/// what `$schema` names. Nothing outside the schema is ever read: a `$ref` to another document is
/// refused. Any thread; bounds on sizes, depth, steps and time.
namespace onnxlocal {

/// Whether a grammar can enforce the whole schema; then `Grammar::from_json_schema` takes it.
/// Annotations (title, description, default, examples, deprecated, ...) and unknown keywords never
/// matter. Errors: invalid_request, naming the first place that cannot be enforced by its path and
/// keyword ("properties.tags.uniqueItems"); too_large.
Result<void> check_enforceable(std::string_view schema);

/// The schema without what a grammar cannot enforce, keys in the same order: this one
/// `Grammar::from_json_schema` takes, for any JSON. What it accepts includes all that the schema
/// accepts, but for a schema that nothing satisfies. Errors: invalid_request (no JSON, or neither
/// object nor boolean), too_large.
Result<std::string> relax_schema(std::string_view schema);

/// Whether `instance` satisfies the whole schema. Errors: invalid_request, saying where in the
/// instance what was expected ("items[2].name: \"x\" is shorter than 2 characters"), or what is
/// wrong with the schema; too_large.
Result<void> validate_json(std::string_view schema, std::string_view instance);

}  // namespace onnxlocal
