#include "zero/disk.h"

#include <fmt/format.h>

#include <span>
#include <utility>

namespace zt::zero {
namespace {

std::unique_ptr<memory::NvmeStore> make_store(const std::string& path,
                                              const config::ZeroConfig& config, int rank,
                                              const std::function<void()>& on_progress) {
  memory::NvmeOptions options;
  options.on_progress = on_progress;
  options.path = path;
  options.rank = rank;
  options.aio = aio_options(config);
  return std::make_unique<memory::NvmeStore>(options);
}

bool is_param(const schedule::Buffer& buffer) {
  return buffer.kind == schedule::BufferKind::param_shard;
}

std::span<std::byte> bytes_of(const View& view) {
  return {view.as<std::byte>(), static_cast<std::size_t>(view.bytes().value)};
}

}  // namespace

memory::AioOptions aio_options(const config::ZeroConfig& config) {
  memory::AioOptions aio;
  aio.block_size = config.aio_block_size;
  aio.queue_depth = config.aio_queue_depth;
  aio.intra_op_parallelism = config.aio_threads;
  aio.single_submit = config.aio_single_submit;
  aio.overlap_events = config.aio_overlap_events;
  return aio;
}

Disk::Disk(const schedule::Program& program, const config::ZeroConfig& config, Owner owner,
           const std::function<void()>& on_progress)
    : program_(program), config_(config), owner_(owner), versions_(program.buffers.size()) {
  for (const auto& buffer : program.buffers) {
    if (buffer.where != Place::nvme) continue;
    auto& store = is_param(buffer) ? params_ : states_;
    if (!store) store = make_store(path_of(buffer), config, owner.rank, on_progress);
  }
  for (std::size_t b = 0; b < program.buffers.size(); ++b) {
    if (program.buffers[b].where == Place::nvme) versions_[b].ranges[0] = reserve(b, "");
  }
}

const std::string& Disk::path_of(const schedule::Buffer& buffer) const {
  return is_param(buffer) ? config_.param_nvme_path : config_.optimizer_nvme_path;
}

std::string Disk::needs(const std::string& path) const {
  Bytes bytes;
  for (const auto& buffer : program_.buffers) {
    const bool there = buffer.where == Place::nvme && path_of(buffer) == path;
    if (there) bytes += memory::on_disk(buffer.bytes());
  }
  auto text = fmt::format("{} for rank {}", format_bytes(bytes), owner_.rank);
  if (owner_.ranks > 1) {
    text += fmt::format(", about {} for the {} ranks of this machine",
                        format_bytes(bytes * owner_.ranks), owner_.ranks);
  }
  return text;
}

memory::NvmeRange Disk::reserve(std::size_t b, const std::string& suffix) const {
  const auto& buffer = program_.buffers[b];
  auto& store = store_of({static_cast<int>(b)});
  try {
    return store.add(name_of(b) + suffix, buffer.bytes());
  } catch (const FileError& error) {
    throw FileError(fmt::format("{} nvme_path {} needs room for {}{}.", error.what(),
                                path_of(buffer), needs(path_of(buffer)),
                                suffix.empty() ? "" : ", and as much again for --async_save"));
  }
}

std::string Disk::name_of(std::size_t buffer) const {
  const auto& what = program_.buffers[buffer];
  return fmt::format("{}.{}", to_string(what.kind), what.index);
}

memory::NvmeStats Disk::stats() const { return (states_ ? states_ : params_)->stats(); }

void Disk::reserve_versions() {
  if (std::exchange(two_versions_, true)) return;
  for (std::size_t b = 0; b < versions_.size(); ++b) {
    if (program_.buffers[b].where == Place::nvme) versions_[b].ranges[1] = reserve(b, ".b");
  }
}

void Disk::freeze() {
  ZT_ASSERT(two_versions_, "freeze needs reserve_versions");
  const std::lock_guard lock(mutex_);
  for (auto& versions : versions_) versions.frozen = versions.current;
}

void Disk::thaw() {
  const std::lock_guard lock(mutex_);
  for (auto& versions : versions_) versions.frozen = -1;
}

memory::NvmeStore& Disk::store_of(schedule::BufferId id) const {
  return is_param(program_.buffer(id)) ? *params_ : *states_;
}

memory::NvmeRange Disk::current(schedule::BufferId id) {
  const std::lock_guard lock(mutex_);
  const auto& versions = versions_.at(static_cast<std::size_t>(id.value));
  return versions.ranges.at(static_cast<std::size_t>(versions.current));
}

/// The first piece of what replaces frozen contents turns to the other range; a buffer is always
/// written whole.
memory::NvmeRange Disk::to_write(schedule::BufferId id) {
  const std::lock_guard lock(mutex_);
  auto& versions = versions_.at(static_cast<std::size_t>(id.value));
  if (versions.frozen == versions.current) versions.current = 1 - versions.current;
  return versions.ranges.at(static_cast<std::size_t>(versions.current));
}

void Disk::read_range(schedule::BufferId id, const memory::NvmeRange& range, std::int64_t begin,
                      const View& to) {
  auto& store = store_of(id);
  store.wait(store.read(range, bytes_of(to), storage({begin}, to.dtype)));
}

void Disk::read(schedule::BufferId id, std::int64_t begin, const View& to) {
  read_range(id, current(id), begin, to);
}

void Disk::read_frozen(schedule::BufferId id, std::int64_t begin, const View& to) {
  memory::NvmeRange range;
  {
    const std::lock_guard lock(mutex_);
    const auto& versions = versions_.at(static_cast<std::size_t>(id.value));
    ZT_ASSERT(versions.frozen >= 0, "nothing is frozen");
    range = versions.ranges.at(static_cast<std::size_t>(versions.frozen));
  }
  read_range(id, range, begin, to);
}

void Disk::write(schedule::BufferId id, std::int64_t begin, const View& from) {
  auto& store = store_of(id);
  store.wait(store.write(to_write(id), bytes_of(from), storage({begin}, from.dtype)));
}

void Disk::read(const std::vector<Transfer>& transfers) {
  std::vector<memory::NvmeTicket> tickets;
  for (const auto& [id, host] : transfers) {
    tickets.push_back(store_of(id).read(current(id), bytes_of(host)));
  }
  for (std::size_t i = 0; i < tickets.size(); ++i) store_of(transfers[i].id).wait(tickets[i]);
}

void Disk::write(const std::vector<Transfer>& transfers) {
  std::vector<memory::NvmeTicket> tickets;
  for (const auto& [id, host] : transfers) {
    tickets.push_back(store_of(id).write(to_write(id), bytes_of(host)));
  }
  for (std::size_t i = 0; i < tickets.size(); ++i) store_of(transfers[i].id).wait(tickets[i]);
}

}  // namespace zt::zero
