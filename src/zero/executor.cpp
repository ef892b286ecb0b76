#include "zero/executor.h"

#include <fmt/format.h>

#include <algorithm>

namespace zt::zero {
namespace {

constexpr int kPositionShift = 20;

int code_of(schedule::VariantKind kind, std::size_t index) {
  return (static_cast<int>(kind) << kPositionShift) + static_cast<int>(index);
}

std::string name_of(const schedule::Variant& variant, std::size_t index) {
  return fmt::format("{} ({}, {} of {})", schedule::to_string(variant.operations.at(index)),
                     schedule::to_string(variant.kind), index, variant.operations.size());
}

bool is_disk(schedule::Stream stream) {
  return stream == schedule::Stream::disk_read || stream == schedule::Stream::disk_write;
}

/// Work of the host, what waits for it, and layers that do not promise it cannot be captured.
bool all_capturable(const Machine& machine, const schedule::Variant& variant) {
  return std::all_of(variant.operations.begin(), variant.operations.end(), [&](const auto& op) {
    if (schedule::runs_on(op.stream) || !op.carried.empty()) return false;
    return op.layer < 0 ||
           machine.model->layers.at(static_cast<std::size_t>(op.layer))->capturable();
  });
}

}  // namespace

comm::OperationNames name_operations(const schedule::Program& program,
                                     const config::ZeroConfig& zero) {
  std::array<std::vector<std::string>, schedule::kNumVariants> names;
  for (const auto& variant : program.variants) {
    auto& list = names.at(static_cast<std::size_t>(variant.kind));
    for (std::size_t i = 0; i < variant.operations.size(); ++i) {
      list.push_back(name_of(variant, i));
      const auto& op = variant.operations[i];
      if (!is_disk(op.stream)) continue;
      const bool param =
          op.kind == schedule::OpKind::load_param || op.kind == schedule::OpKind::save_param;
      list.back().insert(list.back().size() - 1,
                         "; disk of " + (param ? zero.param_nvme_path : zero.optimizer_nvme_path));
    }
  }
  return [names](std::int32_t code) -> std::string {
    if (code < 0) return "before the first operation";
    const auto variant = static_cast<std::size_t>(code >> kPositionShift);
    const auto index = static_cast<std::size_t>(code & ((1 << kPositionShift) - 1));
    return variant < names.size() && index < names.at(variant).size()
               ? names.at(variant)[index]
               : fmt::format("operation {}", code);
  };
}

Executor::Executor(const Machine& machine, StepState& state)
    : program_(*machine.program),
      writer_(machine.position),
      queues_(machine.device == Device::cpu ? memory::make_cpu_queues()
                                            : memory::make_cuda_queues(machine.device_index)) {
  if (writer_ != nullptr && machine.device == Device::cuda && machine.world() > 1) {
    device_words_ =
        std::make_unique<memory::DeviceWords>(writer_->page(), comm::PositionWriter::kPageBytes);
  }
  for (const auto& variant : program_.variants) {
    auto& bound = bound_.at(static_cast<std::size_t>(variant.kind));
    bound.work = bind(machine, variant, state);
    bound.waited_on.assign(variant.operations.size(), 0);
    for (std::size_t i = 0; i < variant.operations.size(); ++i) {
      const auto& op = variant.operations[i];
      const bool loss = op.kind == schedule::OpKind::backward &&
                        machine.model->layers.at(static_cast<std::size_t>(op.layer))->gives_loss();
      if (loss) bound.loss_end = i + 1;
      if (writer_ != nullptr && op.stream == schedule::Stream::comm &&
          op.kind != schedule::OpKind::release) {
        bound.work[i] = tell(std::move(bound.work[i]), code_of(variant.kind, i));
      }
      if (writer_ != nullptr && (op.stream == schedule::Stream::host || is_disk(op.stream))) {
        bound.work[i] = tell_host(std::move(bound.work[i]), op.stream, code_of(variant.kind, i));
      }
    }
    bound.capturable = all_capturable(machine, variant);
  }
  for (const auto& variant : program_.variants) bind_waits(variant);
}

void Executor::bind_waits(const schedule::Variant& variant) {
  auto& mine = bound_.at(static_cast<std::size_t>(variant.kind));
  const auto count = variant.operations.size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto& op = variant.operations[i];
    for (const int wait : op.waits) mine.waited_on[static_cast<std::size_t>(wait)] = 1;
    for (const auto& wait : op.carried) {
      auto& lists = mine.carried.at(static_cast<std::size_t>(wait.variant));
      lists.resize(count);
      lists[i].push_back(wait.index);
      bound_.at(static_cast<std::size_t>(wait.variant))
          .waited_on[static_cast<std::size_t>(wait.index)] = 1;
    }
  }
}

