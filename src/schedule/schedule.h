#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/policy.h"
#include "base/units.h"

namespace zt::schedule {

/// Index into Program::buffers.
struct BufferId {
  int value = -1;
  [[nodiscard]] bool valid() const { return value >= 0; }
  friend constexpr auto operator<=>(BufferId, BufferId) = default;
};

/// What a buffer is, in the words of the design.
enum class BufferKind : std::uint8_t {
  param_full,
  param_shard,
  param_stage,
  grad_full,
  grad_part,
  grad_shard,
  grad_reduced,
  master_shard,
  exp_avg,
  exp_avg_sq,
  param_out,
  wire,
  activation,
  grad_activation,
  stash,
  scratch,
  scalars
};
inline constexpr int kNumBufferKinds = 17;

/// How long a buffer's memory is reserved.
enum class Lifetime : std::uint8_t {
  run,   ///< from before step 1 to the end
  step,  ///< across the micro-steps of a step
  micro  ///< inside one variant
};

/// A planned piece of memory. `offset` is assigned by `place` inside the arena of `place_kind`.
struct Buffer {
  BufferKind kind = BufferKind::scratch;
  int index = -1;  ///< unit or layer
  Numel numel;
  DType dtype = DType::f32;
  Place where = Place::device;
  Lifetime lifetime = Lifetime::micro;
  Bytes offset{-1};
  [[nodiscard]] Bytes bytes() const { return storage(numel, dtype); }
};

enum class OpKind : std::uint8_t {
  fetch,    ///< host param_shard -> device param_stage, or param_full where that is all of it
  gather,   ///< all-gather param_shard -> param_full
  release,  ///< buffers end, on the stream that used them last; no work
  forward,
  recompute,
  backward,
  fetch_grad,   ///< host grad_shard -> device, where the next reduction adds to it
  reduce,       ///< one bucket: grad_full of all ranks -> own slice of the reduced gradient
  norm,         ///< sum of squares of one unit's reduced gradient
  download,     ///< device gradient -> host grad_shard
  clip,         ///< partial sums of all ranks -> norm, clip factor
  gather_grad,  ///< reduced gradient shards -> whole gradient (states replicated)
  step,         ///< optimizer over one part of the unit's range
  store,        ///< device param_out -> host param_shard
  upload,       ///< host param_out -> device
  publish,      ///< all-gather of updated parameters that stay gathered
  load_states,  ///< optimizer states of one part, disk -> host
  save_states,  ///< and back
  load_param,   ///< param_shard, disk -> host
  save_param,   ///< host param_out -> param_shard on disk
  stash_out,    ///< a layer's input or stash, device -> host
  stash_in      ///< and back
};
inline constexpr int kNumOpKinds = 22;

/// In-order queues. compute and comm run on the device; host is a worker of the host; download and
/// upload copy between the two; disk_read and disk_write between the host and Place::nvme.
enum class Stream : std::uint8_t { compute, comm, host, download, upload, disk_read, disk_write };
inline constexpr int kNumStreams = 7;

/// Which part of a step a list of operations is. settle: publishes all parameters; it runs when
/// something else than the next step comes after a boundary (whose first micro-step publishes).
enum class VariantKind : std::uint8_t { first, middle, last, only, boundary, evaluation, settle };
inline constexpr int kNumVariants = 7;

/// True when `next` may begin while host, download and upload operations of `before` still run:
/// consecutive parts of steps. What it needs of them, its operations wait for (`carried`). Compute
/// and communication join between two lists, and nothing of the list before `before` runs any
/// more. All other pairs of lists do not overlap at all.
[[nodiscard]] bool follows(VariantKind before, VariantKind next);
/// True for streams whose operations may still run when the next list begins.
[[nodiscard]] bool runs_on(Stream stream);

/// An operation of the list that ran before: the list of variant `variant`, if that was it.
struct Carried {
  VariantKind variant;
  int index;
  friend constexpr auto operator<=>(const Carried&, const Carried&) = default;
};

/// One operation. `waits` are indices of earlier operations of the same variant, on other streams.
/// `carried`: operations of the variant before that may still run on streams that do not join
/// between two variants; see `follows`.
struct Operation {
  OpKind kind = OpKind::release;
  Stream stream = Stream::compute;
  int unit = -1;
  int layer = -1;
  int bucket = -1;
  bool overwrite = false;  ///< reduce: first of the step, do not add
  Numel numel;             ///< reduce: elements of the bucket, of all ranks together
  std::vector<BufferId> reads, writes, starts, ends;
  std::vector<int> waits;
  std::vector<Carried> carried;
};

/// True for operations in which all ranks take part together.
[[nodiscard]] bool is_collective(OpKind kind);

struct Variant {
  VariantKind kind = VariantKind::only;
  std::vector<Operation> operations;
};

/// A buffer, or the slice of it that belongs to the executing rank: elements
/// [rank x numel, (rank + 1) x numel). The program itself is the same on every rank.
struct Ref {
  BufferId buffer;
  Numel numel;
  bool own_slice = false;
};

/// A part of what a rank updates of a unit, and where its optimizer states are. `grad` and `param`
/// may be larger than the part; then it is elements [begin, begin + numel) of them.
struct StatePart {
  Place where = Place::device;
  Numel begin, numel;               ///< in the shard; in the whole unit where states are replicated
  Ref master, exp_avg, exp_avg_sq;  ///< where the optimizer works on them
  Ref disk_master, disk_exp_avg, disk_exp_avg_sq;  ///< Place::nvme: where they stay
  Ref grad;                                        ///< what the optimizer reads
  Ref param;  ///< what the optimizer writes: param_shard, param_full, param_out or the master
};

/// Where the things of one unit are. Refs may share a buffer (fp32 training needs no second
/// master; a replicated parameter's shard is its own slice). A gathered parameter that is released
/// again, and a gradient of one micro-step, are buffers of their variant and not listed here.
struct UnitBuffers {
  bool always_gathered = true;  ///< param_full lives as long as the run
  bool retained = false;        ///< param_full lives across the micro-steps of a step
  /// grad_shard: the reduced gradient on the device, where it stays until the boundary.
  /// host_grad: what of it goes to the host.
  Ref param_full, param_shard, grad_full, grad_shard, host_grad;
  std::vector<StatePart> parts;  ///< one or two; that on the device first
};

/// Buffers that belong to a layer in one operation are found through the operation's lists by kind.
struct Program {
  std::vector<Buffer> buffers;
  std::vector<UnitBuffers> units;
  std::vector<Variant> variants;  ///< indexed by VariantKind; unused ones are empty
  /// Device, fp64 [world x units | world | 5 | 12 | world]: partials, losses, scalars of the step,
  /// what launches of the step read, votes of the ranks.
  BufferId scalars;
  BufferId host_scalars;  ///< the same on the host, when the optimizer runs there
  Bytes device_arena, host_arena;
  Bytes on_disk;  ///< of buffers at Place::nvme, which have no offsets

  [[nodiscard]] const Variant& variant(VariantKind kind) const {
    return variants.at(static_cast<std::size_t>(kind));
  }
  [[nodiscard]] const Buffer& buffer(BufferId id) const {
    return buffers.at(static_cast<std::size_t>(id.value));
  }
};

const char* to_string(BufferKind kind);
const char* to_string(OpKind kind);
const char* to_string(Stream stream);
const char* to_string(VariantKind kind);

/// `gather u3`, `forward L2`, `reduce u7 bucket 1`.
std::string to_string(const Operation& op);

/// The program as text, one line per operation, for `zt plan --schedule` and the documentation.
std::string print(const Program& program);

/// Hash of the sequence of collectives of all variants. Ranks compare it before step 1.
std::uint64_t collective_hash(const Program& program);

}  // namespace zt::schedule
