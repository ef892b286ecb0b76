#include "model/family.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/config_reader.h"

namespace zt::model {
namespace {

using std::string_view;

constexpr std::array<string_view, 19> kQwen3Parts{"model",
                                                  "embed_tokens",
                                                  "layers",
                                                  "self_attn",
                                                  "q_proj",
                                                  "k_proj",
                                                  "v_proj",
                                                  "o_proj",
                                                  "q_norm",
                                                  "k_norm",
                                                  "mlp",
                                                  "gate_proj",
                                                  "up_proj",
                                                  "down_proj",
                                                  "input_layernorm",
                                                  "post_attention_layernorm",
                                                  "norm",
                                                  "lm_head",
                                                  "weight"};
constexpr std::array<string_view, 16> kMambaParts{
    "backbone", "embeddings", "layers",  "norm",     "mixer",  "A_log",   "D",      "conv1d",
    "in_proj",  "x_proj",     "dt_proj", "out_proj", "norm_f", "lm_head", "weight", "bias"};

/// What the program needs to know of a family before it has a model of it.
struct Family {
  const char* model_type;
  Model (*read)(const std::string& folder);
  std::optional<Model> (*named)(const std::string& name);
  std::vector<std::string> (*names)();
  std::span<const string_view> parts;
};

template <typename Config>
std::optional<Model> as_model(const std::optional<Config>& config) {
  return config ? std::optional<Model>(*config) : std::nullopt;
}

const std::array<Family, 2> kFamilies{
    Family{"qwen3", [](const std::string& folder) { return Model(read_qwen3_config(folder)); },
           [](const std::string& name) { return as_model(named_shape(name)); }, shape_names,
           kQwen3Parts},
    Family{"mamba", [](const std::string& folder) { return Model(read_mamba_config(folder)); },
           [](const std::string& name) { return as_model(named_mamba(name)); }, mamba_names,
           kMambaParts}};

/// Every dotted part of the name is a number or one of `parts`.
bool all_known(string_view name, std::span<const string_view> parts) {
  while (!name.empty()) {
    const auto dot = std::min(name.find('.'), name.size());
    const auto part = name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
    const bool number =
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!number && std::find(parts.begin(), parts.end(), part) == parts.end()) return false;
  }
  return true;
}

[[noreturn]] void refuse_type(const std::string& folder, const std::string& what) {
  std::string known;
  for (const auto& family : kFamilies) {
    known += std::string(known.empty() ? "" : ", ") + '"' + family.model_type + '"';
  }
  throw ConfigError("[model.config] " + model_config_path(folder) + ": model_type: " + what +
                    ", expected one of " + known + ".");
}

}  // namespace

const char* Model::architecture() const {
  return as<MambaConfig>() != nullptr ? "MambaForCausalLM" : "Qwen3ForCausalLM";
}

std::int64_t Model::hidden() const {
  return std::visit([](const auto& config) { return config.hidden; }, config_);
}

std::int64_t Model::vocab() const {
  return std::visit([](const auto& config) { return config.vocab; }, config_);
}

std::int64_t Model::layers() const {
  return std::visit([](const auto& config) { return config.layers; }, config_);
}

EndsConfig Model::ends() const {
  return std::visit([](const auto& config) { return config.ends(); }, config_);
}

LengthLimit Model::length_limit() const {
  return std::visit([](const auto& config) { return config.length_limit(); }, config_);
}

layer::ModelParts Model::make() const {
  const auto* mamba = as<MambaConfig>();
  return mamba != nullptr ? make_mamba(*mamba) : make_qwen3(std::get<Qwen3Config>(config_));
}

std::int64_t Model::num_params() const {
  return std::visit([](const auto& config) { return model::num_params(config); }, config_);
}

double Model::train_flops_per_token(std::int64_t sequence) const {
  const auto* mamba = as<MambaConfig>();
  return mamba != nullptr ? model::train_flops_per_token(*mamba)
                          : model::train_flops_per_token(std::get<Qwen3Config>(config_), sequence);
}

std::string Model::config_json() const {
  const auto* mamba = as<MambaConfig>();
  return mamba != nullptr ? mamba_config_json(*mamba)
                          : qwen3_config_json(std::get<Qwen3Config>(config_));
}

Model reduced(const Model& model) {
  static constexpr std::int64_t kWidth = 64, kLayers = 2, kVocab = 256;
  const auto shrink = [](auto& config) {
    config.hidden = std::min(config.hidden, kWidth);
    config.layers = std::min(config.layers, kLayers);
    config.vocab = std::min(config.vocab, kVocab);
  };
  if (const auto* mamba = model.as<MambaConfig>()) {
    auto config = *mamba;
    shrink(config);
    config.inner = std::max<std::int64_t>(1, config.hidden * mamba->inner / mamba->hidden);
    config.rank = default_time_step_rank(config.hidden);
    return config;
  }
  auto config = *model.as<Qwen3Config>();
  shrink(config);
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.ffn = std::min(config.ffn, 2 * kWidth);
  return config;
}

Model read_model(const std::string& folder) {
  const auto root = load_model_config(folder);
  const auto type = root.find("model_type");
  if (type == root.end() || type->is_null()) {
    // Folders of the mamba_ssm package name no type.
    if (root.contains("d_model") && root.contains("n_layer")) return read_mamba_config(folder);
    refuse_type(folder, "is missing");
  }
  for (const auto& family : kFamilies) {
    if (*type == family.model_type) return family.read(folder);
  }
  refuse_type(folder, "got " + type->dump());
}

std::optional<Model> named_model(const std::string& name) {
  std::error_code error;
  if (std::filesystem::exists(model_config_path(name), error)) return {};
  for (const auto& family : kFamilies) {
    if (auto model = family.named(name)) return model;
  }
  return {};
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& family : kFamilies) {
    for (auto& name : family.names()) names.push_back(std::move(name));
  }
  return names;
}

Model find_model(const std::string& folder_or_name, const std::string& what) {
  if (auto model = named_model(folder_or_name)) return *model;
  std::error_code error;
  if (std::filesystem::is_directory(folder_or_name, error)) return read_model(folder_or_name);
  std::string names;
  for (const auto& name : model_names()) names += " " + name;
  throw ConfigError(what + ", expected a folder with config.json or one of" + names + ".");
}

std::string current_name(const std::string& name) {
  return name == "backbone.embedding.weight" ? "backbone.embeddings.weight" : name;
}

bool keeps_fp32(string_view name) {
  constexpr string_view kKept[] = {".mixer.A_log", ".mixer.D", ".mixer.dt_proj.bias"};
  return std::any_of(std::begin(kKept), std::end(kKept),
                     [&](string_view end) { return name.ends_with(end); });
}

bool is_embedding(string_view name) {
  return name == "model.embed_tokens.weight" || name == "backbone.embeddings.weight";
}

std::span<const string_view> registered_parts(const std::vector<layout::ParamSpec>& params) {
  for (const auto& family : kFamilies) {
    const bool fits = std::all_of(params.begin(), params.end(), [&](const auto& param) {
      return all_known(param.name, family.parts);
    });
    if (fits) return family.parts;
  }
  return kFamilies.front().parts;
}

}  // namespace zt::model
