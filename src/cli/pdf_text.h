#pragma once

#include "api/anthropic/documents.h"

namespace onnxlocal {

/// Hidden: `onnx-local pdf-text` reads a PDF file from standard input and writes its text.
inline constexpr const char* kPdfTextCommand = "pdf-text";

/// That command, in a process of its own with little time and memory: the libraries that read PDF
/// files trust them. Exit codes: 0, and the text; 3, and why it was refused.
int run_pdf_text();

/// Runs this program with that command, so that a hostile file costs nothing but an answer. Any
/// thread; it waits for up to twelve seconds.
/// Errors: invalid_request; unavailable, internal where there is no child.
anthropic::PdfReader make_pdf_reader();

}  // namespace onnxlocal
