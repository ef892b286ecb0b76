#include <ATen/ops/from_blob.h>

#include "memory/torch_dtype.h"
#include "zero/binding.h"

namespace zt::zero {

View Machine::view(schedule::BufferId id) const {
  const auto& buffer = program->buffer(id);
  const auto& arena = buffer.where == Place::host ? host_arena : device_arena;
  ZT_ASSERT(buffer.offset.value >= 0 && buffer.where != Place::nvme, "buffer without a place");
  return {arena->at(buffer.offset), buffer.numel.value, buffer.dtype};
}

View Machine::view(const schedule::Ref& ref) const {
  const auto whole = view(ref.buffer);
  return ref.own_slice ? whole.slice(rank() * ref.numel.value, ref.numel.value) : whole;
}

View Machine::view(const schedule::Ref& ref, const schedule::StatePart& part) const {
  const auto whole = view(ref);
  return whole.numel == part.numel.value ? whole : whole.slice(part.begin.value, part.numel.value);
}

bool Machine::updates_all(int unit) const {
  const auto u = static_cast<std::size_t>(unit);
  const auto& last = program->units.at(u).parts.back();
  return last.begin + last.numel == layout->units.at(u).padded();
}

std::int64_t Machine::first_updated(int unit) const {
  const auto shard = layout->units.at(static_cast<std::size_t>(unit)).shard().value;
  return updates_all(unit) ? 0 : rank() * shard;
}

at::Tensor Machine::tensor(void* data, const std::vector<std::int64_t>& shape, DType dtype) const {
  auto tensor_options = at::TensorOptions().dtype(memory::scalar_type(dtype));
  if (device == Device::cuda)
    tensor_options = tensor_options.device(at::kCUDA, static_cast<at::DeviceIndex>(device_index));
  return at::from_blob(data, shape, tensor_options);
}

Scalars scalars_of(const Machine& machine, schedule::BufferId id) {
  return {machine.view(id).as<double>(), machine.world(),
          static_cast<int>(machine.layout->units.size())};
}

View double_view(double* data, std::int64_t count) { return {data, count, DType::i64}; }

}  // namespace zt::zero
