#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/huggingface.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw FileError(fmt::format("[checkpoint.huggingface] {}: {}", path, what));
}

std::map<std::string, std::string> read_index(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const auto root = json::parse(file, nullptr, false);
  if (root.is_discarded() || !root.is_object() || !root.contains("weight_map") ||
      !root["weight_map"].is_object()) {
    fail(path.string(), "is not an index with a weight_map. Restore the file.");
  }
  std::map<std::string, std::string> result;
  for (const auto& [name, shard] : root["weight_map"].items()) {
    if (!shard.is_string()) fail(path.string(), "weight_map of '" + name + "' is not a file name.");
    const auto file_name = shard.get<std::string>();
    if (fs::path(file_name).filename() != fs::path(file_name)) {
      fail(path.string(), "weight_map names '" + file_name + "', which leaves the folder.");
    }
    result[name] = file_name;
  }
  return result;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

/// Old files hold buffers that are no parameters.
bool is_buffer(const std::string& name) {
  return name.find("rotary_emb.inv_freq") != std::string::npos;
}

}  // namespace

bool has_weights(const std::string& folder) {
  return fs::exists(fs::path(folder) / kSingle) || fs::exists(fs::path(folder) / kIndex);
}

HuggingFaceWeights::HuggingFaceWeights(const std::string& folder) : folder_(folder) {
  const auto root = fs::path(folder);
  if (!fs::exists(root / kSingle) && fs::exists(root / kIndex)) {  // the order of transformers
    const auto index = read_index(root / kIndex);
    std::map<std::string, const SafetensorsFile*> opened;
    for (const auto& [name, file_name] : index) {
      if (opened.count(file_name) == 0) {
        files_.push_back(std::make_unique<SafetensorsFile>((root / file_name).string()));
        opened[file_name] = files_.back().get();
      }
      const auto* file = opened.at(file_name);
      if (file->tensors().count(name) == 0) {
        fail((root / kIndex).string(),
             fmt::format("promises '{}' in {}, which does not hold it.", name, file_name));
      }
      where_[name] = file;
    }
    return;
  }
  if (!fs::exists(root / kSingle)) {
    const bool pickle = fs::exists(root / "pytorch_model.bin");
    fail(folder, pickle
                     ? "has only pytorch_model.bin, which can run code. Convert it to safetensors."
                     : "has no model.safetensors and no index. Give a folder with weights, or "
                       "--from_scratch True to initialise them.");
  }
  files_.push_back(std::make_unique<SafetensorsFile>((root / kSingle).string()));
  for (const auto& [name, entry] : files_.back()->tensors()) where_[name] = files_.back().get();
}

const SafetensorsFile* HuggingFaceWeights::find(const std::string& name) const {
  const auto found = where_.find(name);
  return found == where_.end() ? nullptr : found->second;
}

void HuggingFaceWeights::check(const std::vector<layout::ParamSpec>& params) const {
  std::string problems;
  std::set<std::string> known;
  for (const auto& param : params) {
    known.insert(param.name);
    known.insert(param.aliases.begin(), param.aliases.end());
    const auto* file = find(param.name);
    if (file == nullptr) {
      problems += fmt::format("\n  missing: {} {}", param.name, shape_text(param.shape));
      continue;
    }
    const auto& entry = file->tensors().at(param.name);
    if (entry.shape != param.shape) {
      problems += fmt::format("\n  {}: got {}, expected {}", param.name, shape_text(entry.shape),
                              shape_text(param.shape));
    }
    if (entry.dtype != DType::f32 && entry.dtype != DType::bf16 && entry.dtype != DType::f16) {
      problems += fmt::format("\n  {}: got {}, expected fp32, bf16 or fp16", param.name,
                              to_string(entry.dtype));
    }
  }
  for (const auto& [name, file] : where_) {
    if (known.count(name) == 0 && !is_buffer(name))
      problems += fmt::format("\n  unexpected: {}", name);
  }
  if (!problems.empty()) {
    fail(folder_, "the weights do not fit config.json:" + problems +
                      "\n  Use the config.json that belongs to these weights.");
  }
}

void HuggingFaceWeights::read(const layout::ParamSpec& param, std::int64_t begin,
                              std::span<float> values) const {
  const auto* file = find(param.name);
  if (file == nullptr) fail(folder_, "has no tensor '" + param.name + "'.");
  file->read(param.name, begin, values);
}

}  // namespace zt::checkpoint
