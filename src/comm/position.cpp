#include "comm/position.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <new>
#include <sstream>

#include "base/error.h"

namespace zt::comm {
namespace {

constexpr std::uint64_t kMagic = 0x7a742d706f73'0001;
constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

/// Each word but those of the host's work has one writing thread, so that a load and a store make
/// an increment.
struct PositionWriter::Page {
  std::atomic<std::uint64_t> magic{kMagic};
  std::atomic<std::uint64_t> count{0};
  std::atomic<std::int64_t> step{0};
  std::atomic<std::int32_t> micro_step{-1};
  std::atomic<std::int32_t> operation{-1};
  std::atomic<std::int32_t> activity{0};
  std::atomic<std::int32_t> collective{-1};
  std::atomic<std::int32_t> waits_for{-1};
  std::atomic<std::uint64_t> collectives{0};
  std::atomic<std::uint32_t> device_collective{0};  // + 1
  std::atomic<std::uint32_t> device_marks{0};
  std::atomic<std::uint64_t> host_marks{0};  // of several threads
  std::array<std::atomic<std::int32_t>, PositionWriter::kHostLanes> host_work{-1, -1, -1};

  void count_one() { count.store(count.load(kRelaxed) + 1, std::memory_order_release); }
  [[nodiscard]] Position read() const;
};

Position PositionWriter::Page::read() const {
  Position position;
  position.count = count.load(std::memory_order_acquire);
  position.step = step.load(kRelaxed);
  position.micro_step = micro_step.load(kRelaxed);
  position.operation = operation.load(kRelaxed);
  position.activity = static_cast<Activity>(activity.load(kRelaxed));
  position.collectives = collectives.load(kRelaxed);
  position.collective = collective.load(kRelaxed);
  position.waits_for = waits_for.load(kRelaxed);
  position.device_collective = static_cast<std::int32_t>(device_collective.load(kRelaxed)) - 1;
  position.device_marks = device_marks.load(kRelaxed);
  position.host_marks = host_marks.load(kRelaxed);
  for (const auto& lane : host_work) {
    if (position.host_work < 0) position.host_work = lane.load(kRelaxed);
  }
  return position;
}

const char* to_string(Activity activity) {
  switch (activity) {
    case Activity::starting:
      return "starting";
    case Activity::preparing_data:
      return "preparing the data";
    case Activity::building:
      return "building the engine";
    case Activity::reading_data:
      return "reading data";
    case Activity::exchanging_counts:
      return "exchanging window counts";
    case Activity::schedule:
      return "inside the schedule";
    case Activity::logging:
      return "logging";
    case Activity::evaluating:
      return "evaluating";
    case Activity::saving:
      return "saving";
    case Activity::finishing:
      return "finishing";
  }
  return "unknown";
}

bool Position::moved_since(const Position& before) const {
  return count != before.count || collectives != before.collectives ||
         collective != before.collective || device_collective != before.device_collective ||
         device_marks != before.device_marks || host_marks != before.host_marks;
}

std::string serialise(const Position& p) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {}", p.count, p.step, p.micro_step,
                     p.operation, static_cast<int>(p.activity), p.collectives, p.collective,
                     p.waits_for, p.device_collective, p.device_marks, p.host_marks, p.host_work);
}

std::optional<Position> parse_position(const std::string& text) {
  std::istringstream in(text);
  Position p;
  int activity = 0;
  in >> p.count >> p.step >> p.micro_step >> p.operation >> activity >> p.collectives >>
      p.collective >> p.waits_for >> p.device_collective >> p.device_marks >> p.host_marks >>
      p.host_work;
  if (!in || activity < 0 || activity > static_cast<int>(Activity::finishing)) return std::nullopt;
  p.activity = static_cast<Activity>(activity);
  return p;
}

std::string describe(const Position& position, const OperationNames& names) {
  std::string text = position.step > 0 ? fmt::format("step {}, ", position.step) : std::string();
  if (position.activity != Activity::schedule) return text + to_string(position.activity);
  if (position.micro_step >= 0) text += fmt::format("micro-step {}, ", position.micro_step + 1);
  return text +
         (names ? names(position.operation) : fmt::format("operation {}", position.operation));
}

