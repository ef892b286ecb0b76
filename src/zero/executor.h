#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/device_words.h"
#include "memory/queues.h"
#include "schedule/schedule.h"
#include "zero/binding.h"

namespace zt::zero {

/// Names of the numbers that operations have in reports: `backward L7 (middle, 41 of 120)`.
/// Those of disks with the folder: `load_states u3 (boundary, 5 of 40; disk of /local/nvme)`.
comm::OperationNames name_operations(const schedule::Program& program,
                                     const config::ZeroConfig& zero);

/// Runs the variants of a program on the queues of a rank.
class Executor {
 public:
  /// Binds every operation once; views are computed here and not again.
  Executor(const Machine& machine, StepState& state);

  /// Issues all operations of a variant. On the CPU they are done when the last queue is idle. Host
  /// and copies of the variant before go on beside it where it `follows` that one.
  void run(schedule::VariantKind kind);
  /// The same in two parts: up to and including the loss layer's backward, and the rest.
  void run_until_loss(schedule::VariantKind kind);
  void run_after_loss(schedule::VariantKind kind);

  /// True when the variant has device work only, all of which may be captured.
  [[nodiscard]] bool can_capture(schedule::VariantKind kind) const;
  [[nodiscard]] bool captured(schedule::VariantKind kind) const;
  /// Captures the variant; nothing runs. Errors: DeviceError.
  void capture(schedule::VariantKind kind);
  /// Launches the captured variant.
  void replay(schedule::VariantKind kind);
  void drop_graphs();

  /// Whether operations are measured from now on; graphs are dropped.
  void measure(bool on);
  [[nodiscard]] bool measures() const { return measures_; }
  /// Times of the operations of the variant that ran last; see Queues::times.
  std::vector<memory::OperationTime> times() { return queues_->times(); }

  /// Blocks the host until everything issued is done. Errors: the first failure of any queue.
  void synchronize() { queues_->synchronize(); }
  /// The same for compute and communication, or for the work of the host.
  void synchronize_device() { queues_->synchronize_device(); }
  void synchronize_host() { queues_->synchronize_host(); }
  [[nodiscard]] memory::Queues& queues() { return *queues_; }
  /// Thread-safe: `backward L7 (middle, 41 of 120)`.
  [[nodiscard]] std::string position() const;

 private:
  void stand_at(schedule::VariantKind kind, std::size_t index);
  /// Tells the position when a collective begins and ends: the host, and the device's stream.
  [[nodiscard]] memory::Queues::Work tell(memory::Queues::Work work, int code) const;
  /// The same for the host's optimizer and disks.
  [[nodiscard]] memory::Queues::Work tell_host(memory::Queues::Work work, schedule::Stream stream,
                                               int code) const;
  void mark_device();
  struct Bound {
    std::vector<memory::Queues::Work> work;
    std::vector<char> waited_on;
    /// By variant before: per operation, those of it to wait for. Empty where none follows.
    std::array<std::vector<std::vector<int>>, schedule::kNumVariants> carried;
    std::size_t loss_end = 0;
    bool capturable = false;
    std::unique_ptr<memory::Graph> graph;  ///< null: not captured
  };
  void begin(schedule::VariantKind kind);
  void issue(schedule::VariantKind kind, std::size_t begin, std::size_t end);
  void bind_waits(const schedule::Variant& variant);
  [[nodiscard]] const Bound& bound(schedule::VariantKind kind) const;

  const schedule::Program& program_;
  std::array<Bound, schedule::kNumVariants> bound_;
  std::optional<schedule::VariantKind> before_;        ///< issued last, operation by operation
  bool overlaps_ = false;                              ///< the current list and that of `before_`
  std::atomic<int> position_{-1};                      ///< variant x 2^20 + operation
  comm::PositionWriter* writer_;                       ///< may be null
  std::unique_ptr<memory::DeviceWords> device_words_;  ///< CUDA with a writer
  std::uint32_t device_marks_ = 0;
  bool measures_ = false;
  std::unique_ptr<memory::Queues> queues_;  // last: stops before what its threads use goes
};

}  // namespace zt::zero
