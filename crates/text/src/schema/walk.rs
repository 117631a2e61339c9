//! Where schemas lie in a schema.

use std::collections::BTreeSet;

use referencing::Draft;
use serde_json::{Map, Value};

/// What an outside schema may ask of whoever compiles it; never taken from outside.
pub const GUIDANCE: &str = "x-guidance";

/// Their value is a schema (`items` may also be a list of them).
const HOLD_ONE: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// A list of schemas.
const HOLD_LIST: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
/// Schemas by name (`dependencies` may also hold lists of names).
const HOLD_NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// A way from the root of a JSON value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<String>);

impl Path {
    pub fn join(&self, step: impl Into<String>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }

    pub fn from_pointer(pointer: &str) -> Self {
        let steps = pointer.split('/').skip(1);
        Self(steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
    }

    pub fn pointer(&self) -> String {
        let escaped = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        self.0.iter().map(escaped).collect()
    }

    pub fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        root.pointer(&self.pointer())
    }

    pub fn find_mut<'a>(&self, root: &'a mut Value) -> Option<&'a mut Value> {
        root.pointer_mut(&self.pointer())
    }

    /// `properties.tags.anyOf[1]`
    pub fn readable(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
                text.push_str(&format!("[{step}]"));
            } else {
                text.push_str(if text.is_empty() { "" } else { "." });
                text.push_str(step);
            }
        }
        text
    }
}

/// The schemas directly within `schema`, in order, by their way from it.
pub fn subschemas(schema: &Map<String, Value>) -> Vec<(Path, &Value)> {
    let mut found = Vec::new();
    for (keyword, value) in schema {
        let path = Path::default().join(keyword);
        match value {
            Value::Array(items) if HOLD_LIST.contains(&keyword.as_str()) => {
                for (index, item) in items.iter().enumerate() {
                    found.push((path.join(index.to_string()), item));
                }
            }
            Value::Object(named) if HOLD_NAMED.contains(&keyword.as_str()) => {
                let is_schema = |item: &Value| item.is_object() || item.is_boolean();
                for (name, item) in named.iter().filter(|(_, item)| is_schema(item)) {
                    found.push((path.join(name), item));
                }
            }
            Value::Object(_) | Value::Bool(_) if HOLD_ONE.contains(&keyword.as_str()) => {
                found.push((path, value));
            }
            _ => {}
        }
    }
    found
}

/// All schemas of a document, itself first, in order; those that a `$ref` alone calls so come last.
pub fn all_schemas(root: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut targets = vec![Path::default()];
    while let Some(target) = targets.pop() {
        let mut open = vec![target];
        while let Some(path) = open.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let Some(schema) = path.find(root) else { continue };
            found.push(path.clone());
            let Some(object) = schema.as_object() else { continue };
            let extended = |step: Path| Path([path.0.clone(), step.0].concat());
            // Last in, first out.
            open.extend(subschemas(object).into_iter().rev().map(|(step, _)| extended(step)));
            let reference = object.get("$ref").and_then(Value::as_str);
            if let Some(Target::Here(target)) = reference.map(Target::of) {
                targets.push(target);
            }
        }
    }
    found
}

/// What a `$ref` names.
pub enum Target {
    Here(Path),
    /// `#name`, of an `$anchor`.
    Anchor,
    Elsewhere,
}

impl Target {
    pub fn of(reference: &str) -> Self {
        match reference.strip_prefix('#') {
            Some("") => Self::Here(Path::default()),
            Some(pointer) if pointer.starts_with('/') => {
                Self::Here(Path::from_pointer(&percent_decoded(pointer)))
            }
            Some(_) => Self::Anchor,
            None => Self::Elsewhere,
        }
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// 2020-12 where `$schema` is missing or unknown.
pub fn draft_of(root: &Value) -> Draft {
    Draft::Draft202012.detect(root).unwrap_or(Draft::Draft202012)
}
