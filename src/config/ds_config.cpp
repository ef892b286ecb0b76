#include "config/fields.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

std::optional<std::int64_t> hidden_size_rule(const std::string& path, std::int64_t h) {
  if (path == "zero_optimization.reduce_bucket_size") return h * h;
  if (path == "zero_optimization.stage3_prefetch_bucket_size") return h * h * 9 / 10;
  if (path == "zero_optimization.stage3_param_persistence_threshold") return 10 * h;
  return std::nullopt;
}

/// The keys that the Trainer fills from flags although they have no flag of their own name.
bool is_filled_elsewhere(const std::string& path) {
  return path == "scheduler.params.warmup_min_lr" || path == "scheduler.params.total_num_steps" ||
         path == "scheduler.params.warmup_num_steps" || path == "scheduler.params.warmup_max_lr";
}

bool is_strict(const std::string& path) {
  const DsSection* section = find_ds_section(path.substr(0, path.rfind('.')));
  return path.find('.') != std::string::npos && section != nullptr && section->strict;
}

/// Fills `"auto"`: from the model's hidden size, from the flag, or with the default.
void resolve_auto(const DsKey& key, const DsEntry& entry, Context& context) {
  const bool stage3_only = key.path.find(".stage3_") != std::string::npos;
  if (hidden_size_rule(key.path, 1) && (!stage3_only || context.config.zero.stage == 3)) {
    if (!context.facts.hidden_size) {
      context.config.unresolved.push_back(key.field + " (needs hidden_size)");
      return;
    }
    const std::int64_t value = *hidden_size_rule(key.path, *context.facts.hidden_size);
    const std::string error = set_field(context.config, field_at(key.field), std::to_string(value));
    if (!error.empty()) {
      context.problems.add(
          context.document->place(entry),
          entry.written + ": auto gives " + std::to_string(value) + ", expected " + error);
    }
    context.set_origin(key.field, entry.written + " auto from hidden_size",
                       context.document->place(entry));
    return;
  }
  if (is_strict(key.path) && key.flag.empty()) {
    context.notice(entry.written + ": \"auto\" means the default " +
                   field_at(key.field).get(Config{}) + " (" + context.document->place(entry) + ")");
    return;
  }
  if (!context.has_flags || (key.flag.empty() && !is_filled_elsewhere(key.path))) {
    context.problems.add(context.document->place(entry),
                         entry.written + ": \"auto\" is not filled by anything here",
                         "Give a value");
    return;
  }
  const std::string source = key.flag.empty() ? "the run" : context.flags.written(key.flag);
  context.set_origin(key.field, entry.written + " auto from " + source,
                     context.document->place(entry));
}

/// Reports a flag that says something else than the key; false then.
bool agrees_with_flag(const DsKey& key, const DsEntry& entry, Context& context) {
  const std::string* flag = key.flag.empty() ? nullptr : context.flags.find(key.flag);
  if (flag == nullptr) return true;
  // A run that --max_steps does not limit takes any schedule length.
  if (key.flag == "max_steps" && parse_integer(*flag).value_or(0) <= 0) return true;
  const Field& field = field_at(key.field);
  Config theirs = context.config;
  Config ours = context.config;
  if (set_field(theirs, field, entry.value->text).empty() &&
      (!set_field(ours, field, *flag).empty() || field.get(theirs) != field.get(ours))) {
    context.contradiction(key.flag, *flag, entry, field.get(theirs));
    return false;
  }
  return true;
}

void apply_legacy_zero(Context& context) {
  const DsEntry* entry = context.entry("zero_optimization");
  if (entry == nullptr || entry->value->is(Value::Kind::object)) return;
  context.config.zero.stage = parse_bool(entry->value->text).value_or(false) ? 1 : 0;
  context.set_origin("zero.stage", *entry);
  context.notice("zero_optimization: a boolean is the old form of stage " +
                 std::to_string(context.config.zero.stage) + " (" +
                 context.document->place(*entry) + ")");
}

bool has_text(const DsEntry* entry) { return entry != nullptr && !entry->value->text.empty(); }

