#include "checkpoint/model_folder.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/error.h"
#include "checkpoint/file_io.h"
#include "model/family.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Copied byte for byte; whatever is missing at the source is not written.
constexpr std::array<const char*, 9> kTokenizerFiles{
    "tokenizer.json",      "tokenizer_config.json",   "vocab.json",
    "merges.txt",          "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "tokenizer.model",         "chat_template.json"};
constexpr std::int64_t kMaxSideFile = 1 << 30;

const char* torch_name(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
    default:
      return "float32";
  }
}

/// config.json of a folder, or of a model by name; in Hugging Face's keys also where the folder has
/// older ones.
json model_config(const std::string& source) {
  if (const auto named = model::named_model(source)) return json::parse(named->config_json());
  const auto path = (fs::path(source) / "config.json").string();
  auto config = json::parse(read_text(path, kMaxSideFile), nullptr, false);
  if (config.is_discarded() || !config.is_object()) {
    throw FileError(
        fmt::format("[checkpoint.huggingface] {}: is not a JSON object. Restore the file.", path));
  }
  if (config.contains("model_type")) return config;
  return json::parse(model::read_model(source).config_json());
}

std::string config_text(const std::string& source, DType dtype) {
  auto config = model_config(source);
  // Old-style keys: transformers 4 knows only them, 5 converts them.
  config["torch_dtype"] = torch_name(dtype);
  config.erase("dtype");
  const auto rope = config.find("rope_parameters");
  if (rope != config.end() && rope->is_object() && rope->contains("rope_theta")) {
    config["rope_theta"] = (*rope)["rope_theta"];
    config["rope_scaling"] = nullptr;
    config.erase("rope_parameters");
  }
  return config.dump(2) + "\n";  // as transformers writes
}

void add_if_there(std::vector<SideFile>& files, const std::string& folder, const char* name) {
  const auto path = (fs::path(folder) / name).string();
  if (fs::exists(path)) files.push_back({name, read_text(path, kMaxSideFile)});
}

}  // namespace

std::vector<SideFile> model_side_files(const std::string& source,
                                       const std::string& tokenizer_source, DType dtype) {
  std::vector<SideFile> files;
  if (!source.empty()) {
    files.push_back({"config.json", config_text(source, dtype)});
    add_if_there(files, source, "generation_config.json");
  }
  if (tokenizer_source.empty()) return files;
  for (const char* name : kTokenizerFiles) add_if_there(files, tokenizer_source, name);
  return files;
}

bool is_weight_file(const std::string& name) {
  static const std::regex kPattern(R"(model(-\d+-of-\d+)?\.safetensors)");
  return std::regex_match(name, kPattern);
}

}  // namespace zt::checkpoint
