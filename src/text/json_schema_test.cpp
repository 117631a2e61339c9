// What a grammar can hold is asked of llguidance itself: whatever passes check_enforceable must
// compile strictly, and so must everything that relax_schema gives back.
#include "text/json_schema.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "text/grammar.h"
#include "text/test_tokenizer.h"

namespace onnxlocal {
namespace {

bool compiles(std::string_view schema) {
  return Grammar::from_json_schema(*test::byte_tokenizer(), schema).has_value();
}

bool grammar_takes(std::string_view schema, std::string_view text) {
  auto matcher =
      Grammar::from_json_schema(*test::byte_tokenizer(), schema).value()->match().value();
  for (const TokenId token : test::bytes_of(text)) {
    if (!matcher.commit(token)) return false;
  }
  return matcher.is_accepting();
}

std::string refusal(std::string_view schema) {
  const auto checked = check_enforceable(schema);
  if (checked) return "enforceable";
  EXPECT_EQ(checked.error().code, ErrorCode::kInvalidRequest);
  return checked.error().message;
}

/// What is wrong with `instance`, or nothing.
std::string fault(std::string_view schema, std::string_view instance) {
  const auto checked = validate_json(schema, instance);
  if (checked) return "";
  EXPECT_EQ(checked.error().code, ErrorCode::kInvalidRequest);
  return checked.error().message;
}

const std::vector<std::string>& enforceable() {
  static const std::vector<std::string> schemas = {
      "{}",
      "true",
      R"({"type": "object"})",
      R"({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://example.com/x",
          "title": "T", "description": "D", "$comment": "c", "type": "object",
          "properties": {"a": {"type": "integer", "default": 1, "examples": [1], "readOnly": true,
          "deprecated": true, "format": "int32", "x-order": 1}},
          "required": ["a"], "additionalProperties": false})",
      R"({"type": "object", "properties": {"uniqueItems": {"type": "boolean"},
          "not": {"enum": ["a", 1, null]}, "$ref": {"const": {"if": 1}}}})",
      R"({"$defs": {"node": {"type": "object", "properties": {"next": {"anyOf":
          [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}, "$ref": "#/$defs/node"})",
      R"({"definitions": {"a/b": {"type": "string", "minLength": 2, "maxLength": 4}},
          "type": "array", "items": {"$ref": "#/definitions/a~1b"}, "minItems": 1, "maxItems": 3})",
      R"({"oneOf": [{"type": "string"}, {"type": "integer"}]})",
      R"({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}},
          {"properties": {"b": {"type": "string", "pattern": "^[a-z]+$"}}, "required": ["b"]}]})",
      R"({"type": "string", "format": "date-time"})",
      R"({"type": ["string", "null"], "enum": ["x", null]})",
      R"({"type": "number", "minimum": 0, "exclusiveMaximum": 1.5})"};
  return schemas;
}

