#pragma once

#include "layer/layer.h"

namespace zt {

/// What a model of your own derives from and is given; see the comments of each type.
using layer::Batch;
using layer::BatchShape;
using layer::Layer;
using layer::TensorSpec;
using layout::ParamId;
using layout::ParamSpec;
using layout::UnitSpec;

}  // namespace zt
