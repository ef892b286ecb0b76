#pragma once

#include <string>

#include "config/config.h"
#include "config/ds_document.h"
#include "config/flags.h"
#include "config/problems.h"
#include "config/resolve.h"

namespace zt::config {

/// What the parts of `resolve` share. `document` is null without DeepSpeed JSON; `has_flags` is
/// false for `from_deepspeed`, where nobody fills `"auto"`.
struct Context {
  const FlagValues& flags;
  bool has_flags;
  const DsDocument* document;
  const Facts& facts;
  Config& config;
  Problems& problems;

  /// The document's entry at `path`, or null.
  [[nodiscard]] const DsEntry* entry(const std::string& path) const {
    return document == nullptr ? nullptr : document->find(path);
  }
  void set_origin(const std::string& field, const std::string& key, const std::string& place) {
    config.origins[field] = {key, place};
  }
  /// Records where a field's value came from in the document.
  void set_origin(const std::string& field, const DsEntry& entry) {
    set_origin(field, entry.written, document->place(entry));
  }
  /// Records the flag that a field's value came from.
  void set_origin_flag(const std::string& field, const std::string& flag) {
    set_origin(field, flags.written(flag), flags.place(flag));
  }
  void notice(const std::string& text) { config.notices.push_back(text); }
  /// Adds what is wrong with a flag: its name as written, `text`, its place.
  void refuse_flag(const std::string& flag, const std::string& text,
                   const std::string& remedy = "") {
    problems.add(flags.place(flag), flags.written(flag) + text, remedy);
  }
  /// Adds the contradiction of a flag and a key, with both places.
  void contradiction(const std::string& flag, const std::string& flag_text, const DsEntry& entry,
                     const std::string& entry_text);
};

/// Ranks that share a batch, where that is known already.
[[nodiscard]] std::optional<std::int64_t> world_size(const Context& context);

/// Applies one key that has a field: value, `"auto"`, contradiction with its flag.
void apply_ds_key(const DsKey& key, Context& context);

void apply_document(Context& context);     ///< keys with fields, ZeRO, offload
void resolve_optimizer(Context& context);  ///< optimizer section and flags
void resolve_schedule(Context& context);   ///< scheduler section and flags
void resolve_precision(Context& context);  ///< fp16, bf16, data types
void resolve_batch(Context& context);      ///< the batch triple
void resolve_run(Context& context);        ///< evaluation, logging, seeds, recompute, device
void resolve_checkpoint(
    Context& context);  ///< when to save, what stays, where to go on; after resolve_run
void resolve_task(Context& context);  ///< what `zt run` does beside training
void check_paths(Context& context);   ///< required flags and folders

}  // namespace zt::config
