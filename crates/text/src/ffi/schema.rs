//! JSON schemas.

use std::ffi::c_char;

use super::{give_text, run, Slice, Text};
use crate::schema::{enforce, validate};

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_schema_check(schema: Slice, error: *mut *mut c_char) -> i32 {
    // SAFETY: the header's rules.
    unsafe { run(error, || enforce::check(&schema.text())) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_schema_relax(
    schema: Slice,
    relaxed: *mut Text,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { give_text(relaxed, error, || enforce::relax(&schema.text())) }
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_schema_validate(
    schema: Slice,
    instance: Slice,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { run(error, || validate::validate(&schema.text(), &instance.text())) }
}
