//! A client's JSON for a template: order of keys and spelling of numbers as they were written.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, State};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Numbers are kept as they were written. serde_json could do so too (`arbitrary_precision`), but
/// for all crates of the program at once, and minijinja would see such numbers as maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Nesting is limited to 127 by serde_json.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut json: Json = serde_json::from_str(text)?;
        json.spell_numbers(&mut number_texts(text));
        Ok(json)
    }

    pub fn empty_object() -> Self {
        Self::Object(Vec::new())
    }

    /// The parser met the numbers in the order of the text.
    fn spell_numbers<'a>(&mut self, texts: &mut impl Iterator<Item = &'a str>) {
        match self {
            Self::Number(text) => *text = texts.next().unwrap_or("0").to_string(),
            Self::Array(items) => items.iter_mut().for_each(|item| item.spell_numbers(texts)),
            Self::Object(entries) => {
                entries.iter_mut().for_each(|(_, value)| value.spell_numbers(texts));
            }
            _ => {}
        }
    }

    /// With `change` applied to every string and key.
    pub fn map_texts(&self, change: &dyn Fn(&str) -> String) -> Self {
        match self {
            Self::String(text) => Self::String(change(text)),
            Self::Array(items) => {
                Self::Array(items.iter().map(|item| item.map_texts(change)).collect())
            }
            Self::Object(entries) => Self::Object(
                entries.iter().map(|(key, v)| (change(key), v.map_texts(change))).collect(),
            ),
            other => other.clone(),
        }
    }

    /// As Python's `json.loads` gives it, but for numbers that would be written another way.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::from(()),
            Self::Bool(value) => Value::from(*value),
            Self::Number(text) => number_value(text),
            Self::String(text) => Value::from(text.as_str()),
            Self::Array(items) => Value::from_iter(items.iter().map(Self::to_value)),
            Self::Object(entries) => {
                let entries = entries.iter().map(|(key, v)| (key.as_str(), v.to_value()));
                Value::from_object(ClientMap(Value::from_iter(entries)))
            }
        }
    }
}

/// A map whose methods come before its keys, as in Python: a tool may well have an argument `items`.
#[derive(Debug)]
struct ClientMap(Value);

impl Object for ClientMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.try_iter().map(Iterator::collect).unwrap_or_default())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &State,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        unknown_method_callback(state, &Value::from_dyn_object(self.clone()), method, args)
    }
}

/// A plain number where it is written as the text says, so that a template can calculate with it.
fn number_value(text: &str) -> Value {
    if let Some(number) = i64::from_str(text).ok().filter(|n| n.to_string() == text) {
        return Value::from(number);
    }
    if let Some(number) = f64::from_str(text).ok().filter(|n| format!("{n:?}") == text) {
        return Value::from(number);
    }
    Value::from_object(NumberText(text.to_string()))
}

/// `1e5`, `1.10`, `-0`, and numbers of more digits than a machine's.
#[derive(Debug)]
pub struct NumberText(pub String);

impl Object for NumberText {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The numbers of a JSON text, in order.
fn number_texts(json: &str) -> impl Iterator<Item = &str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            match bytes[at] {
                b'"' => {
                    at += 1;
                    while at < bytes.len() && bytes[at] != b'"' {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                    at += 1;
                }
                b'-' | b'0'..=b'9' => {
                    let is_number =
                        |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    at += bytes[at..].iter().take_while(|&b| is_number(b)).count();
                    return Some(&json[start..at]);
                }
                _ => at += 1,
            }
        }
        None
    })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Number(String::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number(String::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number(String::new()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_string()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling_and_keys_their_order() {
        let text =
            r#"{"z":[1,1.0,-0,1e5,"2\"3",1.10,123456789012345678901234567890],"a":{"b":-2.50}}"#;
        let json = Json::parse(text).unwrap();
        let rendered = minijinja::Environment::new();
        let mut environment = rendered;
        environment.add_filter("tojson", crate::python_json::to_json);
        assert_eq!(
            environment
                .render_str(
                    "{{ v | tojson(separators=(',', ':')) }}",
                    minijinja::context! { v => json.to_value() }
                )
                .unwrap(),
            text
        );
    }

    #[test]
    fn the_last_of_equal_keys_counts_as_in_python() {
        let value = Json::parse(r#"{"a":1,"b":2,"a":3.0}"#).unwrap().to_value();
        assert_eq!(value.get_attr("a").unwrap(), Value::from(3.0));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "01", "{\"a\":}", "[1 2]", &"[".repeat(200)] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }
}
