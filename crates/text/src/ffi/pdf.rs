//! PDF files.

use std::ffi::c_char;

use super::{give_text, Slice, Text};
use crate::pdf::{pdf_text, PdfLimits};

/// # Safety
/// As the header says; `text` and `error` can be written.
#[no_mangle]
pub unsafe extern "C" fn onnxlocal_pdf_text(
    pdf: Slice,
    pages_max: usize,
    text_bytes_max: usize,
    text: *mut Text,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller's, here and below.
    unsafe {
        give_text(text, error, || pdf_text(pdf.bytes(), &PdfLimits { pages_max, text_bytes_max }))
    }
}