/// A schema, and how the message about it begins.
const std::vector<std::pair<std::string, std::string>>& not_enforceable() {
  static const std::vector<std::pair<std::string, std::string>> schemas = {
      {R"({"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": true}}})",
       "properties.tags.uniqueItems "},
      {R"({"properties": {"a": {"anyOf": [{"type": "string"}, {"not": {"type": "null"}}]}}})",
       "properties.a.anyOf[1].not "},
      {R"({"if": {"required": ["a"]}, "then": {"required": ["b"]}})", "if "},
      {R"({"properties": {"a": {"type": "string", "format": "color"}}})", "properties.a.format "},
      {R"({"properties": {"a": {"type": "string", "pattern": "(?=a)b"}}})",
       "properties.a.pattern "},
      {R"({"items": {"$ref": "https://example.com/schema.json"}})", "items.$ref "},
      {R"({"items": {"$ref": "file:///etc/passwd"}})", "items.$ref "},
      {R"({"$ref": "#/$defs/nowhere"})", "$ref "},
      {R"({"$defs": {"a": {"type": "array", "contains": {"const": 1}}},
          "properties": {"b": {"$ref": "#/$defs/a"}}})",
       "$defs.a.contains "},
      {R"({"type": "object", "properties": {"a": {}}, "minProperties": 1})", "minProperties "},
      {R"({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]})", "oneOf "},
      {R"({"type": "object", "x-guidance": {"lenient": true}})", "x-guidance "},
      {R"({"type": "object", "patternProperties": {"(?=a)b": {}}, "additionalProperties": false})",
       "patternProperties "},
      {R"({"properties": {"a": {"type": "nonsense"}}})", "properties.a.type "},
      {R"({"dependentRequired": {"a": ["b"]}})", "dependentRequired "},
      {R"({"unevaluatedProperties": false})", "unevaluatedProperties "}};
  return schemas;
}

TEST(JsonSchema, WhatPassesTheCheckCompilesStrictly) {
  for (const std::string& schema : enforceable()) {
    EXPECT_EQ(refusal(schema), "enforceable") << schema;
    EXPECT_TRUE(compiles(schema)) << schema;
  }
}

TEST(JsonSchema, TheCheckNamesTheFirstPlaceThatCannotBeEnforced) {
  for (const auto& [schema, place] : not_enforceable()) {
    const std::string message = refusal(schema);
    EXPECT_TRUE(message.starts_with(place)) << schema << "\n" << message;
  }
}

TEST(JsonSchema, RelaxedSchemasCompile) {
  for (const auto& [schema, place] : not_enforceable()) {
    const auto relaxed = relax_schema(schema);
    ASSERT_TRUE(relaxed) << schema;
    EXPECT_TRUE(compiles(*relaxed)) << schema << "\n" << *relaxed;
  }
  for (const std::string& schema : enforceable()) {
    EXPECT_TRUE(compiles(relax_schema(schema).value())) << schema;
  }
}

TEST(JsonSchema, RelaxingKeepsWhatCanBeHeldAndTheOrderOfKeys) {
  const std::string relaxed =
      relax_schema(R"({"type":"object","properties":{"z":{"type":"array","uniqueItems":true,
          "items":{"type":"integer"}},"a":{"type":"string","format":"color"}},
          "required":["z","a"],"additionalProperties":false})")
          .value();
  EXPECT_TRUE(relaxed.starts_with(
      R"({"type":"object","properties":{"z":{"type":"array","items":{"type":"integer"}},)"
      R"("a":{"type":"string"}},"required":["z","a"],"additionalProperties":false)"))
      << relaxed;
  EXPECT_TRUE(grammar_takes(relaxed, R"({"z":[1,1],"a":"x"})"));
  EXPECT_FALSE(grammar_takes(relaxed, R"({"z":["1"],"a":"x"})"));
}

TEST(JsonSchema, ARelaxedSchemaTakesAllThatTheWholeOneTakes) {
  const std::vector<std::pair<std::string, std::string>> schemas = {
      {R"({"type": "object", "patternProperties": {"^(?=a)a": {}, "^x": {"type": "string"}},
           "additionalProperties": false})",
       R"({"ab":1,"x":"y"})"},
      {R"({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]})", "3.5"},
      {R"({"if": {"required": ["a"]}, "then": {"required": ["b"]}})", R"({"a":1,"b":2})"},
      {R"({"type": "object", "properties": {"a": {}}, "minProperties": 1})", R"({"b":1})"}};
  for (const auto& [schema, instance] : schemas) {
    EXPECT_EQ(fault(schema, instance), "") << schema;
    EXPECT_TRUE(grammar_takes(relax_schema(schema).value(), instance))
        << relax_schema(schema).value();
  }
}

TEST(JsonSchema, NoClientSetsHowItsSchemaIsCompiled) {
  const std::string relaxed =
      relax_schema(R"({"type":"string","x-guidance":{"whitespace_pattern":"x*"}})").value();
  EXPECT_EQ(relaxed, R"({"type":"string","x-guidance":{"lenient":true}})");
}

TEST(JsonSchema, ValidationSaysWhereWhatWasExpected) {
  const std::string schema = R"({"type": "object", "properties": {"items": {"type": "array",
      "uniqueItems": true, "items": {"type": "object", "properties": {"name":
      {"type": "string", "minLength": 2}}, "required": ["name"]}}}})";
  EXPECT_EQ(fault(schema, R"({"items": [{"name": "ab"}]})"), "");
  EXPECT_EQ(fault(schema, R"({"items": [{"name": "ab"}, {"name": "x"}]})"),
            "items[1].name: value is shorter than 2 characters");
  EXPECT_EQ(fault(schema, R"({"items": [{}]})"), "items[0]: \"name\" is a required property");
  EXPECT_EQ(fault(schema, R"({"items": [{"name": "ab"}, {"name": "ab"}]})"),
            "items: value has non-unique elements");
  EXPECT_EQ(fault(schema, "[]"), "the JSON: value is not of type \"object\"");
}

