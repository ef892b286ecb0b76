#include "checkpoint/tensor_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
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

fs::path single(const std::string& folder, const std::string& stem) {
  return fs::path(folder) / (stem + ".safetensors");
}

fs::path index(const std::string& folder, const std::string& stem) {
  return fs::path(folder) / (stem + ".safetensors.index.json");
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool TensorSet::exists(const std::string& folder, const std::string& stem) {
  return fs::exists(single(folder, stem)) || fs::exists(index(folder, stem));
}

TensorSet::TensorSet(const std::string& folder, const std::string& stem) {
  const auto whole = single(folder, stem);
  if (fs::exists(whole) || !fs::exists(index(folder, stem))) {
    files_.push_back(std::make_unique<SafetensorsFile>(whole.string()));
    for (const auto& [name, entry] : files_.back()->tensors()) {
      where_[name] = {files_.back().get(), &entry};
    }
    return;
  }
  const auto map_path = index(folder, stem);
  std::map<std::string, const SafetensorsFile*> opened;
  for (const auto& [name, file_name] : read_index(map_path)) {
    auto& file = opened[file_name];
    if (file == nullptr) {
      files_.push_back(
          std::make_unique<SafetensorsFile>((map_path.parent_path() / file_name).string()));
      file = files_.back().get();
    }
    const auto entry = file->tensors().find(name);
    if (entry == file->tensors().end()) {
      fail(map_path.string(),
           fmt::format("promises '{}' in {}, which does not hold it.", name, file_name));
    }
    where_[name] = {file, &entry->second};
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
