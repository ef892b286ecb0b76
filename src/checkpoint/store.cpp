#include "checkpoint/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <system_error>

#include "base/error.h"
#include "checkpoint/file_io.h"
#include "checkpoint/manifest.h"
#include "checkpoint/names.h"
#include "checkpoint/native_checkpoint.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLockName = ".zt_lock";

std::string first_line(const std::vector<std::string>& problems) {
  return problems.size() == 1
             ? problems.front()
             : fmt::format("{} (and {} more)", problems.front(), problems.size() - 1);
}

/// All ranks' problems with one folder; the ranks share the reading. Collective.
std::vector<std::string> problems_of(const std::string& folder, const RankExchange& exchange,
                                     const std::function<void(Bytes)>& progress = {}) {
  std::string mine;
  for (const auto& problem : verify(folder, exchange.rank, exchange.world, progress).problems) {
    mine += problem + '\0';
  }
  std::vector<std::string> problems;
  for (const auto& text : exchange.gather_text(mine)) {
    for (std::size_t at = 0; at < text.size();) {
      const auto end = text.find('\0', at);
      problems.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }
  return each_once(problems);
}

/// Rank 0's list, on all ranks: a folder may appear or go meanwhile. Collective.
std::vector<CheckpointFolder> agreed_list(const std::string& output_dir,
                                          const RankExchange& exchange) {
  std::string steps;
  if (exchange.rank == 0) {
    for (const auto& it : list_checkpoints(output_dir)) steps += std::to_string(it.step) + " ";
  }
  const auto text = exchange.gather_text(steps).front();
  std::vector<CheckpointFolder> found;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find(' ', at);
    const auto step = std::stoll(text.substr(at, end - at));
    found.push_back({step, (fs::path(output_dir) / checkpoint_name(step)).string()});
    at = end + 1;
  }
  return found;
}

std::string this_process() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return fmt::format("process {} on {}", getpid(), host.data());
}

/// What a file system without locks says, as Lustre and object stores may be mounted.
bool has_no_locks(int number) {
  return number == ENOSYS || number == EOPNOTSUPP || number == ENOLCK || number == EINVAL;
}

/// Rank 0: the lock's descriptor. `lines` hears of a file system that cannot lock.
int take_lock(const std::string& output_dir, std::vector<std::string>& lines) {
  const auto path = (fs::path(output_dir) / kLockName).string();
  const int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    throw CheckpointError(
        fmt::format("[checkpoint.store] {}: cannot be opened: {}.", path, error_text(errno)));
  }
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int number = errno;
    if (has_no_locks(number)) {
      lines.push_back(fmt::format(
          "{}: this file system has no locks ({}): a second run that writes here is not noticed",
          output_dir, error_text(number)));
      return lock;
    }
    close(lock);
    if (number != EWOULDBLOCK) {
      throw CheckpointError(
          fmt::format("[checkpoint.store] {}: cannot be locked: {}.", path, error_text(number)));
    }
    throw CheckpointError(fmt::format(
        "[checkpoint.store] {}: {} writes here. Wait for its end or choose another --output_dir.",
        output_dir, read_text(path, 4096)));
  }
  const auto owner = this_process();
  // Only a name for messages; the lock itself is the kernel's.
  if (ftruncate(lock, 0) != 0 ||
      pwrite(lock, owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size())) {
    const int number = errno;
    close(lock);
    throw CheckpointError(
        fmt::format("[checkpoint.store] {}: cannot be written: {}.", path, error_text(number)));
  }
  return lock;
}

std::vector<std::string> remove_leftovers(const std::string& output_dir) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(output_dir)) {
    if (is_leftover(entry.path().filename().string())) found.push_back(entry.path());
  }
  std::vector<std::string> lines;
  for (const auto& path : found) {
    std::error_code error;  // a file that another process has open may stay, on NFS
    fs::remove_all(path, error);
    lines.push_back(fmt::format("{}: left by a run that died, {}", path.string(),
                                error ? "cannot be removed: " + error.message() : "removed"));
  }
  return lines;
}

bool same(const std::string& a, const std::string& b) {
  return fs::path(a).lexically_normal() == fs::path(b).lexically_normal();
}

