#pragma once

#include "program/instruction.h"

namespace onnxlocal::ep {

/// Where only some rows are wanted at the end (the logits of a prompt's last token), everything
/// after the last attention is computed for them alone: the gather moves up, before all
/// instructions that look at one row at a time. REQUIRES: fused, not planned.
void select_early(Program& program);

}  // namespace onnxlocal::ep
