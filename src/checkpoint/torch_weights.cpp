#include "checkpoint/torch_weights.h"

#include <fmt/format.h>

#include <optional>

#include "base/error.h"

namespace zt::checkpoint {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw CheckpointError(
      fmt::format("[checkpoint.pt] {}: {}. Restore the file from its source.", path, what));
}

std::optional<DType> known_dtype(TorchDType dtype) {
  switch (dtype) {
    case TorchDType::f32:
      return DType::f32;
    case TorchDType::f16:
      return DType::f16;
    case TorchDType::bf16:
      return DType::bf16;
    case TorchDType::i64:
      return DType::i64;
    case TorchDType::i32:
      return DType::i32;
    case TorchDType::u8:
    case TorchDType::boolean:
      return DType::u8;
    default:
      return {};
  }
}

}  // namespace

TorchWeights::TorchWeights(const std::string& path) : file_(path) {
  if (file_.root().kind() != NodeKind::dict) fail(path, "is no dict of tensors");
  for (const auto& [name, value] : file_.root().entries()) {
    if (value.kind() != NodeKind::tensor) fail(path, fmt::format("'{}' is no tensor", name));
    const auto& place = value.tensor();
    const auto dtype = known_dtype(file_.dtype(place));
    if (!dtype) {
      fail(path, fmt::format("tensor '{}': got {}, expected fp32, bf16 or fp16", name,
                             to_string(file_.dtype(place))));
    }
    const auto bytes = size_of(*dtype) * place.numel();
    tensors_[name] = {.dtype = *dtype, .shape = place.shape, .begin = 0, .end = bytes.value};
    places_[name] = place;  // as in Python, a later value of a name replaces an earlier one
  }
}

void TorchWeights::read(const std::string& name, std::int64_t begin,
                        std::span<float> values) const {
  const auto found = places_.find(name);
  if (found == places_.end()) fail(path(), fmt::format("has no tensor '{}'", name));
  file_.read(found->second, begin, values);
}

}  // namespace zt::checkpoint