/// Reads one offload section: where it puts things.
Place offload_place(Context& context, const std::string& section, int lowest_stage) {
  const DsEntry* device = context.entry(section + ".device");
  if (device == nullptr) return Place::device;
  if (device->value->is_auto()) {
    context.config.zero.offload_auto = true;
    context.notice(device->written + ": \"auto\" is chosen by the plan: none where all fits (" +
                   context.document->place(*device) + ")");
    return Place::device;
  }
  const std::string text = device->value->text;
  const std::string place = context.document->place(*device);
  const std::string got = device->written + ": got " + describe_value(*device->value);
  if (text == "none") return Place::device;
  if (text != "cpu" && text != "nvme") {
    context.problems.add(place, got + ", expected one of none, cpu, nvme");
  } else if (context.config.zero.stage < lowest_stage) {
    context.problems.add(
        place, got + ", which needs zero_optimization.stage >= " + std::to_string(lowest_stage) +
                   ", the stage is " + std::to_string(context.config.zero.stage));
  } else if (text == "nvme" && !has_text(context.entry(section + ".nvme_path"))) {
    context.problems.add(place, got + ", which needs " + section + ".nvme_path");
  } else {
    return text == "nvme" ? Place::nvme : Place::host;
  }
  return Place::device;
}

/// `cpu_offload: true`, the old form of an offload section; true when it asks for host memory.
bool legacy_offload(Context& context, const std::string& name, const std::string& section,
                    int lowest_stage) {
  const DsEntry* entry = context.entry("zero_optimization." + name);
  if (entry == nullptr) return false;
  const std::string place = context.document->place(*entry);
  context.notice(entry->written + ": deprecated, use " + section + ".device (" + place + ")");
  if (!parse_bool(entry->value->text).value_or(false)) return false;
  if (context.entry(section) != nullptr) {
    context.problems.add(place, entry->written + " and " + section + " are given",
                         "Keep " + section);
  } else if (context.config.zero.stage < lowest_stage) {
    context.problems.add(place, entry->written + " needs zero_optimization.stage >= " +
                                    std::to_string(lowest_stage) + ", the stage is " +
                                    std::to_string(context.config.zero.stage));
  } else {
    context.set_origin(
        section.find("param") != std::string::npos ? "zero.param_place" : "zero.optimizer_place",
        *entry);
    return true;
  }
  return false;
}

void apply_offload(Context& context) {
  const std::string optimizer = "zero_optimization.offload_optimizer";
  const std::string param = "zero_optimization.offload_param";
  bool pinned_everywhere = true;
  const auto put = [&](const std::string& section, Place place, bool old_key, Place& target,
                       const char* field) {
    if (old_key && place == Place::device) place = Place::host;
    if (place == Place::device) return;
    target = place;
    if (const DsEntry* device = context.entry(section + ".device"))
      context.set_origin(field, *device);
    const DsEntry* pinned = context.entry(section + ".pin_memory");
    if (pinned == nullptr || pinned->value->is_auto()) return;
    pinned_everywhere = pinned_everywhere && parse_bool(pinned->value->text).value_or(true);
    context.set_origin("zero.pin_memory", *pinned);
  };
  ZeroConfig& zero = context.config.zero;
  const bool old_optimizer = legacy_offload(context, "cpu_offload", optimizer, 1);
  const bool old_param = legacy_offload(context, "cpu_offload_param", param, 3) ||
                         legacy_offload(context, "cpu_offload_params", param, 3);
  put(optimizer, offload_place(context, optimizer, 1), old_optimizer, zero.optimizer_place,
      "zero.optimizer_place");
  put(param, offload_place(context, param, 3), old_param, zero.param_place, "zero.param_place");
  zero.pin_memory = pinned_everywhere;
}

/// Keys of stage 3 that a lower stage does not read.
void notice_stage3_keys(Context& context) {
  if (context.config.zero.stage == 3) return;
  for (const DsKey& key : ds_keys()) {
    const DsEntry* entry = context.entry(key.path);
    if (entry == nullptr || key.use != KeyUse::effect || entry->value->is_auto()) continue;
    if (key.path.find(".stage3_") == std::string::npos) continue;
    context.notice(entry->written + ": no effect with stage " +
                   std::to_string(context.config.zero.stage) + " (" +
                   context.document->place(*entry) + ")");
  }
}

