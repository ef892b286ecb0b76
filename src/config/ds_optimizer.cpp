#include "config/fields.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

/// A parameter of DeepSpeed's Adam and what it is when the file does not say.
struct AdamParameter {
  const char* key;
  const char* field;
  const char* flag;
  double deepspeed_default;
};

constexpr AdamParameter kParameters[] = {
    {"optimizer.params.lr", "optimizer.learning_rate", "learning_rate", 1e-3},
    {"optimizer.params.betas", "optimizer.beta1", "adam_beta1", 0.9},
    {"optimizer.params.betas", "optimizer.beta2", "adam_beta2", 0.999},
    {"optimizer.params.eps", "optimizer.epsilon", "adam_epsilon", 1e-8},
    {"optimizer.params.weight_decay", "optimizer.weight_decay", "weight_decay", 0.0}};

/// Fills the parameters that the file leaves out: an explicit flag, else DeepSpeed's default.
void fill_missing(Context& context) {
  for (const AdamParameter& parameter : kParameters) {
    if (context.entry(parameter.key) != nullptr) continue;
    if (context.flags.find(parameter.flag) != nullptr) {
      context.notice(context.flags.written(parameter.flag) + " fills " + parameter.key +
                     ", which the file leaves out (" + context.document->name() + ")");
      continue;
    }
    const std::string text = format_real(parameter.deepspeed_default);
    if (field_at(parameter.field).get(context.config) != text && context.has_flags) {
      context.notice(std::string(parameter.key) + ": DeepSpeed's default " + text +
                     " is used, as there is neither the key nor --" + parameter.flag + " (" +
                     context.document->name() + ")");
    }
    ZT_ASSERT(set_field(context.config, field_at(parameter.field), text).empty(), text);
    context.set_origin(parameter.field, parameter.key, "default of DeepSpeed");
  }
}

void read_betas(Context& context) {
  const DsEntry* betas = context.entry("optimizer.params.betas");
  if (betas == nullptr) return;
  const std::string place = context.document->place(*betas);
  if (betas->value->is_auto()) {
    if (context.has_flags) {
      context.set_origin("optimizer.beta1",
                         betas->written + " auto from " + context.flags.written("adam_beta1"),
                         place);
      context.set_origin("optimizer.beta2",
                         betas->written + " auto from " + context.flags.written("adam_beta2"),
                         place);
    } else {
      context.problems.add(place, betas->written + ": \"auto\" is not filled by anything here",
                           "Give a value");
    }
    return;
  }
  if (betas->value->items.size() != 2) {
    context.problems.add(place, betas->written + ": got a list of " +
                                    std::to_string(betas->value->items.size()) +
                                    ", expected two numbers");
    return;
  }
  const char* fields[] = {"optimizer.beta1", "optimizer.beta2"};
  const char* flags[] = {"adam_beta1", "adam_beta2"};
  for (std::size_t i = 0; i < 2; ++i) {
    const Field& field = field_at(fields[i]);
    const Value& value = betas->value->items[i];
    const std::string before = field.get(context.config);
    Config changed = context.config;
    const std::string expected = set_field(changed, field, value.text);
    const std::string* flag = context.flags.find(flags[i]);
    if (!expected.empty()) {
      context.problems.add(
          place, betas->written + ": got " + describe_value(value) + ", expected " + expected);
    } else if (flag != nullptr && before != field.get(changed)) {
      context.contradiction(flags[i], *flag, *betas, field.get(changed));
    } else {
      context.config = std::move(changed);
      context.set_origin(fields[i], *betas);
    }
  }
}

void read_type(Context& context) {
  const DsEntry* type = context.entry("optimizer.type");
  if (type == nullptr) {
    const DsEntry* section = context.entry("optimizer");
    context.problems.add(context.document->place(*section),
                         section->written + ".type is missing, expected Adam or AdamW");
    return;
  }
  const std::string name = lower_case(type->value->text);
  if (name != "adam" && name != "adamw") {
    context.problems.add(context.document->place(*type),
                         type->written + ": " + describe_value(*type->value) +
                             " is not built yet, expected Adam or AdamW");
  }
  const bool decoupled = context.document->boolean("optimizer.params.adam_w_mode", true);
  context.config.optimizer.l2_adam = name == "adam" && !decoupled;
  if (name == "adamw" && !decoupled) {
    const DsEntry& mode = *context.entry("optimizer.params.adam_w_mode");
    context.notice(mode.written + ": no effect with type AdamW, whose decay is decoupled (" +
                   context.document->place(mode) + ")");
  }
  context.set_origin("optimizer.l2_adam", *type);
}

}  // namespace

void resolve_optimizer(Context& context) {
  const DsEntry* section = context.entry("optimizer");
  if (section == nullptr) {
    if (context.document != nullptr && !context.has_flags) {
      context.notice("optimizer: the section is missing, AdamW with learning rate " +
                     format_real(context.config.optimizer.learning_rate) + " is used (" +
                     context.document->name() + ")");
    }
    return;
  }
  read_type(context);
  read_betas(context);
  fill_missing(context);
  context.config.optimizer.decay_all = true;  // one parameter group, as DeepSpeed is given one
  context.set_origin("optimizer.decay_all", *section);
  if (context.flags.find("optim") != nullptr) {
    context.notice(context.flags.written("optim") + ": no effect, optimizer.type decides (" +
                   context.document->place(*section) + ")");
  }
}

}  // namespace zt::config
