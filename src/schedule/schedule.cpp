#include "schedule/schedule.h"

#include <fmt/format.h>

#include <array>

namespace zt::schedule {

bool is_collective(OpKind kind) {
  return kind == OpKind::gather || kind == OpKind::reduce || kind == OpKind::clip ||
         kind == OpKind::gather_grad || kind == OpKind::publish;
}

const char* to_string(BufferKind kind) {
  constexpr std::array<const char*, kNumBufferKinds> kNames{
      "param_full",   "param_shard",     "param_stage", "grad_full",  "grad_part", "grad_shard",
      "grad_reduced", "master_shard",    "exp_avg",     "exp_avg_sq", "param_out", "wire",
      "activation",   "grad_activation", "stash",       "scratch",    "scalars"};
  static_assert(kNames.back() != nullptr, "every kind has a name");
  return kNames.at(static_cast<std::size_t>(kind));
}

const char* to_string(OpKind kind) {
  constexpr std::array<const char*, kNumOpKinds> kNames{
      "fetch",      "gather",     "release",   "forward",  "recompute",   "backward",
      "fetch_grad", "reduce",     "norm",      "download", "clip",        "gather_grad",
      "step",       "store",      "upload",    "publish",  "load_states", "save_states",
      "load_param", "save_param", "stash_out", "stash_in"};
  static_assert(kNames.back() != nullptr, "every kind has a name");
  return kNames.at(static_cast<std::size_t>(kind));
}

const char* to_string(Stream stream) {
  constexpr std::array<const char*, kNumStreams> kNames{
      "compute", "comm", "host", "download", "upload", "disk_read", "disk_write"};
  static_assert(kNames.back() != nullptr, "every stream has a name");
  return kNames.at(static_cast<std::size_t>(stream));
}

const char* to_string(VariantKind kind) {
  constexpr std::array<const char*, kNumVariants> kNames{"first",    "middle",     "last",  "only",
                                                         "boundary", "evaluation", "settle"};
  static_assert(kNames.back() != nullptr, "every kind has a name");
  return kNames.at(static_cast<std::size_t>(kind));
}

bool follows(VariantKind before, VariantKind next) {
  using enum VariantKind;
  switch (next) {
    case first:
    case only:
      return before == boundary;
    case middle:
    case last:
      return before == first || before == middle;
    case boundary:
      return before == last || before == only;
    default:
      return false;
  }
}

bool runs_on(Stream stream) { return stream != Stream::compute && stream != Stream::comm; }

std::string to_string(const Operation& op) {
  std::string text = to_string(op.kind);
  if (op.unit >= 0) text += fmt::format(" u{}", op.unit);
  if (op.layer >= 0) text += fmt::format(" L{}", op.layer);
  if (op.bucket >= 0) text += fmt::format(" bucket {}", op.bucket);
  return text;
}

std::string print(const Program& program) {
  std::string text;
  const auto list = [&](const char* title, const std::vector<BufferId>& ids) {
    if (ids.empty()) return;
    text += fmt::format("  {}", title);
    for (const auto id : ids) {
      const auto& buffer = program.buffer(id);
      text += fmt::format(" {}[{}]{}", to_string(buffer.kind), buffer.index,
                          buffer.where == Place::host   ? "@host"
                          : buffer.where == Place::nvme ? "@disk"
                                                        : "");
    }
  };
  for (const auto& variant : program.variants) {
    if (variant.operations.empty()) continue;
    text += fmt::format("{} ({} operations)\n", to_string(variant.kind), variant.operations.size());
    for (std::size_t i = 0; i < variant.operations.size(); ++i) {
      const auto& op = variant.operations[i];
      text += fmt::format("{:5} {:8} {:24}", i, to_string(op.stream), to_string(op));
      if (!op.waits.empty()) text += fmt::format("  waits {}", fmt::join(op.waits, ","));
      for (const auto& wait : op.carried) {
        text += fmt::format("  after {} {}", to_string(wait.variant), wait.index);
      }
      list("reads", op.reads);
      list("writes", op.writes);
      list("starts", op.starts);
      list("ends", op.ends);
      text += '\n';
    }
  }
  text += fmt::format("arena: device {}, host {}\n", format_bytes(program.device_arena),
                      format_bytes(program.host_arena));
  if (program.on_disk.value > 0) text += fmt::format("disk: {}\n", format_bytes(program.on_disk));
  return text;
}

std::uint64_t collective_hash(const Program& program) {
  std::uint64_t hash = 1469598103934665603ULL;  // FNV-1a
  const auto add = [&hash](std::uint64_t value) {
    for (int i = 0; i < 8; ++i) {
      hash = (hash ^ ((value >> (8 * i)) & 0xFF)) * 1099511628211ULL;
    }
  };
  for (const auto& variant : program.variants) {
    for (const auto& op : variant.operations) {
      if (!is_collective(op.kind)) continue;
      add(static_cast<std::uint64_t>(variant.kind));
      add(static_cast<std::uint64_t>(op.kind));
      add(static_cast<std::uint64_t>(op.unit + 1));
      add(static_cast<std::uint64_t>(op.bucket + 1));
      add(static_cast<std::uint64_t>(op.numel.value));
      for (const auto id : op.writes)
        add(static_cast<std::uint64_t>(program.buffer(id).numel.value));
    }
  }
  return hash;
}

}  // namespace zt::schedule
