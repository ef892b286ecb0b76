#include <nlohmann/json.hpp>

#include "model/config_reader.h"
#include "model/qwen3.h"

namespace zt::model {
namespace {

using nlohmann::json;

/// RoPE of transformers 4 (rope_theta, rope_scaling) or 5 (rope_parameters).
double read_rope(ConfigReader& reader) {
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
    theta = reader.positive_number(*section, "rope_theta", theta);
  }
  constexpr double kHuggingFaceDefault = 1e4;
  return theta == 0 ? kHuggingFaceDefault : theta;
}

void refuse_unsupported(ConfigReader& reader) {
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
  const auto root = load_model_config(folder);
  ConfigReader reader(root, model_config_path(folder), "a plain Qwen3 dense model");
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

std::string qwen3_config_json(const Qwen3Config& c) {
  const json root = {{"architectures", {"Qwen3ForCausalLM"}},
                     {"model_type", "qwen3"},
                     {"hidden_size", c.hidden},
                     {"intermediate_size", c.ffn},
                     {"num_hidden_layers", c.layers},
                     {"num_attention_heads", c.heads},
                     {"num_key_value_heads", c.kv_heads},
                     {"head_dim", c.head_dim},
                     {"vocab_size", c.vocab},
                     {"max_position_embeddings", c.max_position},
                     {"rope_theta", c.rope_theta},
                     {"rms_norm_eps", c.rms_epsilon},
                     {"initializer_range", c.init_range},
                     {"hidden_act", "silu"},
                     {"attention_bias", false},
                     {"tie_word_embeddings", c.tied}};
  return root.dump(2) + "\n";
}

}  // namespace zt::model
