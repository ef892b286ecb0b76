#include "checkpoint/native_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors_header.h"

namespace zt::checkpoint {
namespace {

using layout::ParamId;
using layout::ParamSpec;
using layout::StateKind;
using nlohmann::json;

constexpr std::array<StateKind, 4> kKinds{StateKind::weight, StateKind::master, StateKind::exp_avg,
                                          StateKind::exp_avg_sq};

std::size_t index_of(StateKind kind) { return static_cast<std::size_t>(kind); }

const ParamSpec& spec(const std::vector<ParamSpec>& params, ParamId id) {
  return params.at(static_cast<std::size_t>(id.value));
}

/// Greedy, as transformers does: a shard takes parameters while they fit.
std::vector<std::vector<ParamId>> cut_shards(const std::vector<ParamSpec>& params,
                                             const std::vector<ParamId>& order, DType dtype,
                                             Bytes limit) {
  std::vector<std::vector<ParamId>> shards;
  Bytes filled;
  for (const auto id : order) {
    const auto bytes = storage(spec(params, id).numel(), spec(params, id).dtype(dtype));
    if (shards.empty() || filled + bytes > limit) {
      shards.emplace_back();
      filled = {};
    }
    shards.back().push_back(id);
    filled += bytes;
  }
  return shards;
}

TensorFile plan_file(std::string path, const std::vector<ParamSpec>& params,
                     std::vector<ParamId> order, DType dtype) {
  TensorFile file{std::move(path), {}, std::move(order), {}, 0};
  std::vector<TensorDeclaration> tensors;
  for (const auto id : file.params) {
    const auto& param = spec(params, id);
    tensors.push_back({param.name, param.dtype(dtype), param.shape});
  }
  file.header = make_safetensors_header(tensors);
  file.size = static_cast<std::int64_t>(file.header.size());
  for (const auto id : file.params) {
    file.begin.push_back(file.size);
    file.size += storage(spec(params, id).numel(), spec(params, id).dtype(dtype)).value;
  }
  return file;
}

std::string index_text(const std::vector<ParamSpec>& params, const TensorFileSet& set) {
  json map = json::object();
  std::int64_t total = 0;
  for (const auto& file : set.files) {
    const auto name = file.path.substr(file.path.rfind('/') + 1);  // npos + 1 is 0
    for (const auto id : file.params) map[spec(params, id).name] = name;
    total += file.size - static_cast<std::int64_t>(file.header.size());
  }
  const json root = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  return root.dump(2) + "\n";  // sorted keys, indent 2, newline, as transformers writes
}

}  // namespace

const char* to_string(StateKind kind) {
  switch (kind) {
    case StateKind::weight:
      return "weight";
    case StateKind::master:
      return "master";
    case StateKind::exp_avg:
      return "exp_avg";
    case StateKind::exp_avg_sq:
      return "exp_avg_sq";
  }
  return "?";
}

TensorFileSet TensorFileSet::plan(const std::string& stem, const std::vector<ParamSpec>& params,
                                  const std::vector<ParamId>& order, DType dtype,
                                  Bytes shard_bytes) {
  TensorFileSet set;
  set.dtype = dtype;
  auto shards = cut_shards(params, order, dtype, shard_bytes);
  const auto count = shards.size();
  for (std::size_t i = 0; i < count; ++i) {
    auto path = count == 1 ? stem + ".safetensors"
                           : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, i + 1, count);
    set.files.push_back(plan_file(std::move(path), params, std::move(shards[i]), dtype));
  }
  if (count > 1) {
    set.index_path = stem + ".safetensors.index.json";
    set.index = index_text(params, set);
  }
  return set;
}

NativeLayout::NativeLayout(const std::vector<ParamSpec>& params, const Options& options)
    : places_(kKinds.size()) {
  std::vector<ParamId> order;
  for (int i = 0; i < checked_narrow<int>(params.size()); ++i) order.push_back({i});
  for (const auto& param : params) weight_dtypes_.push_back(param.dtype(options.dtype));
  for (const auto kind : kKinds) {
    const bool weight = kind == StateKind::weight;
    if (!weight && !options.optimizer) continue;
    if (kind == StateKind::master && options.dtype == DType::f32) continue;
    const auto stem = weight ? std::string("model") : std::string("zero/") + to_string(kind);
    add(kind, TensorFileSet::plan(stem, params, order, weight ? options.dtype : DType::f32,
                                  options.shard_bytes));
  }
}

void NativeLayout::add(StateKind kind, TensorFileSet set) {
  auto& places = places_.at(index_of(kind));
  for (auto& file : set.files) {
    for (std::size_t i = 0; i < file.params.size(); ++i) {
      const auto id = static_cast<std::size_t>(file.params[i].value);
      places.resize(std::max(places.size(), id + 1));
      places[id] = {files_.size(), file.begin[i]};
    }
    files_.push_back(std::move(file));
  }
  if (!set.index_path.empty()) indexes_.push_back({set.index_path, set.index});
}

bool NativeLayout::has(StateKind kind) const { return !places_.at(index_of(kind)).empty(); }

DType NativeLayout::dtype(StateKind kind, ParamId param) const {
  return kind == StateKind::weight ? weight_dtypes_.at(static_cast<std::size_t>(param.value))
                                   : DType::f32;
}

TensorPlace NativeLayout::place(StateKind kind, ParamId param) const {
  ZT_ASSERT(has(kind), "the checkpoint has no such state");
  return places_.at(index_of(kind)).at(static_cast<std::size_t>(param.value));
}

Bytes NativeLayout::total() const {
  Bytes total;
  for (const auto& file : files_) total += {file.size};
  return total;
}

}  // namespace zt::checkpoint
