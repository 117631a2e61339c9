//! What a grammar can enforce of a schema. llguidance itself decides: schemas are compiled, and
//! where one does not compile, its parts are, until the place and the keyword are known.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::{json, Map, Value};
use toktrie::ApproximateTokEnv;

use super::parse_schema;
use super::walk::{all_schemas, draft_of, subschemas, Path, Target, GUIDANCE};
use crate::error::{Result, TextError};
use crate::grammar::COMPILE_LIMITS;
use crate::limits;

/// What llguidance implements (its json/schema.rs); other keywords of the draft constrain, and are
/// not enforced. Unknown ones, as all annotations, constrain nothing.
const ENFORCED: [&str; 27] = [
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "const",
    "enum",
    "type",
    "items",
    "additionalItems",
    "prefixItems",
    "minItems",
    "maxItems",
    "properties",
    "additionalProperties",
    "patternProperties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
const ANNOTATIONS: [&str; 9] = [
    "$anchor",
    "$defs",
    "$schema",
    "$id",
    "id",
    "contentMediaType",
    "contentEncoding",
    "$vocabulary",
    "$comment",
];
/// Where `relax` leaves out so many parts, it keeps the type of the whole alone.
const PARTS_MAX: usize = 1000;
/// Search for the part that does not compile.
const SEARCH_TIME: Duration = Duration::from_secs(2);

/// What a grammar cannot enforce, and why.
struct Obstacle {
    schema: Path,
    keyword: String,
    reason: String,
}

pub fn check(text: &str) -> Result<()> {
    let schema = parse_schema(text)?;
    let found =
        limits::run_within(COMPILE_LIMITS, move || first_obstacle(&schema, Instant::now()))?;
    match found {
        None => Err(TextError::invalid("the JSON schema is too large or too ambiguous")),
        Some(None) => Ok(()),
        Some(Some(obstacle)) => {
            let place = obstacle.schema.join(&obstacle.keyword).readable();
            let reason = obstacle.reason;
            Err(TextError::invalid(format!("{place} cannot be enforced: {reason}")))
        }
    }
}

pub fn relax(text: &str) -> Result<String> {
    let schema = parse_schema(text)?;
    let whole = type_alone(&schema);
    let relaxed = limits::run_within(COMPILE_LIMITS, move || relaxed(schema))?;
    Ok(relaxed.unwrap_or(whole).to_string())
}

/// The schema without what cannot be enforced.
fn relaxed(mut schema: Value) -> Value {
    let start = Instant::now();
    let whole = type_alone(&schema);
    for _ in 0..PARTS_MAX {
        match first_obstacle(&schema, start) {
            None => return lenient(schema),
            Some(_) if start.elapsed() > SEARCH_TIME => break,
            Some(obstacle) => remove(&mut schema, &obstacle),
        }
    }
    whole
}

/// The type alone; any JSON where there is none.
fn type_alone(schema: &Value) -> Value {
    match schema.get("type").map(|kind| json!({ "type": kind })) {
        Some(typed) if compile(&typed).is_ok() => typed,
        _ => json!({}),
    }
}

/// With another vocabulary llguidance may find more to complain about.
fn lenient(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.insert(GUIDANCE.to_string(), json!({ "lenient": true }));
    }
    schema
}

/// Leaves a keyword out, and those that would forbid more without it.
fn remove(root: &mut Value, obstacle: &Obstacle) {
    let Some(schema) = obstacle.schema.find_mut(root) else { return };
    let Some(object) = schema.as_object_mut() else {
        *schema = Value::Bool(true);
        return;
    };
    let with: &[&str] = match obstacle.keyword.as_str() {
        "" => {
            *schema = json!({});
            return;
        }
        "properties" | "patternProperties" => &["additionalProperties"],
        "prefixItems" => &["items", "additionalItems"],
        "items" => &["additionalItems"],
        _ => &[],
    };
    // `oneOf` holds where one of `anyOf` does.
    let removed = object.get(&obstacle.keyword).cloned();
    if let (Some(options), "oneOf", false) =
        (removed, obstacle.keyword.as_str(), object.contains_key("anyOf"))
    {
        *object = object
            .iter()
            .map(|(key, value)| match key.as_str() {
                "oneOf" => ("anyOf".to_string(), options.clone()),
                _ => (key.clone(), value.clone()),
            })
            .collect();
        return;
    }
    object.shift_remove(&obstacle.keyword);
    with.iter().for_each(|keyword| {
        object.shift_remove(*keyword);
    });
}

fn first_obstacle(root: &Value, start: Instant) -> Option<Obstacle> {
    if let Some(obstacle) = all_schemas(root).into_iter().find_map(|path| unknown_at(root, path)) {
        return Some(obstacle);
    }
    let reason = compile(root).err()?;
    Some(narrow(root, Path::default(), reason, start))
}

