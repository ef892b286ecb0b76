#pragma once

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config/config.h"
#include "memory/nvme/nvme_store.h"
#include "memory/view.h"
#include "schedule/schedule.h"

namespace zt::zero {

/// DeepSpeed's `aio` section of a configuration.
[[nodiscard]] memory::AioOptions aio_options(const config::ZeroConfig& config);

/// The buffers of a program that lie on disk. A snapshot keeps the contents of a moment without
/// copying them: what is written afterwards goes to a second range.
class Disk {
 public:
  /// Of `ranks` on this machine that use the same paths.
  struct Owner {
    int rank = 0;
    int ranks = 1;
  };

  /// Reserves room for all of them. `on_progress`: see memory::NvmeOptions; may be empty.
  /// Errors: FileError when a disk cannot be written or is too small, with what all of them need.
  Disk(const schedule::Program& program, const config::ZeroConfig& config, Owner owner,
       const std::function<void()>& on_progress = {});

  /// Elements from `begin` of a buffer into host memory, or from there. Blocks; any thread.
  /// `begin` is a multiple of `grain` elements, the end is one or the buffer's end.
  /// Errors: FileError.
  void read(schedule::BufferId id, std::int64_t begin, const View& to);
  void write(schedule::BufferId id, std::int64_t begin, const View& from);
  /// Elements at whose multiples pieces of any buffer begin.
  [[nodiscard]] std::int64_t grain() const { return config_.aio_block_size; }

  /// How the first of its disks is used.
  [[nodiscard]] memory::NvmeStats stats() const;

  /// Reserves a second range of every buffer; needed before `freeze`. Errors: as the constructor.
  void reserve_versions();
  /// Until `thaw` or the next `freeze`, `read_frozen` gives what the buffers hold now. Nothing is
  /// under way, and nobody reads what was frozen before.
  void freeze();
  void thaw();                                                                  ///< any thread
  void read_frozen(schedule::BufferId id, std::int64_t begin, const View& to);  ///< any thread

  struct Transfer {
    schedule::BufferId id;
    View host;
  };
  /// All of several buffers at once.
  void read(const std::vector<Transfer>& transfers);
  void write(const std::vector<Transfer>& transfers);

 private:
  [[nodiscard]] memory::NvmeStore& store_of(schedule::BufferId id) const;
  /// The range that holds a buffer, and the one that a write goes to, which then holds it.
  [[nodiscard]] memory::NvmeRange current(schedule::BufferId id);
  [[nodiscard]] memory::NvmeRange to_write(schedule::BufferId id);
  [[nodiscard]] std::string name_of(std::size_t buffer) const;
  [[nodiscard]] const std::string& path_of(const schedule::Buffer& buffer) const;
  /// What all buffers under a path take there, for messages.
  [[nodiscard]] std::string needs(const std::string& path) const;
  [[nodiscard]] memory::NvmeRange reserve(std::size_t buffer, const std::string& suffix) const;
  void read_range(schedule::BufferId id, const memory::NvmeRange& range, std::int64_t begin,
                  const View& to);

  const schedule::Program& program_;
  config::ZeroConfig config_;
  Owner owner_;
  std::unique_ptr<memory::NvmeStore> states_, params_;
  struct Versions {
    std::array<memory::NvmeRange, 2> ranges;
    int current = 0;
    int frozen = -1;  ///< -1: neither
  };
  std::mutex mutex_;                ///< guards versions_
  std::vector<Versions> versions_;  ///< by buffer
  bool two_versions_ = false;
};

}  // namespace zt::zero
