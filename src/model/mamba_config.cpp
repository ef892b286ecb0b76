#include <nlohmann/json.hpp>

#include "base/units.h"
#include "model/config_reader.h"
#include "model/mamba.h"

namespace zt::model {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxLayers = 1 << 14;

/// `key` when it is a positive integer; "auto" or nothing stands for `automatic`.
std::int64_t read_rank(ConfigReader& reader, const json* value, const char* key,
                       std::int64_t automatic) {
  if (value == nullptr || value->is_null() || *value == "auto") return automatic;
  const bool good = value->is_number_integer() && value->get<std::int64_t>() > 0 &&
                    value->get<std::int64_t>() <= 1 << 20;
  if (!good) reader.problem(key, "got " + value->dump(), "\"auto\" or a positive integer");
  return good ? value->get<std::int64_t>() : automatic;
}

/// Channels of the inner part: expand x hidden, a whole number.
std::int64_t read_inner(ConfigReader& reader, double expand, std::int64_t hidden) {
  const auto inner = static_cast<std::int64_t>(expand * static_cast<double>(hidden));
  if (inner < 1 || inner > 1 << 24) {
    reader.problem("expand", "gives " + std::to_string(inner) + " inner channels", "1 to 16777216");
    return 1;
  }
  return inner;
}

/// What the scan and the convolution are built for.
void refuse_unsupported(ConfigReader& reader, const MambaConfig& config) {
  constexpr std::int64_t kMaxStates = 64, kMaxConv = 8;
  reader.refuse(config.state > kMaxStates, "state_size", "more than 64 is not built");
  reader.refuse(config.conv > kMaxConv, "conv_kernel", "more than 8 is not built");
}

MambaConfig read_huggingface(ConfigReader& reader) {
  MambaConfig config;
  config.hidden = reader.positive("hidden_size");
  config.layers = reader.positive("num_hidden_layers", 0, kMaxLayers);
  config.vocab = reader.positive("vocab_size");
  config.inner = read_inner(reader, reader.positive_number("expand", 2), config.hidden);
  config.state = reader.positive("state_size", config.state);
  config.conv = reader.positive("conv_kernel", config.conv);
  config.rank = read_rank(reader, reader.find("time_step_rank"), "time_step_rank",
                          default_time_step_rank(config.hidden));
  config.rms_epsilon = reader.positive_number("layer_norm_epsilon", config.rms_epsilon);
  config.conv_bias = reader.boolean("use_conv_bias", true);
  config.fp32_residual = reader.boolean("residual_in_fp32", true);
  config.tied = reader.boolean("tie_word_embeddings", true);
  config.init_range = reader.positive_number("initializer_range", config.init_range);
  config.time_step_min = reader.positive_number("time_step_min", config.time_step_min);
  config.time_step_max = reader.positive_number("time_step_max", config.time_step_max);
  config.time_step_floor = reader.positive_number("time_step_floor", config.time_step_floor);
  config.time_step_scale = reader.positive_number("time_step_scale", config.time_step_scale);
  const auto* scheme = reader.find("time_step_init_scheme");
  config.constant_time_step = scheme != nullptr && *scheme == "constant";
  reader.refuse(scheme != nullptr && *scheme != "constant" && *scheme != "random",
                "time_step_init_scheme", "got " + (scheme ? scheme->dump() : ""));
  config.rescale_out_proj = reader.boolean("rescale_prenorm_residual", false);
  reader.refuse(reader.boolean("use_bias", false), "use_bias", "true is not built");
  const auto* act = reader.find("hidden_act");
  reader.refuse(act != nullptr && *act != "silu", "hidden_act", "only silu is built");
  return config;
}

/// How the time step's projection starts, by the mamba_ssm package's names.
void read_time_step(ConfigReader& reader, const json& ssm, MambaConfig& config) {
  config.time_step_min = reader.positive_number(ssm, "dt_min", config.time_step_min);
  config.time_step_max = reader.positive_number(ssm, "dt_max", config.time_step_max);
  config.time_step_floor = reader.positive_number(ssm, "dt_init_floor", config.time_step_floor);
  config.time_step_scale = reader.positive_number(ssm, "dt_scale", config.time_step_scale);
  const auto scheme = ssm.find("dt_init");
  if (scheme == ssm.end()) return;
  config.constant_time_step = *scheme == "constant";
  reader.refuse(*scheme != "constant" && *scheme != "random", "ssm_cfg.dt_init",
                "got " + scheme->dump());
}

/// Blocks beside the Mamba ones, which hybrid models of the package have.
void refuse_hybrids(ConfigReader& reader) {
  const auto* attention = reader.find("attn_layer_idx");
  reader.refuse(attention != nullptr && !(attention->is_array() && attention->empty()),
                "attn_layer_idx", "attention layers are not built");
  const auto* mlp = reader.find("d_intermediate");
  reader.refuse(mlp != nullptr && *mlp != 0, "d_intermediate", "MLP layers are not built");
}

/// Keys of the mamba_ssm package; its models are initialised as its authors train them.
MambaConfig read_original(ConfigReader& reader) {
  MambaConfig config;
  config.hidden = reader.positive("d_model");
  config.layers = reader.positive("n_layer", 0, kMaxLayers);
  config.vocab =
      round_up(reader.positive("vocab_size"), reader.positive("pad_vocab_size_multiple", 8));
  config.fp32_residual = reader.boolean("residual_in_fp32", true);
  config.tied = reader.boolean("tie_embeddings", true);
  config.rms_epsilon = reader.positive_number("norm_epsilon", config.rms_epsilon);
  config.init_range = 0.02;
  config.rescale_out_proj = true;
  reader.refuse(!reader.boolean("rms_norm", true), "rms_norm", "false is not built");
  refuse_hybrids(reader);
  const auto empty = json::object();
  const auto* section = reader.find("ssm_cfg");
  if (section != nullptr && !section->is_object()) {
    reader.problem("ssm_cfg", "got " + section->dump(), "an object");
    section = nullptr;
  }
  const auto& ssm = section != nullptr ? *section : empty;
  const auto integer = [&](const char* key, std::int64_t fallback) {
    return static_cast<std::int64_t>(
        reader.positive_number(ssm, key, static_cast<double>(fallback)));
  };
  config.inner = read_inner(reader, reader.positive_number(ssm, "expand", 2), config.hidden);
  config.state = integer("d_state", config.state);
  config.conv = integer("d_conv", config.conv);
  const auto rank = ssm.find("dt_rank");
  config.rank = read_rank(reader, rank == ssm.end() ? nullptr : &*rank, "ssm_cfg.dt_rank",
                          default_time_step_rank(config.hidden));
  const auto flag = [&](const char* key, bool fallback) {
    return ssm.contains(key) && ssm[key].is_boolean() ? ssm[key].get<bool>() : fallback;
  };
  config.conv_bias = flag("conv_bias", true);
  read_time_step(reader, ssm, config);
  reader.refuse(flag("bias", false), "ssm_cfg.bias", "true is not built");
  const auto layer = ssm.find("layer");
  reader.refuse(layer != ssm.end() && *layer != "Mamba1", "ssm_cfg.layer",
                layer == ssm.end() ? "" : layer->dump() + " is not built");
  return config;
}

}  // namespace

