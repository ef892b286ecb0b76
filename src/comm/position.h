#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace zt::comm {

/// What a rank does outside of its schedule, or `schedule` inside of it.
enum class Activity : std::uint8_t {
  starting,
  preparing_data,  ///< tokenising, or waiting for the rank that does
  building,        ///< plan, engine, weights
  reading_data,
  exchanging_counts,
  schedule,
  logging,  ///< what follows a step: console, metrics, checks
  evaluating,
  saving,
  finishing
};
const char* to_string(Activity activity);

/// Where one rank stands. All ranks begin the same activities and operations in the same order, so
/// `count` compares ranks: the one with the smallest is behind.
struct Position {
  std::uint64_t count = 0;  ///< activities and operations begun by the driving thread
  std::int64_t step = 0;
  std::int32_t micro_step = -1;
  std::int32_t operation = -1;  ///< of the schedule; `OperationNames` knows its name
  Activity activity = Activity::starting;
  std::uint64_t collectives = 0;        ///< begun by the host
  std::int32_t collective = -1;         ///< that a thread of the host is inside of
  std::int32_t waits_for = -1;          ///< rank whose data that collective misses, where known
  std::int32_t device_collective = -1;  ///< CUDA: the last one that the device came to
  std::uint32_t device_marks = 0;       ///< CUDA: changes whenever the device moves on
  std::uint64_t host_marks = 0;  ///< changes whenever the host's optimizer or a disk moves on
  std::int32_t host_work = -1;   ///< operation that the host's optimizer or a disk is inside of

  /// True when something has moved between the two.
  [[nodiscard]] bool moved_since(const Position& before) const;
};

/// Numbers separated by spaces, for the store.
std::string serialise(const Position& position);
std::optional<Position> parse_position(const std::string& text);

/// Name of an operation from its number: `backward L7 (middle, 41 of 120)`. Thread-safe, owns what
/// it needs.
using OperationNames = std::function<std::string(std::int32_t)>;

/// `step 14, micro-step 2, backward L3 (middle, 41 of 120)`, `step 15, reading data`.
std::string describe(const Position& position, const OperationNames& names);
/// `gather u3, for rank 2; host at save_states u2`: the collective, and the work of the host or of
/// a disk, that the rank is inside of; empty when it is in none.
std::string describe_wait(const Position& position, const OperationNames& names);

/// A rank's own position, in a page of memory that other processes of this machine can read: also
/// when this one is stopped, and what they have mapped when it is dead. Writing is a few plain
/// stores. Thread: activities and operations from the driving thread, collectives from the thread
/// that runs them; `read` from any.
class PositionWriter {
 public:
  PositionWriter();
  ~PositionWriter();
  PositionWriter(const PositionWriter&) = delete;
  PositionWriter& operator=(const PositionWriter&) = delete;

  /// An activity outside of the schedule; `step` -1 keeps the step.
  void begin(Activity activity, std::int64_t step = -1);
  void begin_micro_step(int micro_step);
  void begin_operation(std::int32_t operation);
  void begin_collective(std::int32_t operation);
  void end_collective();
  void set_waits_for(int rank);  ///< -1: for none
  /// Threads beside the driving one, each with a lane of its own: an operation begins, and ends. Of
  /// several, the position shows a disk's before the optimizer's.
  enum class HostLane : std::uint8_t { disk_read, disk_write, optimizer };
  static constexpr int kHostLanes = 3;
  void begin_host_work(HostLane lane, std::int32_t operation);
  void end_host_work(HostLane lane);
  void mark_host();  ///< something was done within one; any thread
  [[nodiscard]] Position read() const;

  /// kPageBytes, page-aligned, for a CUDA device that writes two 32-bit words of it: at these
  /// offsets the collective it came to + 1, and marks.
  [[nodiscard]] void* page() const;
  static constexpr std::size_t kPageBytes = 4096;
  [[nodiscard]] static std::size_t device_collective_offset();
  [[nodiscard]] static std::size_t device_marks_offset();
  /// Descriptor of the page, -1 when the system has no memory files.
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_ = -1;
  struct Page;
  Page* page_ = nullptr;
  friend class PositionReader;
};

/// The page of another process of this machine. Stays readable after that process has ended.
class PositionReader {
 public:
  /// Null when there is no such process here, or it may not be read.
  static std::unique_ptr<PositionReader> open(const std::string& pid, int fd);
  ~PositionReader();
  PositionReader(const PositionReader&) = delete;
  PositionReader& operator=(const PositionReader&) = delete;
  [[nodiscard]] Position read() const;

 private:
  explicit PositionReader(const PositionWriter::Page* page) : page_(page) {}
  const PositionWriter::Page* page_;
};

}  // namespace zt::comm
