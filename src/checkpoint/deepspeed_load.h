#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/deepspeed.h"
#include "checkpoint/deepspeed_pieces.h"

namespace zt::checkpoint {

/// What the loaders of the several layouts fill.
struct DeepSpeedContent {
  DeepSpeedFolder where;
  std::vector<std::unique_ptr<TorchFile>> files;
  StatePieces pieces;
  std::vector<layout::ParamSpec> params;
  RunState run_state;
  DType weight_dtype = DType::f32;
  std::optional<AdamSettings> adam;

  const TorchFile& open(const std::string& name);
};

/// A flat tensor of one rank: parameters one after the other, padding between and behind.
struct FlatTensor {
  layout::StateKind kind = layout::StateKind::master;
  const TorchFile* file = nullptr;
  const TensorRef* tensor = nullptr;
};

/// Master and moments of one group or sub-group of one rank; what is absent is not in the list.
/// `state` is the optimizer's dict of the group, `master` its fp32 values.
std::vector<FlatTensor> flat_tensors(const TorchFile& file, const PickleValue& master,
                                     const std::optional<PickleValue>& state);

/// Applied steps from an optimizer's state of one group, or from its param_groups; -1: not there.
std::int64_t read_step(const TorchFile& file, const std::optional<PickleValue>& state,
                       const std::optional<PickleValue>& param_groups);

/// The numbers of the first of `param_groups`; nothing without them.
std::optional<AdamSettings> read_adam(const std::optional<PickleValue>& param_groups);

// Each takes the root of the model states (of rank 0) and fills pieces, applied steps and adam.
void load_stage_0(DeepSpeedContent& content, const TorchFile& model);
void load_stage_1_and_2(DeepSpeedContent& content, const PickleValue& model,
                        const std::vector<const TorchFile*>& ranks);
void load_stage_3(DeepSpeedContent& content, const PickleValue& model,
                  const std::vector<const TorchFile*>& ranks);
void load_universal(DeepSpeedContent& content);

}  // namespace zt::checkpoint
