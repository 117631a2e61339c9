// The shared library is made of onnxlocal_library_impl as a whole; CMake wants a source of its own.
#include "onnxlocal/model.h"
