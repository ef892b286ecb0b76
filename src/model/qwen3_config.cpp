#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/qwen3.h"

namespace zt::model {
namespace {

using nlohmann::json;

/// Reads keys of config.json and collects what is wrong with them.
class Reader {
 public:
  Reader(const json& root, std::string path) : root_(root), path_(std::move(path)) {}

  /// `limit` keeps products of sizes far from overflow.
  std::int64_t positive(const char* key, std::int64_t fallback = 0, std::int64_t limit = 1 << 24) {
    const auto* value = find(key);
    if (value == nullptr) {
      if (fallback == 0) problem(key, "is missing", "a positive integer");
      return std::max<std::int64_t>(fallback, 1);
    }
    if (!value->is_number_integer() || value->get<std::int64_t>() < 1 ||
        value->get<std::int64_t>() > limit) {
      problem(key, "got " + value->dump(), fmt::format("an integer from 1 to {}", limit));
      return 1;
    }
    return value->get<std::int64_t>();
  }

  double positive_number(const char* key, double fallback) { return number(root_, key, fallback); }

  double number(const json& object, const char* key, double fallback) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return fallback;
    const bool good =
        found->is_number() && std::isfinite(found->get<double>()) && found->get<double>() > 0;
    if (!good) {
      problem(key, "got " + found->dump(), "a positive finite number");
      return fallback;
    }
    return found->get<double>();
  }

  bool boolean(const char* key, bool fallback) {
    const auto* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) problem(key, "got " + value->dump(), "true or false");
    return value->is_boolean() && value->get<bool>();
  }

  void refuse(bool condition, const char* key, const std::string& why) {
    if (condition) problem(key, why, "a plain Qwen3 dense model");
  }

  void problem(const char* key, const std::string& what, const std::string& expected) {
    problems_ +=
        fmt::format("[model.config] {}: {}: {}, expected {}.\n", path_, key, what, expected);
  }

  const json* find(const char* key) const {
    const auto found = root_.find(key);
    return found == root_.end() || found->is_null() ? nullptr : &*found;
  }

  void finish() const {
    if (!problems_.empty()) throw ConfigError(problems_.substr(0, problems_.size() - 1));
  }

 private:
  const json& root_;
  std::string path_;
  std::string problems_;
};

json load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw FileError(
        fmt::format("[model.config] {}: cannot be read. Give the folder of a Hugging Face "
                    "model with its config.json.",
                    path));
  }
  auto root = json::parse(file, nullptr, false);
  if (root.is_discarded() || !root.is_object()) {
    throw FileError(
        fmt::format("[model.config] {}: is not a JSON object. Restore the file.", path));
  }
  return root;
}

/// RoPE of transformers 4 (rope_theta, rope_scaling) or 5 (rope_parameters).
double read_rope(Reader& reader) {
  double theta = reader.positive_number("rope_theta", 0);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto* section = reader.find(key);
    if (section == nullptr) continue;
    if (!section->is_object()) {
      reader.problem(key, "got " + section->dump(), "an object");
      continue;
    }
    const auto kind = section->value("rope_type", section->value("type", json("default")));
    reader.refuse(kind != "default", key, "rope_type " + kind.dump() + " is not built");
    theta = reader.number(*section, "rope_theta", theta);
  }
  constexpr double kHuggingFaceDefault = 1e4;
  return theta == 0 ? kHuggingFaceDefault : theta;
}

void refuse_unsupported(Reader& reader) {
  const auto* type = reader.find("model_type");
  const bool qwen3 = type != nullptr && type->is_string() && *type == "qwen3";
  reader.refuse(
      !qwen3, "model_type",
      type == nullptr ? "is missing" : "got " + type->dump() + ", only \"qwen3\" is built");
  reader.refuse(reader.boolean("attention_bias", false), "attention_bias", "true is not built");
  reader.refuse(reader.boolean("use_sliding_window", false), "use_sliding_window",
                "true is not built");
  const auto* act = reader.find("hidden_act");
  reader.refuse(act != nullptr && *act != "silu", "hidden_act", "only silu is built");
  const auto* dropout = reader.find("attention_dropout");
  reader.refuse(dropout != nullptr && dropout->is_number() && dropout->get<double>() != 0,
                "attention_dropout", "only 0 is built");
  if (const auto* kinds = reader.find("layer_types"); kinds != nullptr && kinds->is_array()) {
    for (const auto& kind : *kinds) {
      reader.refuse(kind != "full_attention", "layer_types", kind.dump() + " is not built");
    }
  }
}

}  // namespace

Qwen3Config read_qwen3_config(const std::string& folder) {
  if (!std::filesystem::is_directory(folder)) {
    throw FileError(
        fmt::format("[model.config] --model_name_or_path: '{}' is not a folder. Give the "
                    "folder of a Hugging Face model; nothing is downloaded.",
                    folder));
  }
  const auto path = (std::filesystem::path(folder) / "config.json").string();
  const auto root = load(path);
  Reader reader(root, path);
  refuse_unsupported(reader);
  Qwen3Config config;
  config.hidden = reader.positive("hidden_size");
  constexpr std::int64_t kMaxLayers = 1 << 14;
  config.layers = reader.positive("num_hidden_layers", 0, kMaxLayers);
  config.heads = reader.positive("num_attention_heads");
  // null means as many as query heads; an absent key means another number to each library.
  const bool null_kv =
      root.contains("num_key_value_heads") && root["num_key_value_heads"].is_null();
  config.kv_heads = reader.positive("num_key_value_heads", null_kv ? config.heads : 0);
  config.head_dim = reader.positive("head_dim", 128);
  config.ffn = reader.positive("intermediate_size");
  config.vocab = reader.positive("vocab_size");
  config.max_position = reader.positive("max_position_embeddings", 32768);
  config.rope_theta = read_rope(reader);
  config.rms_epsilon = reader.positive_number("rms_norm_eps", 1e-6);
  config.init_range = reader.positive_number("initializer_range", 0.02);
  config.tied = reader.boolean("tie_word_embeddings", false);
  reader.refuse(config.heads % config.kv_heads != 0, "num_key_value_heads",
                "does not divide num_attention_heads");
  reader.refuse(config.head_dim % 2 != 0 || config.head_dim > 512, "head_dim",
                "is odd or above 512");
  reader.finish();
  return config;
}

}  // namespace zt::model