void check_cross_fields(Context& context) {
  const DsDocument& document = *context.document;
  const int stage = context.config.zero.stage;
  const auto refuse = [&](const char* path, const std::string& why) {
    const DsEntry* entry = document.find(path);
    context.problems.add(document.place(*entry),
                         entry->written + ": got " + describe_value(*entry->value) + ", " + why);
  };
  const bool scatters = document.boolean("zero_optimization.reduce_scatter", true);
  if (stage >= 2 && scatters && document.boolean("prescale_gradients", false)) {
    refuse("prescale_gradients", "expected false with stage " + std::to_string(stage));
  }
  const DsEntry* predivide = document.find("gradient_predivide_factor");
  if (stage >= 2 && scatters && predivide != nullptr && parse_real(predivide->value->text) != 1.0) {
    refuse("gradient_predivide_factor", "expected 1 with stage " + std::to_string(stage));
  }
  const char* gather = "zero_optimization.allgather_bucket_size";
  if ((stage == 1 || stage == 2) && document.find(gather) != nullptr &&
      context.config.zero.allgather_bucket_size % 2 != 0) {
    refuse(gather, "expected an even number with stage " + std::to_string(stage));
  }
  const char* pipelined = "zero_optimization.pipeline_loading_checkpoint";
  if (stage != 3 && document.boolean(pipelined, false)) refuse(pipelined, "which needs stage 3");
  const DsEntry* tag = document.find("checkpoint.tag_validation");
  if (tag != nullptr && !is_listed(tag->value->text, "ignore|warn|fail")) {
    refuse("checkpoint.tag_validation", "expected one of Ignore, Warn, Fail");
  }
  const DsEntry* tensor_parallel = document.find("tensor_parallel.tp");
  const Value* tp_size =
      tensor_parallel == nullptr ? nullptr : tensor_parallel->value->find("tp_size");
  if (tp_size != nullptr && parse_real(tp_size->text).value_or(1) > 1) {
    context.problems.add(document.place(*tensor_parallel),
                         tensor_parallel->written + ".tp_size: got " + shown(tp_size->text) +
                             ", which is not built yet: only data parallelism is built");
  }
}

void notice_drifting_defaults(Context& context) {
  const Config& config = context.config;
  context.notice(
      "defaults that differ between DeepSpeed releases, as used here: gradient_clipping " +
      format_real(config.optimizer.max_grad_norm) + ", bf16.check_grad_overflow " +
      (config.precision.check_grad_overflow ? "true" : "false") + ", pin_memory " +
      (config.zero.pin_memory ? "true" : "false") +
      ", gradient_allreduce_op mean, managed_gradient_accumulation true");
}

}  // namespace

void Context::contradiction(const std::string& flag, const std::string& flag_text,
                            const DsEntry& entry, const std::string& entry_text) {
  problems.add(flags.place(flag) + "; " + document->place(entry),
               flags.written(flag) + " " + shown(flag_text) + " contradicts " + entry.written +
                   " " + shown(entry_text),
               "Make them equal or write \"auto\" in the file");
}

void apply_ds_key(const DsKey& key, Context& context) {
  const DsEntry* entry = context.entry(key.path);
  if (entry == nullptr || key.field.empty()) return;
  if (entry->value->is_auto()) {
    resolve_auto(key, *entry, context);
    return;
  }
  const Field& field = field_at(key.field);
  Config changed = context.config;
  const std::string expected = set_field(changed, field, entry->value->text);
  if (!expected.empty()) {
    context.problems.add(
        context.document->place(*entry),
        entry->written + ": got " + describe_value(*entry->value) + ", expected " + expected);
    return;
  }
  if (!agrees_with_flag(key, *entry, context)) return;
  context.config = std::move(changed);
  context.set_origin(key.field, *entry);
}

void apply_document(Context& context) {
  if (context.document == nullptr) return;
  apply_legacy_zero(context);
  apply_ds_key(*find_ds_key("zero_optimization.stage"), context);  // others depend on it
  for (const DsKey& key : ds_keys()) {
    if (key.path.rfind("scheduler.", 0) != 0 && key.path != "zero_optimization.stage") {
      apply_ds_key(key, context);
    }
  }
  apply_offload(context);
  notice_stage3_keys(context);
  check_cross_fields(context);
  notice_drifting_defaults(context);
}

}  // namespace zt::config
