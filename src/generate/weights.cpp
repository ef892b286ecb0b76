#include "generate/weights.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "kernels/cast/cast.h"
#include "layer/tensor_view.h"
#include "memory/arena.h"
#include "memory/torch_dtype.h"

namespace zt::generate {

using layer::view_of;

namespace {

at::TensorOptions options_of(DType dtype, const zero::RankContext& rank) {
  auto options = at::TensorOptions().dtype(memory::scalar_type(dtype));
  if (rank.device == Device::cuda) {
    options = options.device(at::kCUDA, static_cast<at::DeviceIndex>(rank.device_index));
  }
  return options;
}

DType dtype_of(const layout::UnitLayout& unit, DType compute) {
  return unit.keep_fp32() ? DType::f32 : compute;
}

/// This rank's shard of a unit, rounded to `dtype`, in host memory.
at::Tensor read_shard(const layout::UnitLayout& unit, const zero::ParamSource& source, DType dtype,
                      const zero::RankContext& rank) {
  const auto count = unit.shard().value;
  const auto values = at::zeros({count}, at::kFloat);
  for (const auto& slice : unit.slices(rank.communicator->rank())) {
    source(slice.param, slice.param_begin,
           {values.data_ptr<float>() + slice.shard_begin.value,
            static_cast<std::size_t>(slice.length.value)});
  }
  if (dtype == DType::f32) return values;
  const auto rounded = at::empty({count}, options_of(dtype, {}));
  kernels::cast(view_of(values), view_of(rounded), {});
  return rounded;
}

}  // namespace

layer::Tensors Weights::of(const layer::Layer& layer) const {
  layer::Tensors params;
  for (const auto id : layer.params())
    params.push_back(by_param.at(static_cast<std::size_t>(id.value)));
  return params;
}

Bytes weight_bytes(const layer::ModelParts& model, DType compute, int world) {
  const auto layout = layout::ModelLayout::make(model.params, model.units, world);
  Bytes bytes;
  for (const auto& unit : layout.units) bytes += storage(unit.padded(), dtype_of(unit, compute));
  return bytes;
}

Weights gather_weights(const layer::ModelParts& model, const zero::ParamSource& source,
                       DType compute, const zero::RankContext& rank) {
  auto& communicator = *rank.communicator;
  const auto layout = layout::ModelLayout::make(model.params, model.units, communicator.world());
  const Launch launch{.device = rank.device};
  Weights weights{.compute = compute, .device = rank.device};
  weights.by_param.resize(model.params.size());
  for (const auto& unit : layout.units) {
    const auto dtype = dtype_of(unit, compute);
    const auto full = at::empty({unit.padded().value}, options_of(dtype, rank));
    const auto own =
        full.narrow(0, unit.shard_begin(communicator.rank()).value, unit.shard().value);
    const auto shard = read_shard(unit, source, dtype, rank);
    memory::copy(view_of(shard), view_of(own), launch);
    if (communicator.world() > 1) communicator.all_gather(view_of(own), view_of(full), launch);
    memory::synchronize(launch);
    for (std::size_t i = 0; i < unit.unit().params.size(); ++i) {
      const auto id = static_cast<std::size_t>(unit.unit().params[i].value);
      weights.by_param[id] =
          full.narrow(0, unit.offset(i).value, unit.numel(i).value).view(layout.params[id].shape);
    }
    weights.units.push_back(full);
  }
  return weights;
}

}  // namespace zt::generate
