use std::ffi::c_char;

use super::{leak, run, Slice, Text};
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
        run(error, || {
            let limits = PdfLimits { pages_max, text_bytes_max };
            let (data, size) = leak(pdf_text(pdf.bytes(), &limits)?.into_bytes());
            *text = Text { data, size };
            Ok(())
        })
    }
}
