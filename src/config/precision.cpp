#include "config/fields.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

/// Who switched a 16-bit mode on or off.
struct Mode {
  bool on = false;
  std::string key, place;
};

Mode resolve_mode(Context& context, const std::string& name) {
  Mode mode;
  const std::string* flag = context.flags.find(name);
  const bool flag_on = context.flags.boolean(name, false);
  const DsEntry* entry = context.entry(name + ".enabled");
  if (entry == nullptr || (entry->value->is_auto() && context.has_flags)) {
    mode = {flag_on, context.flags.written(name),
            flag != nullptr ? context.flags.place(name) : "default"};
  } else if (entry->value->is_auto()) {
    context.notice(entry->written + ": \"auto\" means the default false (" +
                   context.document->place(*entry) + ")");
  } else {
    const bool on = parse_bool(entry->value->text).value_or(false);
    mode = {on, entry->written, context.document->place(*entry)};
    if (flag != nullptr && parse_bool(*flag) && flag_on != on) {
      context.contradiction(name, *flag, *entry, on ? "true" : "false");
    }
  }
  return mode;
}

/// Evaluation runs in the training precision; the flag may say so, but not ask for another one.
void check_full_eval(Context& context, const std::string& name, bool trains_so) {
  if (trains_so || !context.flags.boolean(name + "_full_eval", false)) return;
  context.refuse_flag(name + "_full_eval", " True without " + name + " training is not built yet",
                      "Use --" + name + " True");
}

void check_param_dtype(Context& context) {
  const DsEntry* entry = context.entry("data_types.param_dtype");
  if (entry == nullptr) return;
  const std::string mode = to_string(context.config.precision.compute);
  if (entry->value->text != mode) {
    context.problems.add(context.document->place(*entry),
                         entry->written + ": got " + describe_value(*entry->value) + ", expected " +
                             mode + ", which the precision sections and flags choose");
  }
}

}  // namespace

void resolve_precision(Context& context) {
  PrecisionConfig& precision = context.config.precision;
  const Mode fp16 = resolve_mode(context, "fp16");
  const Mode bf16 = resolve_mode(context, "bf16");
  if (fp16.on && bf16.on) {
    context.problems.add(fp16.place + "; " + bf16.place,
                         fp16.key + " and " + bf16.key + " are both on", "Keep one");
  }
  if (fp16.on && context.document != nullptr && context.document->is_auto("bf16.enabled")) {
    const DsEntry& entry = *context.entry("bf16.enabled");
    context.notice(entry.written + ": auto is off, as " + fp16.key + " is on (" +
                   context.document->place(entry) + ")");
  }
  check_full_eval(context, "bf16", bf16.on);
  check_full_eval(context, "fp16", fp16.on);
  precision.compute = bf16.on ? DType::bf16 : fp16.on ? DType::f16 : DType::f32;
  const Mode& chosen = fp16.on ? fp16 : bf16;
  if (chosen.place != "default") context.set_origin("precision.compute", chosen.key, chosen.place);
  check_param_dtype(context);
}

}  // namespace zt::config