std::string describe_wait(const Position& position, const OperationNames& names) {
  const auto name = [&names](std::int32_t operation) {
    return names ? names(operation) : fmt::format("operation {}", operation);
  };
  std::string text;
  if (position.collective >= 0) {
    text = name(position.collective);
  } else if (position.activity == Activity::exchanging_counts) {
    text = to_string(position.activity);
  } else if (position.waits_for >= 0) {
    text = "exchange";
  }
  if (position.waits_for >= 0) text += fmt::format(", data of rank {}", position.waits_for);
  if (position.device_collective >= 0) {
    text +=
        fmt::format("{}device at {}", text.empty() ? "" : "; ", name(position.device_collective));
  }
  if (position.host_work >= 0) {
    text += fmt::format("{}host at {}", text.empty() ? "" : "; ", name(position.host_work));
  }
  return text;
}

PositionWriter::PositionWriter() : fd_(memfd_create("zt-position", MFD_CLOEXEC)) {
  void* memory = MAP_FAILED;
  if (fd_ >= 0 && ftruncate(fd_, static_cast<off_t>(kPageBytes)) == 0) {
    memory = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  }
  if (memory == MAP_FAILED) {
    memory = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (memory == MAP_FAILED) {
    throw DeviceError(
        "[comm.position] a page of memory cannot be mapped. Free memory of this machine.");
  }
  page_ = new (memory) Page;
}

PositionWriter::~PositionWriter() {
  munmap(page_, kPageBytes);
  if (fd_ >= 0) close(fd_);
}

void PositionWriter::begin(Activity activity, std::int64_t step) {
  if (step >= 0) page_->step.store(step, kRelaxed);
  page_->micro_step.store(-1, kRelaxed);
  page_->activity.store(static_cast<std::int32_t>(activity), kRelaxed);
  page_->count_one();
}

void PositionWriter::begin_micro_step(int micro_step) {
  page_->micro_step.store(micro_step, kRelaxed);
}

void PositionWriter::begin_operation(std::int32_t operation) {
  page_->operation.store(operation, kRelaxed);
  page_->activity.store(static_cast<std::int32_t>(Activity::schedule), kRelaxed);
  page_->count_one();
}

void PositionWriter::begin_collective(std::int32_t operation) {
  page_->collective.store(operation, kRelaxed);
  page_->collectives.store(page_->collectives.load(kRelaxed) + 1, kRelaxed);
}

void PositionWriter::end_collective() { page_->collective.store(-1, kRelaxed); }

void PositionWriter::set_waits_for(int rank) { page_->waits_for.store(rank, kRelaxed); }

void PositionWriter::begin_host_work(HostLane lane, std::int32_t operation) {
  page_->host_work.at(static_cast<std::size_t>(lane)).store(operation, kRelaxed);
  mark_host();
}

void PositionWriter::end_host_work(HostLane lane) { begin_host_work(lane, -1); }

void PositionWriter::mark_host() { page_->host_marks.fetch_add(1, kRelaxed); }

Position PositionWriter::read() const { return page_->read(); }

void* PositionWriter::page() const { return page_; }

std::size_t PositionWriter::device_collective_offset() { return offsetof(Page, device_collective); }

std::size_t PositionWriter::device_marks_offset() { return offsetof(Page, device_marks); }

std::unique_ptr<PositionReader> PositionReader::open(const std::string& pid, int fd) {
  const int file = ::open(fmt::format("/proc/{}/fd/{}", pid, fd).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return nullptr;
  struct stat status {};
  if (fstat(file, &status) != 0 ||
      status.st_size < static_cast<off_t>(PositionWriter::kPageBytes)) {
    close(file);
    return nullptr;
  }
  void* memory = mmap(nullptr, PositionWriter::kPageBytes, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return nullptr;
  const auto* page = static_cast<const PositionWriter::Page*>(memory);
  if (page->magic.load(kRelaxed) != kMagic) {
    munmap(memory, PositionWriter::kPageBytes);
    return nullptr;
  }
  return std::unique_ptr<PositionReader>(new PositionReader(page));
}

PositionReader::~PositionReader() {
  munmap(const_cast<PositionWriter::Page*>(page_), PositionWriter::kPageBytes);
}

Position PositionReader::read() const { return page_->read(); }

}  // namespace zt::comm
