#pragma once

#include <memory>
#include <vector>

#include "config/config.h"
#include "memory/nvme/nvme_store.h"
#include "memory/view.h"
#include "schedule/schedule.h"

namespace zt::zero {

/// The buffers of a program that lie on disk.
class Disk {
 public:
  /// Reserves room for all of them. Errors: FileError when a disk is full or cannot be written.
  Disk(const schedule::Program& program, const config::ZeroConfig& config, int rank);

  /// Elements from `begin` of a buffer into host memory, or from there. Blocks; any thread.
  /// `begin` is a multiple of `grain` elements, the end is one or the buffer's end.
  /// Errors: FileError.
  void read(schedule::BufferId id, std::int64_t begin, const View& to);
  void write(schedule::BufferId id, std::int64_t begin, const View& from);
  /// Elements at whose multiples pieces of any buffer begin.
  [[nodiscard]] std::int64_t grain() const { return config_.aio_block_size; }

  struct Transfer {
    schedule::BufferId id;
    View host;
  };
  /// All of several buffers at once.
  void read(const std::vector<Transfer>& transfers);
  void write(const std::vector<Transfer>& transfers);

 private:
  [[nodiscard]] memory::NvmeStore& store_of(schedule::BufferId id) const;
  [[nodiscard]] const memory::NvmeRange& range_of(schedule::BufferId id) const;

  const schedule::Program& program_;
  config::ZeroConfig config_;
  std::unique_ptr<memory::NvmeStore> states_, params_;
  std::vector<memory::NvmeRange> ranges_;  ///< by buffer
};

}  // namespace zt::zero