/// A keyword that llguidance does not know, or must not see.
fn unknown_at(root: &Value, path: Path) -> Option<Obstacle> {
    let draft = draft_of(root);
    let object = path.find(root)?.as_object()?;
    for (keyword, value) in object {
        let reason = match keyword.as_str() {
            GUIDANCE => "it is not the client's to set",
            "$ref" => match value.as_str().map(Target::of) {
                Some(Target::Elsewhere) => "it refers to another document",
                Some(Target::Here(target)) if target.find(root).is_none() => "it refers to nothing",
                _ => continue,
            },
            known if !draft.is_known_keyword(known) => continue,
            known if ENFORCED.contains(&known) || ANNOTATIONS.contains(&known) => continue,
            _ => "grammars do not know this keyword",
        };
        return Some(Obstacle {
            schema: path,
            keyword: keyword.clone(),
            reason: reason.to_string(),
        });
    }
    None
}

/// `schema` does not compile: the innermost part of it that does not by itself, and its keyword.
fn narrow(root: &Value, schema: Path, reason: String, start: Instant) -> Obstacle {
    let object = schema.find(root).and_then(Value::as_object);
    let is_late = || start.elapsed() > SEARCH_TIME;
    let Some(object) = object.filter(|_| !is_late()) else {
        return Obstacle { schema, keyword: String::new(), reason };
    };
    for (step, _) in subschemas(object) {
        let part = Path([schema.0.clone(), step.0].concat());
        let at = json!({ "$ref": format!("#{}", moved(&part).pointer()) });
        match compile_beside(root, at) {
            // An impossible alternative is none, and an impossible property is one left out.
            Err(reason) if !reason.starts_with("Unsatisfiable") && !is_late() => {
                return narrow(root, part, reason, start);
            }
            _ => {}
        }
    }
    let needed = |keyword: &&String| {
        let mut rest = object.clone();
        rest.shift_remove(keyword.as_str());
        !is_late() && compile_beside(root, moved_refs(&Value::Object(rest))).is_ok()
    };
    // What says more than the type or the names is more likely to be meant.
    let is_plain = |keyword: &&String| matches!(keyword.as_str(), "type" | "properties");
    let keyword = object.keys().filter(|keyword| !is_plain(keyword)).find(needed);
    let keyword = keyword.or_else(|| object.keys().filter(is_plain).find(needed));
    Obstacle { schema, keyword: keyword.cloned().unwrap_or_default(), reason }
}

/// Where the whole schema lies while one of its parts is compiled.
const WHOLE: &str = "$whole";

fn moved(path: &Path) -> Path {
    Path([vec!["$defs".to_string(), WHOLE.to_string()], path.0.clone()].concat())
}

fn moved_refs(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(moved_refs).collect(),
        Value::Object(object) => {
            let moved_entry = |(key, value): (&String, &Value)| {
                let reference = value.as_str().filter(|_| key == "$ref");
                let value = match reference.and_then(|text| text.strip_prefix('#')) {
                    Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                        Value::String(format!("#/$defs/{WHOLE}{rest}"))
                    }
                    _ => moved_refs(value),
                };
                (key.clone(), value)
            };
            Value::Object(object.iter().map(moved_entry).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Compiles `part`, whose references are `moved`, beside the whole schema.
fn compile_beside(root: &Value, part: Value) -> std::result::Result<(), String> {
    let mut whole = moved_refs(root);
    let Value::Object(mut part) = part else { return Ok(()) };
    if let Some(object) = whole.as_object_mut() {
        for keyword in ["$schema", "$id", "id"] {
            object.shift_remove(keyword);
            part.shift_remove(keyword);
        }
    }
    if let Some(draft) = root.get("$schema") {
        part.shift_insert(0, "$schema".to_string(), draft.clone());
    }
    let defs = part.entry("$defs").or_insert_with(|| json!({}));
    if let Some(defs) = defs.as_object_mut() {
        defs.insert(WHOLE.to_string(), whole);
    }
    compile(&Value::Object(part))
}

/// As for a model, but over a vocabulary of bytes.
fn compile(schema: &Value) -> std::result::Result<(), String> {
    static FACTORY: OnceLock<Option<ParserFactory>> = OnceLock::new();
    let factory = FACTORY.get_or_init(|| {
        let mut factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env()).ok()?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Some(factory)
    });
    let factory = factory.as_ref().ok_or("no vocabulary of bytes")?;
    let parser = factory.create_parser(TopLevelGrammar::from_json_schema(schema.clone()));
    match Matcher::new(parser).get_error() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