const Executor::Bound& Executor::bound(schedule::VariantKind kind) const {
  return bound_.at(static_cast<std::size_t>(kind));
}

void Executor::stand_at(schedule::VariantKind kind, std::size_t index) {
  const int code = code_of(kind, index);
  position_.store(code, std::memory_order_relaxed);
  if (writer_ == nullptr) return;
  if (kind == schedule::VariantKind::boundary) writer_->begin_micro_step(-1);
  writer_->begin_operation(code);
}

memory::Queues::Work Executor::tell(memory::Queues::Work work, int code) const {
  return [writer = writer_, words = device_words_.get(), code,
          work = std::move(work)](const Launch& launch) {
    if (words != nullptr) {
      words->write(comm::PositionWriter::device_collective_offset(),
                   static_cast<std::uint32_t>(code) + 1, launch);
    }
    writer->begin_collective(code);
    work(launch);
    writer->end_collective();
  };
}

memory::Queues::Work Executor::tell_host(memory::Queues::Work work, schedule::Stream stream,
                                         int code) const {
  using Lane = comm::PositionWriter::HostLane;
  const auto lane = stream == schedule::Stream::disk_read    ? Lane::disk_read
                    : stream == schedule::Stream::disk_write ? Lane::disk_write
                                                             : Lane::optimizer;
  return [writer = writer_, lane, code, work = std::move(work)](const Launch& launch) {
    writer->begin_host_work(lane, code);
    work(launch);
    writer->end_host_work(lane);
  };
}

/// A variant may have no collective: each tells that the device still moves.
void Executor::mark_device() {
  if (device_words_ == nullptr) return;
  device_words_->write(comm::PositionWriter::device_marks_offset(), ++device_marks_,
                       queues_->compute());
}

void Executor::begin(schedule::VariantKind kind) {
  overlaps_ = before_ && schedule::follows(*before_, kind);
  queues_->begin(static_cast<int>(bound(kind).work.size()), overlaps_);
}

void Executor::issue(schedule::VariantKind kind, std::size_t begin, std::size_t end) {
  const auto& operations = program_.variant(kind).operations;
  const auto& work = bound(kind);
  const auto* carried = overlaps_ ? &work.carried.at(static_cast<std::size_t>(*before_)) : nullptr;
  if (carried != nullptr && carried->empty()) carried = nullptr;
  for (std::size_t i = begin; i < end; ++i) {
    const auto& op = operations[i];
    stand_at(kind, i);
    memory::After after{op.waits, {}};
    if (carried != nullptr) after.carried = (*carried)[i];
    queues_->submit(static_cast<int>(op.stream), static_cast<int>(i), after, work.waited_on[i] != 0,
                    work.work[i]);
  }
  if (end == work.work.size()) before_ = kind;
}

void Executor::run(schedule::VariantKind kind) {
  const auto count = bound(kind).work.size();
  begin(kind);
  mark_device();
  issue(kind, 0, count);
}

void Executor::run_until_loss(schedule::VariantKind kind) {
  begin(kind);
  issue(kind, 0, bound(kind).loss_end);
}

void Executor::run_after_loss(schedule::VariantKind kind) {
  issue(kind, bound(kind).loss_end, bound(kind).work.size());
}

bool Executor::can_capture(schedule::VariantKind kind) const {
  return queues_->can_capture() && bound(kind).capturable;
}

bool Executor::captured(schedule::VariantKind kind) const { return bound(kind).graph != nullptr; }

void Executor::capture(schedule::VariantKind kind) {
  const auto count = bound(kind).work.size();
  before_.reset();
  bound_.at(static_cast<std::size_t>(kind)).graph = queues_->capture(static_cast<int>(count), [&] {
    begin(kind);
    issue(kind, 0, count);
  });
  before_.reset();
}

void Executor::replay(schedule::VariantKind kind) {
  stand_at(kind, 0);
  mark_device();
  queues_->replay(*bound(kind).graph);
  before_.reset();
}

void Executor::drop_graphs() {
  queues_->synchronize();
  for (auto& bound : bound_) bound.graph.reset();
}

void Executor::measure(bool on) {
  drop_graphs();
  queues_->measure(on);
  measures_ = on;
}

std::string Executor::position() const {
  const int position = position_.load(std::memory_order_relaxed);
  if (position < 0) return "before the first operation";
  const auto kind = static_cast<schedule::VariantKind>(position >> kPositionShift);
  const auto index = static_cast<std::size_t>(position & ((1 << kPositionShift) - 1));
  return name_of(program_.variant(kind), index);
}

}  // namespace zt::zero
