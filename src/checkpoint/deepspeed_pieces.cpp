#include "checkpoint/deepspeed_pieces.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace zt::checkpoint {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw CheckpointError("[checkpoint.deepspeed] " + what);
}

std::size_t index(layout::StateKind kind) { return static_cast<std::size_t>(kind); }

const char* name_of(layout::StateKind kind) {
  constexpr const char* kNames[] = {"weight", "fp32 master", "exp_avg", "exp_avg_sq"};
  return kNames[index(kind)];
}

}  // namespace

void StatePieces::declare(const std::string& name, const std::vector<std::int64_t>& shape) {
  Param param{.shape = shape, .numel = 1};
  for (const auto size : shape) param.numel *= size;
  const auto [found, added] = params_.emplace(name, std::move(param));
  if (added) names_.push_back(name);
  if (!added && found->second.shape != shape) {
    fail(fmt::format("parameter '{}' has two shapes: [{}] and [{}]. Save the checkpoint again.",
                     name, fmt::join(found->second.shape, ", "), fmt::join(shape, ", ")));
  }
}

const StatePieces::Param& StatePieces::at(const std::string& name) const {
  const auto found = params_.find(name);
  if (found == params_.end()) {
    fail(fmt::format("there is no parameter '{}'. Use the model that the checkpoint belongs to.",
                     name));
  }
  return found->second;
}

const std::vector<std::int64_t>& StatePieces::shape(const std::string& name) const {
  return at(name).shape;
}

void StatePieces::append(layout::StateKind kind, const std::string& name, std::int64_t length,
                         const TorchFile& file, const TensorRef& tensor,
                         std::int64_t tensor_begin) {
  (void)at(name);
  auto& param = params_.at(name);
  auto& pieces = param.pieces[index(kind)];
  const auto begin = pieces.empty() ? 0 : pieces.back().begin + pieces.back().length;
  if (length < 0 || length > param.numel - begin) {
    fail(
        fmt::format("{}: '{}' has more {} values than elements: got at least {}, expected {}. "
                    "Save the checkpoint again.",
                    file.path(), name, name_of(kind), begin + length, param.numel));
  }
  const auto available = tensor.numel();
  if (tensor_begin < 0 || tensor_begin > available || length > available - tensor_begin) {
    fail(fmt::format(
        "{}: the {} of '{}' lies outside of its tensor: elements {} to {} of {}. Save "
        "the checkpoint again; with NVMe offload, convert it to a universal one first.",
        file.path(), name_of(kind), name, tensor_begin, tensor_begin + length, available));
  }
  if (length > 0) pieces.push_back({begin, length, &file, &tensor, tensor_begin});
}

void StatePieces::check_complete(layout::StateKind kind) const {
  for (const auto& [name, param] : params_) {
    const auto& pieces = param.pieces[index(kind)];
    const auto end = pieces.empty() ? 0 : pieces.back().begin + pieces.back().length;
    if (end != param.numel && !pieces.empty()) {
      fail(
          fmt::format("'{}' is incomplete: got {} values of its {}, expected {}. Is an optimizer "
                      "file of another save among them?",
                      name, end, name_of(kind), param.numel));
    }
  }
}

bool StatePieces::has(layout::StateKind kind, const std::string& name) const {
  const auto found = params_.find(name);
  return found != params_.end() && !found->second.pieces[index(kind)].empty();
}

bool StatePieces::has(layout::StateKind kind) const {
  return std::any_of(params_.begin(), params_.end(),
                     [&](const auto& entry) { return !entry.second.pieces[index(kind)].empty(); });
}

void StatePieces::read(layout::StateKind kind, const std::string& name, std::int64_t begin,
                       std::span<float> values) const {
  const auto& pieces = at(name).pieces[index(kind)];
  auto piece = std::upper_bound(
      pieces.begin(), pieces.end(), begin,
      [](std::int64_t element, const StatePiece& it) { return element < it.begin + it.length; });
  while (!values.empty()) {
    if (piece == pieces.end()) {
      fail(fmt::format("the checkpoint holds no {} of '{}'. Was the parameter frozen?",
                       name_of(kind), name));
    }
    const auto skip = begin - piece->begin;
    const auto count = std::min(static_cast<std::int64_t>(values.size()), piece->length - skip);
    piece->file->read(*piece->tensor, piece->tensor_begin + skip,
                      values.first(static_cast<std::size_t>(count)));
    values = values.subspan(static_cast<std::size_t>(count));
    begin += count;
    ++piece;
  }
}

}  // namespace zt::checkpoint
