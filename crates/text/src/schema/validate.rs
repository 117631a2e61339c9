//! Whether JSON satisfies a schema, by the crate jsonschema.
//!
//! Both come from outside, and the crate knows no bounds: references may lead in circles,
//! alternatives of alternatives double with each level. So every schema within the schema gets a
//! keyword of ours in front, which the crate evaluates first: it counts steps, and looks at the
//! clock and at how much of the stack is used. Where one of these is used up it unwinds.

use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

use jsonschema::paths::{LazyLocation, Location};
use jsonschema::{Keyword, ValidationError};
use referencing::Draft;
use serde_json::{json, Map, Value};

use super::walk::{all_schemas, draft_of, Path, Target};
use super::{parse_instance, parse_schema};
use crate::error::{Result, TextError};
use crate::grammar::GIVEN_UP;
use crate::limits::{self, Limits};

const STEP: &str = "x-onnxlocal-step";
const STEPS_MAX: u64 = 20_000_000;
const TIME_MAX: Duration = Duration::from_secs(1);
const STACK_BYTES: usize = 32 << 20;
/// Between two steps there are a few small frames, and the crate compiles in between.
const STACK_BYTES_USED_MAX: usize = 16 << 20;
const LIMITS: Limits = Limits {
    bytes: 512 << 20,
    time: Duration::from_secs(6),
    stack_bytes: STACK_BYTES,
    left_behind: &GIVEN_UP,
};
const MESSAGE_BYTES_MAX: usize = 500;

#[derive(Clone, Copy)]
struct Fuel {
    steps: u64,
    start: Option<Instant>,
    stack: usize,
}

thread_local! {
    static FUEL: Cell<Fuel> = const { Cell::new(Fuel { steps: 0, start: None, stack: 0 }) };
}

/// What unwinds where the bounds are reached.
struct Exhausted;

fn stack_position() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)) as usize
}

fn step() {
    let mut fuel = FUEL.get();
    fuel.steps += 1;
    FUEL.set(fuel);
    let is_late =
        fuel.steps % 64 == 0 && fuel.start.is_some_and(|start| start.elapsed() > TIME_MAX);
    let stack_bytes = fuel.stack.abs_diff(stack_position());
    if fuel.steps > STEPS_MAX || is_late || stack_bytes > STACK_BYTES_USED_MAX {
        resume_unwind(Box::new(Exhausted));
    }
}

struct StepKeyword;

impl Keyword for StepKeyword {
    fn validate<'i>(
        &self,
        _: &'i Value,
        _: &LazyLocation,
    ) -> std::result::Result<(), ValidationError<'i>> {
        step();
        Ok(())
    }

    fn is_valid(&self, _: &Value) -> bool {
        step();
        true
    }
}

/// Compiling recurses as well, so that it takes steps too.
fn new_step<'a>(
    _: &'a Map<String, Value>,
    _: &'a Value,
    _: Location,
) -> std::result::Result<Box<dyn Keyword>, ValidationError<'a>> {
    step();
    Ok(Box::new(StepKeyword))
}

pub fn validate(schema: &str, instance: &str) -> Result<()> {
    let schema = parse_schema(schema)?;
    let instance = parse_instance(instance)?;
    let exhausted = || TextError::invalid("the JSON schema takes too long to check");
    let done = limits::run_within(LIMITS, move || {
        FUEL.set(Fuel { steps: 0, start: Some(Instant::now()), stack: stack_position() });
        let checked = catch_unwind(AssertUnwindSafe(|| check(schema, &instance)));
        checked.unwrap_or_else(|panic| match panic.is::<Exhausted>() {
            true => Err(exhausted()),
            false => resume_unwind(panic),
        })
    })?;
    done.unwrap_or_else(|| Err(exhausted()))
}

fn check(mut schema: Value, instance: &Value) -> Result<()> {
    if schema.as_object().is_some_and(|object| {
        object.contains_key("$schema") && Draft::Draft202012.detect(&schema).is_err()
    }) {
        // As `walk::draft_of` takes it: what is unknown cannot be looked up.
        if let Some(object) = schema.as_object_mut() {
            object.shift_remove("$schema");
        }
    }
    prepare(&mut schema)?;
    let validator = jsonschema::options()
        .with_keyword(STEP, new_step)
        // Formats are annotations by the standard; a grammar holds those it knows.
        .should_validate_formats(false)
        .build(&schema)
        .map_err(|error| {
            let place = Path::from_pointer(error.instance_path.as_str()).readable();
            invalid("the JSON schema", &place, &error)
        })?;
    validator.validate(instance).map_err(|error| {
        let place = Path::from_pointer(error.instance_path.as_str()).readable();
        invalid("the JSON", &place, &error)
    })
}

/// The value itself is the client's or the model's, and may be long: it is called "value".
fn invalid(what: &str, place: &str, error: &ValidationError) -> TextError {
    let mut message = error.masked().to_string();
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rfind(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(end);
        message.push_str("...");
    }
    match place.is_empty() {
        true => TextError::invalid(format!("{what}: {message}")),
        false => TextError::invalid(format!("{place}: {message}")),
    }
}

/// Every schema gets our keyword; what leads out of the document is refused.
fn prepare(root: &mut Value) -> Result<()> {
    let is_old = draft_of(root) <= Draft::Draft7;
    let mut schemas = all_schemas(root);
    let refuse = |path: &Path, keyword: &str, reason: &str| {
        let place = path.join(keyword).readable();
        Err(TextError::invalid(format!("the JSON schema: {place}: {reason}")))
    };
    for path in &schemas {
        let Some(object) = path.find(root).and_then(Value::as_object) else { continue };
        for keyword in ["$dynamicRef", "$recursiveRef"] {
            if object.contains_key(keyword) {
                return refuse(path, keyword, "this kind of reference is not supported");
            }
        }
        match object.get("$ref").and_then(Value::as_str).map(Target::of) {
            Some(Target::Elsewhere) => return refuse(path, "$ref", "it is in another document"),
            Some(Target::Here(target)) if target.find(root).is_none() => {
                return refuse(path, "$ref", "it refers to nothing");
            }
            // An anchor is found in schemas alone, and those have our keyword.
            _ => {}
        }
        let has_id = |keyword| object.get(keyword).is_some_and(Value::is_string);
        if !path.0.is_empty() && (has_id("$id") || (is_old && has_id("id"))) {
            return refuse(path, "$id", "a schema of its own within another is not supported");
        }
    }
    // Inner ones first, so that the paths of the others stay.
    schemas.sort_by_key(|path| std::cmp::Reverse(path.0.len()));
    for path in &schemas {
        let Some(object) = path.find_mut(root).and_then(Value::as_object_mut) else { continue };
        if is_old && object.get("$ref").is_some_and(Value::is_string) {
            set_reference_apart(object);
        }
        object.shift_insert(0, STEP.to_string(), Value::Bool(true));
    }
    Ok(())
}

/// Up to draft 7 nothing else counts beside `$ref`, our keyword included.
fn set_reference_apart(object: &mut Map<String, Value>) {
    const KEPT: [&str; 5] = ["$defs", "definitions", "$schema", "$id", "id"];
    let reference = object.shift_remove("$ref").unwrap_or_default();
    object.retain(|keyword, _| {
        KEPT.contains(&keyword.as_str()) || !Draft::Draft7.is_known_keyword(keyword)
    });
    object.insert("allOf".to_string(), json!([{ "$ref": reference }]));
}
