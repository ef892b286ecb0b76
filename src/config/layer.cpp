#include "config/layer.h"

#include "config/text_values.h"

namespace zt::config {
namespace {

/// Flags that speak about one thing: who says one of them silences the others of a lower layer.
constexpr std::pair<const char*, const char*> kRivals[] = {
    {"fp16", "bf16"},
    {"recompute", "gradient_checkpointing"},
    {"warmup_steps", "warmup_ratio"},
    {"deterministic", "full_determinism"},
    {"train_sampling_strategy", "group_by_length"},
    {"resume_from_checkpoint", "init_from"}};

void silence(Layer& base, const Layer& over, const char* said, const char* silenced) {
  const std::string* text = over.flags.find(said);
  if (text == nullptr || over.flags.find(silenced) != nullptr) return;
  const bool is_off = parse_bool(*text).has_value() && !*parse_bool(*text);
  if (!is_off || std::string(said) == "gradient_checkpointing") base.flags.erase(silenced);
}

std::string escaped(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      result += c;
    }
  }
  return result + "\"";
}

}  // namespace

void put_over(Layer& base, const Layer& over) {
  for (const auto& [a, b] : kRivals) {
    silence(base, over, a, b);
    silence(base, over, b, a);
  }
  for (const auto& [name, value] : over.flags.all()) base.flags.set(name, value);
  for (const auto& [field, value] : over.fields) base.fields[field] = value;
  if (over.deepspeed) {
    base.deepspeed = over.deepspeed;
    base.name = over.name;
    if (over.flags.find("deepspeed") == nullptr) base.flags.erase("deepspeed");
  } else if (over.flags.find("deepspeed") != nullptr) {
    base.deepspeed.reset();
  }
}

FileKind kind_of(const Value& root) {
  for (const char* key : {"compute_environment", "distributed_type", "fsdp_config",
                          "deepspeed_config", "main_training_function", "mixed_precision"}) {
    const Value* value = root.find(key);
    if (value == nullptr) continue;
    const bool is_path =
        std::string(key) == "deepspeed_config" || std::string(key) == "fsdp_config";
    if (!is_path || value->is(Value::Kind::object)) return FileKind::accelerate;
  }
  for (const char* key : {"zero_optimization", "train_micro_batch_size_per_gpu", "optimizer",
                          "scheduler", "activation_checkpointing", "gradient_clipping"}) {
    if (root.find(key) != nullptr) return FileKind::deepspeed;
  }
  for (const char* key : {"fp16", "bf16", "bfloat16"}) {
    const Value* value = root.find(key);
    if (value != nullptr && value->is(Value::Kind::object)) return FileKind::deepspeed;
  }
  const Value* batch = root.find("train_batch_size");
  const bool is_flat = root.find("training") == nullptr && root.find("model") == nullptr;
  return batch != nullptr && is_flat && root.find("output_dir") == nullptr ? FileKind::deepspeed
                                                                           : FileKind::task;
}

std::string to_json(const Value& value) {
  std::string text;
  switch (value.kind) {
    case Value::Kind::null:
      return "null";
    case Value::Kind::boolean:
      return parse_bool(value.text).value_or(false) ? "true" : "false";
    case Value::Kind::number:
      return value.text;
    case Value::Kind::text:
      return escaped(value.text);
    case Value::Kind::array:
      for (const Value& item : value.items) text += (text.empty() ? "" : ", ") + to_json(item);
      return "[" + text + "]";
    case Value::Kind::object:
      for (const Member& member : value.members) {
        text += (text.empty() ? "" : ", ") + escaped(member.key) + ": " + to_json(member.value);
      }
      return "{" + text + "}";
  }
  return text;
}

}  // namespace zt::config
