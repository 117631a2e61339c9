#include "cli/program.h"

int main(int argc, char** argv) { return onnxlocal::run_program(argc, argv); }
