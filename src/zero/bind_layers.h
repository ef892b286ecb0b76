#pragma once

#include "zero/binding.h"

namespace zt::zero {

/// Calls of a layer: forward, recompute and backward with every view resolved.
memory::Queues::Work bind_layer(const Machine& machine, schedule::VariantKind variant,
                                const schedule::Operation& op, StepState& state);

}  // namespace zt::zero
