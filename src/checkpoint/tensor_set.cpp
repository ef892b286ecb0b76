#include "checkpoint/tensor_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/file_io.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch_weights.h"
#include "model/family.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kMaxIndex = 1 << 28;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw FileError(fmt::format("[checkpoint.huggingface] {}: {}", path, what));
}

std::map<std::string, std::string> read_index(const fs::path& path) {
  const auto root = json::parse(read_text(path.string(), kMaxIndex), nullptr, false);
  if (root.is_discarded() || !root.is_object() || !root.contains("weight_map") ||
      !root["weight_map"].is_object()) {
    fail(path.string(), "is not an index with a weight_map. Restore the file.");
  }
  std::map<std::string, std::string> result;
  for (const auto& [name, shard] : root["weight_map"].items()) {
    if (!shard.is_string()) fail(path.string(), "weight_map of '" + name + "' is not a file name.");
    const auto file_name = shard.get<std::string>();
    if (file_name.empty() || file_name == ".." || file_name == "." ||
        fs::path(file_name).filename() != fs::path(file_name)) {
      fail(path.string(), "weight_map names '" + file_name + "', which leaves the folder.");
    }
    result[name] = file_name;
  }
  return result;
}

std::string single(const std::string& folder, const std::string& stem) {
  return (fs::path(folder) / (stem + ".safetensors")).string();
}

std::string index_of(const std::string& file) { return file + ".index.json"; }

bool is_there(const std::string& file) { return fs::exists(file) || fs::exists(index_of(file)); }

/// The files that transformers looks for, in its order.
std::string weight_file(const std::string& folder) {
  const auto safe = single(folder, "model");
  const auto pickled = (fs::path(folder) / "pytorch_model.bin").string();
  return !is_there(safe) && is_there(pickled) ? pickled : safe;
}

std::unique_ptr<WeightFile> open_file(const std::string& path) {
  if (path.ends_with(".bin")) return std::make_unique<TorchWeights>(path);
  return std::make_unique<SafetensorsFile>(path);
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool TensorSet::exists(const std::string& folder, const std::string& stem) {
  return is_there(single(folder, stem));
}

bool TensorSet::has_weights(const std::string& folder) { return is_there(weight_file(folder)); }

TensorSet TensorSet::weights(const std::string& folder) { return TensorSet(weight_file(folder)); }

TensorSet::TensorSet(const std::string& folder, const std::string& stem)
    : TensorSet(single(folder, stem)) {}

TensorSet::TensorSet(const std::string& file) {
  const fs::path map_path = index_of(file);
  if (fs::exists(file) || !fs::exists(map_path)) {
    files_.push_back(open_file(file));
    for (const auto& [name, entry] : files_.back()->tensors()) {
      where_[name] = {files_.back().get(), &entry};
    }
    return;
  }
  std::map<std::string, const WeightFile*> opened;
  for (const auto& [name, file_name] : read_index(map_path)) {
    auto& shard = opened[file_name];
    if (shard == nullptr) {
      files_.push_back(open_file((map_path.parent_path() / file_name).string()));
      shard = files_.back().get();
    }
    const auto entry = shard->tensors().find(name);
    if (entry == shard->tensors().end()) {
      fail(map_path.string(),
           fmt::format("promises '{}' in {}, which does not hold it.", name, file_name));
    }
    where_[name] = {shard, &entry->second};
  }
}

DType TensorSet::weight_dtype() const {
  auto result = DType::f32;
  for (const auto& [name, place] : where_) {
    const auto dtype = place.entry->dtype;
    if (dtype == DType::bf16 || dtype == DType::f16) result = dtype;
  }
  return result;
}

std::vector<layout::ParamSpec> TensorSet::specs() const {
  std::vector<layout::ParamSpec> result;
  for (const auto& [name, place] : where_) {
    result.push_back({.name = name, .shape = place.entry->shape});
    result.back().keep_fp32 = model::keeps_fp32(name);
  }
  return result;
}

const TensorSet::Place* TensorSet::find(const std::string& name) const {
  const auto found = where_.find(name);
  return found == where_.end() ? nullptr : &found->second;
}

}  // namespace zt::checkpoint