/// Under another name first: a crash in between leaves no checkpoint that looks whole.
std::string remove_checkpoint(const std::string& output_dir, const CheckpointFolder& folder) {
  const auto hidden = fs::path(output_dir) / deleted_name(folder.step);
  std::error_code error;
  fs::remove_all(hidden, error);
  fs::rename(folder.path, hidden, error);
  if (!error) fs::remove_all(hidden, error);
  if (error) return fmt::format("{}: cannot be deleted: {}", folder.path, error.message());
  return fmt::format("{}: deleted", folder.path);
}

}  // namespace

std::vector<CheckpointFolder> list_checkpoints(const std::string& output_dir) {
  std::vector<CheckpointFolder> found;
  std::error_code error;
  for (fs::directory_iterator it(output_dir, error), end; !error && it != end;
       it.increment(error)) {
    const auto step = checkpoint_step(it->path().filename().string());
    std::error_code ignored;
    if (step && it->is_directory(ignored)) found.push_back({*step, it->path().string()});
  }
  std::sort(found.begin(), found.end(),
            [](const CheckpointFolder& a, const CheckpointFolder& b) { return a.step > b.step; });
  return found;
}

Resumable find_resumable(const std::string& output_dir, const RankExchange& exchange) {
  Resumable result;
  for (const auto& folder : agreed_list(output_dir, exchange)) {
    const auto problems = problems_of(folder.path, exchange);
    if (problems.empty()) {
      result.folder = folder.path;
      break;
    }
    result.skipped.push_back(fmt::format("{}: skipped: {}", folder.path, first_line(problems)));
  }
  return result;
}

void require_whole(const std::string& folder, const RankExchange& exchange) {
  const auto problems = problems_of(folder, exchange);
  if (problems.empty()) return;
  constexpr std::size_t kShown = 20;  // a zeroed file has a problem every few MiB
  std::string text;
  for (std::size_t i = 0; i < std::min(problems.size(), kShown); ++i) text += "\n  " + problems[i];
  if (problems.size() > kShown) text += fmt::format("\n  and {} more", problems.size() - kShown);
  throw CheckpointError(fmt::format(
      "[checkpoint.verify] {}: is damaged:{}\n  Use another checkpoint.", folder, text));
}

std::vector<CheckpointFolder> outdated(const std::vector<CheckpointFolder>& found,
                                       const Retention& retention) {
  std::vector<CheckpointFolder> result;
  if (retention.save_total_limit <= 0 || found.empty()) return result;
  const bool has_best = std::any_of(found.begin(), found.end(), [&](const CheckpointFolder& it) {
    return same(it.path, retention.best);
  });
  // The newest and the best stay first; the others fill the limit from the newest on.
  auto room = retention.save_total_limit - (has_best ? 1 : 0);
  for (const auto& folder : found) {
    const bool newest = &folder == &found.front();
    if (same(folder.path, retention.best)) continue;
    const bool periodic = retention.keep_every > 0 && folder.step % retention.keep_every == 0;
    if (newest || room > 0) {
      --room;
    } else if (!periodic) {
      result.push_back(folder);
    }
  }
  std::reverse(result.begin(), result.end());
  return result;
}

CheckpointStore::CheckpointStore(std::string output_dir, const RankExchange& exchange)
    : output_dir_(std::move(output_dir)) {
  try {
    all_or_none(exchange, [&] {
      if (exchange.rank != 0) return;
      fs::create_directories(output_dir_);
      lock_ = take_lock(output_dir_, removed_);
      for (auto& line : remove_leftovers(output_dir_)) removed_.push_back(std::move(line));
    });
  } catch (...) {
    if (lock_ >= 0) close(lock_);
    throw;
  }
}

CheckpointStore::~CheckpointStore() {
  if (lock_ >= 0) close(lock_);
}

std::vector<std::string> CheckpointStore::problems(const std::string& folder,
                                                   const RankExchange& exchange,
                                                   const std::function<void()>& pace) {
  return problems_of(folder, exchange, [&](Bytes) { pace(); });
}

std::vector<std::string> CheckpointStore::remove_outdated(const Retention& retention,
                                                          const std::vector<std::string>& kept) {
  std::vector<std::string> lines;
  for (const auto& folder : outdated(list_checkpoints(output_dir_), retention)) {
    const bool stays = std::any_of(kept.begin(), kept.end(),
                                   [&](const std::string& it) { return same(it, folder.path); });
    if (!stays) lines.push_back(remove_checkpoint(output_dir_, folder));
  }
  return lines;
}

}  // namespace zt::checkpoint
