#pragma once

/// Marks what libonnxlocal.so shows; all else in it is hidden.
#define ONNXLOCAL_EXPORT __attribute__((visibility("default")))