TEST(JsonSchema, ValidationKnowsTheDraft) {
  // A `$ref` of draft 7 stands alone, one of 2020-12 does not.
  constexpr std::string_view kRest = R"("definitions": {"a": {"type": "string"}},
      "properties": {"x": {"$ref": "#/definitions/a", "minLength": 3}}})";
  const std::string draft7 =
      fmt::format(R"({{"$schema": "http://json-schema.org/draft-07/schema#", {})", kRest);
  EXPECT_EQ(fault(draft7, R"({"x": "y"})"), "");
  EXPECT_NE(fault(draft7, R"({"x": 1})"), "");
  EXPECT_NE(fault(fmt::format("{{{}", kRest), R"({"x": "y"})"), "");
  EXPECT_NE(fault(R"({"$schema": "https://example.com/unknown", "type": "string"})", "1"), "");
  EXPECT_EQ(fault(R"({"prefixItems": [{"type": "string"}], "items": false})", R"(["a"])"), "");
}

TEST(JsonSchema, ValidationFollowsRecursiveReferences) {
  const std::string schema = R"({"type": "object", "properties": {"value": {"type": "integer"},
      "next": {"$ref": "#"}}, "required": ["value"]})";
  EXPECT_EQ(fault(schema, R"({"value": 1, "next": {"value": 2, "next": {"value": 3}}})"), "");
  EXPECT_EQ(fault(schema, R"({"value": 1, "next": {"value": 2, "next": {}}})"),
            "next.next: \"value\" is a required property");
}

TEST(JsonSchema, NothingOutsideTheSchemaIsRead) {
  for (const std::string reference :
       {"http://127.0.0.1:9/schema.json", "https://example.com/s", "file:///etc/passwd", "other"}) {
    const std::string schema = fmt::format(R"({{"$ref": "{}"}})", reference);
    EXPECT_NE(fault(schema, "1").find("another document"), std::string::npos);
    EXPECT_FALSE(compiles(schema)) << schema;
  }
}

TEST(JsonSchema, HostileSchemasEndWithAnAnswer) {
  std::string doubling = R"({"$defs": {)";
  for (int i = 0; i < 60; ++i) {
    doubling += fmt::format(
        R"("d{}": {{"anyOf": [{{"$ref": "#/$defs/d{}"}}, {{"$ref": "#/$defs/d{}"}}]}},)", i, i + 1,
        i + 1);
  }
  doubling += R"("d60": {"type": "string"}}, "$ref": "#/$defs/d0"})";
  std::string chain = R"({"$defs": {)";
  for (int i = 0; i < 5000; ++i) {
    chain += fmt::format(R"("c{}": {{"$ref": "#/$defs/c{}"}},)", i, i + 1);
  }
  chain += R"("c5000": {}}, "$ref": "#/$defs/c0"})";
  const std::string old = R"("$schema": "http://json-schema.org/draft-07/schema#", )";
  for (const std::string& schema :
       {doubling, chain, fmt::format("{{{}{}", old, chain.substr(1)),
        std::string(R"({"$ref": "#"})"), std::string(R"({"allOf": [{"$ref": "#"}]})"),
        fmt::format(R"({{{}"definitions": {{"a": {{"$ref": "#/definitions/b"}},
            "b": {{"$ref": "#/definitions/a"}}}}, "$ref": "#/definitions/a"}})",
                    old),
        std::string(R"({"not": {"$ref": "#"}})"),
        std::string(R"({"anyOf": [{"properties": {"a": {"$ref": "#"}}},
            {"properties": {"a": {"$ref": "#"}}}], "required": ["b"]})"),
        std::string(R"({"type": "string", "pattern": "^(a|a)*$", "minLength": 100000})"),
        std::string(R"({"type": "string", "pattern": "(x{1000}){1000}"})"),
        std::string(R"({"type": "string", "maxLength": 999999999})")}) {
    (void)check_enforceable(schema);
    const auto relaxed = relax_schema(schema);
    ASSERT_TRUE(relaxed) << schema.substr(0, 100);
    EXPECT_TRUE(compiles(*relaxed)) << relaxed->substr(0, 200);
    std::string deep = "1";
    for (int i = 0; i < 100; ++i) deep = fmt::format(R"({{"a":{}}})", deep);
    (void)validate_json(schema, deep);
  }
}

TEST(JsonSchema, WhatIsNoSchemaOrNoJsonIsRefused) {
  for (const std::string text : {"", "{", "3", "[]", "\"x\""}) {
    EXPECT_FALSE(check_enforceable(text)) << text;
    EXPECT_FALSE(relax_schema(text)) << text;
    EXPECT_FALSE(validate_json(text, "1")) << text;
  }
  EXPECT_NE(fault("{}", "{"), "");
  EXPECT_EQ(check_enforceable(std::string(5 << 20, ' ')).error().code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace onnxlocal
