#include "train/prediction_exchange.h"

#include <chrono>
#include <thread>

#include "base/error.h"

namespace zt::train {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr const char* kPublished = "predict/published";

std::string key_of(std::int64_t index) { return "predict/" + std::to_string(index); }

}  // namespace

PredictionExchange::PredictionExchange(comm::RankGroup& group, const std::string& path,
                                       std::int64_t count)
    : group_(group),
      count_(count),
      rank_(group.communicator().rank()),
      world_(group.communicator().world()) {
  if (rank_ == 0) file_.emplace(path, count);
}

void PredictionExchange::add(std::int64_t index, const std::string& line) {
  ZT_ASSERT(index % world_ == rank_, "a prompt of this rank");
  if (file_) {
    file_->add(index, line);
  } else {
    group_.store().set(key_of(index), line);
  }
}

bool PredictionExchange::others_line_is_next() const {
  return file_->next() < count_ && file_->next() % world_ != 0;
}

void PredictionExchange::take_what_is_there() {
  while (file_ && others_line_is_next()) {
    const auto index = file_->next();
    const auto line = group_.store().try_get(key_of(index));
    if (!line) return;
    file_->add(index, *line);
  }
}

void PredictionExchange::finish() {
  if (world_ == 1) return file_->finish();
  if (file_) {
    for (take_what_is_there(); file_->next() < count_; take_what_is_there()) {
      check_peers();
      std::this_thread::sleep_for(kPoll);
    }
    file_->finish();
    group_.store().set(kPublished, "yes");
    return;
  }
  while (!group_.store().try_get(kPublished)) {
    check_peers();
    std::this_thread::sleep_for(kPoll);
  }
}

void PredictionExchange::check_peers() const {
  if (const auto failure = group_.first_failure()) {
    throw CommError("[train.predict] " + comm::describe(*failure));
  }
}

}  // namespace zt::train
