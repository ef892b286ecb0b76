#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

/// 4864 and 1.5 without trailing zeros.
std::string number_text(double value) {
  auto text = std::to_string(value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

/// The sizes as model::named_model reads them.
std::string name_of(const ModelShape& shape) {
  std::string name = "mamba:d_model=" + std::to_string(shape.d_model) +
                     ",n_layers=" + std::to_string(shape.n_layers) +
                     ",vocab_size=" + std::to_string(shape.vocab_size);
  if (shape.d_state > 0) name += ",d_state=" + std::to_string(shape.d_state);
  if (shape.d_conv > 0) name += ",d_conv=" + std::to_string(shape.d_conv);
  if (shape.expand > 0) name += ",expand=" + number_text(shape.expand);
  if (shape.max_seq_length > 0) name += ",max_seq_length=" + std::to_string(shape.max_seq_length);
  return name;
}

std::string place_of(const Context& context, const char* field) {
  const auto found = context.config.origins.find(field);
  return found == context.config.origins.end() ? "command line" : found->second.place;
}

}  // namespace

bool is_model_name(const std::string& model_name_or_path) {
  return model_name_or_path.rfind("mamba:", 0) == 0;
}

void resolve_shape(Context& context) {
  Config& config = context.config;
  const ModelShape& shape = config.shape;
  if (shape.model_type.empty() && shape.d_model == 0) return;
  if (shape.model_type != "mamba") {
    context.problems.add(place_of(context, "shape.model_type"),
                         "model_type: got '" + shown(shape.model_type) + "', expected mamba",
                         "Give a transformer's folder with --model_name_or_path");
    return;
  }
  if (!config.model.model_name_or_path.empty()) {
    context.notice("model: its sizes have no effect beside --model_name_or_path " +
                   shown(config.model.model_name_or_path) + " (" +
                   place_of(context, "shape.model_type") + ")");
    return;
  }
  const std::pair<const char*, std::int64_t> required[] = {
      {"d_model", shape.d_model}, {"n_layers", shape.n_layers}, {"vocab_size", shape.vocab_size}};
  for (const auto& [key, value] : required) {
    if (value > 0) continue;
    context.problems.add(place_of(context, "shape.model_type"),
                         std::string("model.") + key + " is missing beside model_type: mamba");
    return;
  }
  if (shape.dropout > 0) {
    context.notice("model.dropout " + number_text(shape.dropout) +
                   ": no effect: Mamba blocks have no dropout (" +
                   place_of(context, "shape.dropout") + ")");
  }
  config.model.model_name_or_path = name_of(shape);
  config.model.from_scratch = true;
}

}  // namespace zt::config
