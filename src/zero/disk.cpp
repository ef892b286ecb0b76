#include "zero/disk.h"

#include <fmt/format.h>

#include <span>

namespace zt::zero {
namespace {

std::unique_ptr<memory::NvmeStore> make_store(const std::string& path,
                                              const config::ZeroConfig& config, int rank) {
  memory::NvmeOptions options;
  options.path = path;
  options.rank = rank;
  options.aio.block_size = config.aio_block_size;
  options.aio.queue_depth = config.aio_queue_depth;
  options.aio.intra_op_parallelism = config.aio_threads;
  options.aio.single_submit = config.aio_single_submit;
  options.aio.overlap_events = config.aio_overlap_events;
  return std::make_unique<memory::NvmeStore>(options);
}

std::span<std::byte> bytes_of(const View& view) {
  return {view.as<std::byte>(), static_cast<std::size_t>(view.bytes().value)};
}

}  // namespace

Disk::Disk(const schedule::Program& program, const config::ZeroConfig& config, int rank)
    : program_(program), config_(config), ranges_(program.buffers.size()) {
  for (std::size_t b = 0; b < program.buffers.size(); ++b) {
    const auto& buffer = program.buffers[b];
    if (buffer.where != Place::nvme) continue;
    const bool param = buffer.kind == schedule::BufferKind::param_shard;
    auto& store = param ? params_ : states_;
    if (!store) {
      store = make_store(param ? config.param_nvme_path : config.optimizer_nvme_path, config, rank);
    }
    ranges_[b] =
        store->add(fmt::format("{}.{}", to_string(buffer.kind), buffer.index), buffer.bytes());
  }
}

memory::NvmeStore& Disk::store_of(schedule::BufferId id) const {
  const bool param = program_.buffer(id).kind == schedule::BufferKind::param_shard;
  return param ? *params_ : *states_;
}

const memory::NvmeRange& Disk::range_of(schedule::BufferId id) const {
  return ranges_.at(static_cast<std::size_t>(id.value));
}

void Disk::read(schedule::BufferId id, std::int64_t begin, const View& to) {
  auto& store = store_of(id);
  store.wait(store.read(range_of(id), bytes_of(to), storage({begin}, to.dtype)));
}

void Disk::write(schedule::BufferId id, std::int64_t begin, const View& from) {
  auto& store = store_of(id);
  store.wait(store.write(range_of(id), bytes_of(from), storage({begin}, from.dtype)));
}

void Disk::read(const std::vector<Transfer>& transfers) {
  std::vector<memory::NvmeTicket> tickets;
  for (const auto& [id, host] : transfers) {
    tickets.push_back(store_of(id).read(range_of(id), bytes_of(host)));
  }
  for (std::size_t i = 0; i < tickets.size(); ++i) store_of(transfers[i].id).wait(tickets[i]);
}

void Disk::write(const std::vector<Transfer>& transfers) {
  std::vector<memory::NvmeTicket> tickets;
  for (const auto& [id, host] : transfers) {
    tickets.push_back(store_of(id).write(range_of(id), bytes_of(host)));
  }
  for (std::size_t i = 0; i < tickets.size(); ++i) store_of(transfers[i].id).wait(tickets[i]);
}

}  // namespace zt::zero