MambaConfig read_mamba_config(const std::string& folder) {
  const auto root = load_model_config(folder);
  ConfigReader reader(root, model_config_path(folder), "a plain Mamba-1 model");
  auto config = root.contains("d_model") && !root.contains("hidden_size")
                    ? read_original(reader)
                    : read_huggingface(reader);
  refuse_unsupported(reader, config);
  reader.finish();
  return config;
}

namespace {

/// transformers takes a whole number and computes intermediate_size from it.
json expand_of(const MambaConfig& config) {
  if (config.inner % config.hidden == 0) return config.inner / config.hidden;
  return static_cast<double>(config.inner) / static_cast<double>(config.hidden);
}

}  // namespace

std::string mamba_config_json(const MambaConfig& c) {
  const json root = {{"architectures", {"MambaForCausalLM"}},
                     {"model_type", "mamba"},
                     {"hidden_size", c.hidden},
                     {"num_hidden_layers", c.layers},
                     {"vocab_size", c.vocab},
                     {"intermediate_size", c.inner},
                     {"expand", expand_of(c)},
                     {"state_size", c.state},
                     {"conv_kernel", c.conv},
                     {"time_step_rank", c.rank},
                     {"time_step_min", c.time_step_min},
                     {"time_step_max", c.time_step_max},
                     {"time_step_floor", c.time_step_floor},
                     {"time_step_scale", c.time_step_scale},
                     {"time_step_init_scheme", c.constant_time_step ? "constant" : "random"},
                     {"layer_norm_epsilon", c.rms_epsilon},
                     {"hidden_act", "silu"},
                     {"initializer_range", c.init_range},
                     {"rescale_prenorm_residual", c.rescale_out_proj},
                     {"residual_in_fp32", c.fp32_residual},
                     {"tie_word_embeddings", c.tied},
                     {"use_bias", false},
                     {"use_conv_bias", c.conv_bias}};
  return root.dump(2) + "\n";
}

}  // namespace zt::model
