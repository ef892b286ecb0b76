#include "train/checkpoint_writer.h"

#include <chrono>
#include <utility>

#include "checkpoint/native_checkpoint.h"
#include "zero/state_io.h"

namespace zt::train {
namespace {

/// Seconds since it was made.
class Clock {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

CheckpointWriter::CheckpointWriter(zero::Engine& engine, checkpoint::CheckpointStore& store,
                                   checkpoint::RankExchange save, checkpoint::RankExchange retain,
                                   CheckpointWriterOptions options)
    : engine_(engine),
      exchange_(std::move(save)),
      options_(std::move(options)),
      retention_(store, std::move(retain)) {
  // Deletions go on beside the next save; one that lacks their space waits for them.
  options_.save.make_room = [this] { retention_.wait(); };
  if (options_.async) (void)engine_.prepare_snapshot();
}

CheckpointWriter::~CheckpointWriter() {
  if (running_.valid()) running_.wait();
}

SavedCheckpoint CheckpointWriter::write(checkpoint::RunState state, checkpoint::Retention retention,
                                        zero::StateSnapshot* snapshot) {
  const Clock clock;
  SavedCheckpoint saved;
  saved.step = state.global_step;
  auto save_options = options_.save;
  save_options.run_state = std::move(state);
  checkpoint::NativeSave save(std::move(save_options), engine_.layout().params, exchange_);
  const RetentionQueue::SaveUnderWay under_way(retention_);  // the save has its space
  const auto sink = [&save](const layout::StateSlice& slice, const View& values) {
    if (save.layout().has(slice.kind)) save.write(slice, values);
  };
  if (snapshot != nullptr) {
    snapshot->write(sink);
  } else {
    engine_.export_state(sink);
  }
  saved.folder = save.publish();
  if (options_.deepspeed) saved.notes = write_deepspeed(saved.folder);
  saved.seconds = clock.seconds();
  retention_.post(std::move(retention));
  return saved;
}

std::vector<std::string> CheckpointWriter::write_deepspeed(const std::string& folder) {
  const checkpoint::NativeCheckpoint source(folder);
  const auto written = checkpoint::write_deepspeed(
      source, engine_.layout().params, options_.deepspeed(source.run_state()), exchange_);
  std::vector<std::string> notes{"the same in DeepSpeed's layout: " + written};
  if (exchange_.rank != 0) return notes;
  for (auto& line : checkpoint::remove_outdated_deepspeed(options_.save.output_dir)) {
    notes.push_back(std::move(line));
  }
  return notes;
}

void CheckpointWriter::save(checkpoint::RunState state, checkpoint::Retention retention) {
  const Clock clock;
  if (running_.valid()) collect();
  if (options_.async) {
    auto* snapshot = &engine_.start_snapshot();
    running_ = std::async(std::launch::async, [this, snapshot, state = std::move(state),
                                               retention = std::move(retention)]() mutable {
      try {
        return write(std::move(state), std::move(retention), snapshot);
      } catch (...) {
        failed_ = true;
        throw;
      }
    });
  } else {
    finished_.push_back(write(std::move(state), std::move(retention), nullptr));
    retention_.wait();
  }
  blocked_ += clock.seconds();
}

void CheckpointWriter::collect() {
  failed_ = false;
  finished_.push_back(running_.get());
}

void CheckpointWriter::wait() {
  if (running_.valid()) collect();
  retention_.wait();
}

std::vector<SavedCheckpoint> CheckpointWriter::take_finished() {
  if (running_.valid() && running_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    collect();
  }
  return std::exchange(finished_, {});
}

double CheckpointWriter::take_blocked_seconds() {
  return std::exchange(blocked_, 0.0) + engine_.take_snapshot_wait();
}

}  // namespace zt::train
