#include "comm/position_board.h"

#include <fmt/format.h>

#include <vector>

#include "comm/process_identity.h"

namespace zt::comm {
namespace {

std::string position_key(int rank) { return fmt::format("position/{}", rank); }

}  // namespace

PositionBoard::PositionBoard(PositionOptions options, int rank, int world, int store_rank)
    : options_(std::move(options)),
      rank_(rank),
      world_(world),
      store_rank_(store_rank),
      watch_(options_.hang_timeout, options_.outer_timeout) {}

std::string PositionBoard::page_address() const {
  return options_.writer ? fmt::format(" {}", options_.writer->fd()) : std::string();
}

void PositionBoard::cycle(Store& store) {
  if (!options_.writer || world_ == 1) return;
  const Position own = options_.writer->read();
  std::string text = serialise(own);
  if (text != published_) {
    store.set(position_key(rank_), text);
    published_ = std::move(text);
  }
  learn(rank_, own);
  // The rank that holds the store takes its entry along when it goes.
  for (int rank = 0; rank < world_; ++rank) {
    if (rank == rank_ || (rank != store_rank_ && !has_page(rank))) continue;
    if (const auto position = read(&store, rank)) learn(rank, *position);
  }
}

bool PositionBoard::has_page(int rank) {
  const std::lock_guard lock(mutex_);
  return pages_.count(rank) > 0;
}

void PositionBoard::attach(Store& store) {
  if (!options_.writer) return;
  const int end = options_.first_local_rank + options_.num_local_ranks;
  for (int rank = options_.first_local_rank; rank < end && rank < world_; ++rank) {
    if (rank == rank_ || has_page(rank)) continue;
    const auto identity = store.try_get(fmt::format("process/{}", rank));
    if (!identity) continue;
    auto page = open_position(*identity);
    if (page == nullptr) continue;  // not readable from here; the store has it
    const std::lock_guard lock(mutex_);
    pages_[rank] = std::move(page);
  }
}

std::optional<Position> PositionBoard::read(Store* store, int rank) {
  if (rank == rank_) return options_.writer->read();
  {
    const std::lock_guard lock(mutex_);
    const auto page = pages_.find(rank);
    if (page != pages_.end()) return page->second->read();
  }
  if (store == nullptr) return std::nullopt;
  const auto text = store->try_get(position_key(rank));
  return text ? parse_position(*text) : std::nullopt;
}

void PositionBoard::learn(int rank, const Position& position) {
  const std::lock_guard lock(mutex_);
  const auto now = HangWatch::Clock::now();
  const auto [entry, is_new] = known_.try_emplace(rank, Known{position, now});
  if (!is_new && position.moved_since(entry->second.position)) entry->second.moved = now;
  entry->second.position = position;
}

std::optional<Failure> PositionBoard::find_hang(Store& store) {
  if (!options_.writer || world_ == 1) return std::nullopt;
  const auto now = HangWatch::Clock::now();
  if (!watch_.suspects(options_.writer->read(), now)) return std::nullopt;
  for (int rank = 0; rank < world_; ++rank) {
    const auto position = read(&store, rank);
    if (!position) return std::nullopt;  // still starting
    learn(rank, *position);
    watch_.see(rank, *position, now);
  }
  if (!watch_.hangs(now)) return std::nullopt;
  const auto views = watch_.views(now);
  const auto culprit = find_culprit(views);
  const std::string stands = fmt::format("no rank has moved for {:.0f} s", views.front().seconds);
  if (!culprit) {
    return Failure{kAllRanks, stands + " and none is behind the others" +
                                  fmt::format(", noticed by rank {}", rank_)};
  }
  return Failure{*culprit,
                 fmt::format("it stands still{} and the others wait for it: {} (--hang_timeout {} "
                             "s), noticed by rank {}",
                             last_place(*culprit), stands,
                             std::chrono::duration<double>(watch_.limit()).count(), rank_)};
}

void PositionBoard::refresh(Store& store) {
  if (!options_.writer) return;
  for (int rank = 0; rank < world_; ++rank) {
    if (const auto position = read(&store, rank)) learn(rank, *position);
  }
}

std::string PositionBoard::last_place(int rank) {
  if (!options_.writer) return {};
  if (const auto position = read(nullptr, rank)) learn(rank, *position);
  const std::lock_guard lock(mutex_);
  const auto known = known_.find(rank);
  if (known == known_.end()) return {};
  const std::string inside = describe_wait(known->second.position, names_);
  return fmt::format(" at {}{}", describe(known->second.position, names_),
                     inside.empty() ? "" : " (inside of " + inside + ")");
}

std::string PositionBoard::table(int culprit) {
  if (!options_.writer) return {};
  for (int rank = 0; rank < world_; ++rank) {
    if (const auto position = read(nullptr, rank)) learn(rank, *position);
  }
  const auto now = HangWatch::Clock::now();
  std::vector<RankView> views;
  const std::lock_guard lock(mutex_);
  for (const auto& [rank, known] : known_) {
    views.push_back(
        {rank, known.position, std::chrono::duration<double>(now - known.moved).count()});
  }
  return format_table(views, culprit >= 0 ? std::optional(culprit) : std::nullopt, names_);
}

void PositionBoard::set_names(OperationNames names) {
  const std::lock_guard lock(mutex_);
  names_ = std::move(names);
}

}  // namespace zt::comm
