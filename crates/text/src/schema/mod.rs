//! JSON schemas: what a grammar can hold of one (`enforce`), and whether JSON satisfies it
//! (`validate`). `walk` knows where schemas lie in a schema.

pub mod enforce;
pub mod validate;
mod walk;

use serde_json::Value;

use crate::error::{Result, Status, TextError};

const SCHEMA_BYTES_MAX: usize = 4 << 20;
const INSTANCE_BYTES_MAX: usize = 32 << 20;

fn too_large(what: &str, bytes: usize, bytes_max: usize) -> TextError {
    let message = format!("{what} of {bytes} bytes, at most {bytes_max} are possible");
    TextError::new(Status::TooLarge, message)
}

fn parse_schema(text: &str) -> Result<Value> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(too_large("JSON schema", text.len(), SCHEMA_BYTES_MAX));
    }
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| TextError::invalid(format!("not a JSON schema: {error}")))?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(TextError::invalid("a JSON schema is an object or a boolean"));
    }
    Ok(schema)
}

fn parse_instance(text: &str) -> Result<Value> {
    if text.len() > INSTANCE_BYTES_MAX {
        return Err(too_large("JSON", text.len(), INSTANCE_BYTES_MAX));
    }
    serde_json::from_str(text).map_err(|error| TextError::invalid(format!("not JSON: {error}")))
}
