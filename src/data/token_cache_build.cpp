#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "data/token_cache.h"
#include "data/token_cache_format.h"

namespace zt::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kChunkBytes = 1 << 20;
constexpr std::size_t kShownRows = 5;
constexpr int kMostNames = 10'000;  ///< of temporary files that died runs may have left

/// Consecutive rows that one thread turns into tokens at a time, and the result.
struct Chunk {
  std::int64_t first = 0, last = 0;  ///< rows [first, last)
  std::vector<std::int32_t> tokens, labels;
  std::vector<std::int64_t> row_sizes, label_rows;
  std::vector<std::uint8_t> kinds;
  std::vector<std::pair<std::int64_t, std::string>> malformed;  ///< row, what is wrong
};

std::vector<Chunk> cut_chunks(const Corpus& corpus) {
  std::vector<Chunk> chunks;
  std::int64_t bytes = kChunkBytes;
  for (std::int64_t row = 0; row < corpus.size(); ++row) {
    if (bytes >= kChunkBytes) {
      chunks.emplace_back().first = row;
      bytes = 0;
    }
    bytes += corpus.row_bytes(row) + 1;
    chunks.back().last = row + 1;
  }
  return chunks;
}

/// Appends the tokens of one parsed row; returns what is wrong, or nothing.
std::string tokenize_row(const TokenizeOptions& options, std::int64_t index, const CorpusRow& row,
                         EncodeScratch& scratch, Chunk& chunk) {
  const std::size_t before = chunk.tokens.size();
  if (row.tokenised) {
    chunk.tokens.insert(chunk.tokens.end(), row.input_ids.begin(), row.input_ids.end());
    if (row.has_labels) {
      chunk.label_rows.push_back(index);
      chunk.labels.insert(chunk.labels.end(), row.labels.begin(), row.labels.end());
    }
  } else {
    if (!options.tokenizer) return "a row of text, but the model folder has no tokenizer";
    options.tokenizer->encode(row.text, true, scratch, chunk.tokens);
    const bool ended =
        chunk.tokens.size() > before && options.row_end && chunk.tokens.back() == *options.row_end;
    if (options.row_end && !ended) chunk.tokens.push_back(*options.row_end);
  }
  chunk.kinds.push_back(row.tokenised ? 1 : 0);
  chunk.row_sizes.push_back(static_cast<std::int64_t>(chunk.tokens.size() - before));
  return {};
}

void tokenize_chunk(const Corpus& corpus, const TokenizeOptions& options, EncodeScratch& scratch,
                    Chunk& chunk) {
  CorpusRow row;
  for (std::int64_t index = chunk.first; index < chunk.last; ++index) {
    std::string wrong = corpus.parse(index, row);
    if (wrong.empty()) wrong = tokenize_row(options, index, row, scratch, chunk);
    if (!wrong.empty()) chunk.malformed.emplace_back(index, std::move(wrong));
  }
}

/// Runs `work(scratch, i)` for i in [first, last) on `scratches.size()` threads; the first
/// exception is rethrown here.
template <typename Work>
void parallel_for(std::vector<EncodeScratch>& scratches, std::size_t first, std::size_t last,
                  Work&& work) {
  std::atomic<std::size_t> next{first};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto run = [&](EncodeScratch& scratch) {
    try {
      for (std::size_t i = next++; i < last; i = next++) work(scratch, i);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      failure = std::current_exception();
      next = last;
    }
  };
  std::vector<std::thread> threads;
  const std::size_t helpers = std::min(scratches.size(), last - first);
  for (std::size_t i = 1; i < helpers; ++i) {
    threads.emplace_back([&run, &scratch = scratches[i]] { run(scratch); });
  }
  run(scratches[0]);
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

/// A file that is removed unless it is published.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& target) : target_(target) {
    std::error_code ignored;
    fs::create_directories(target.parent_path(), ignored);
    // On a disk that several machines share, another process may have our number.
    int file = -1;
    for (int i = 0; file < 0; ++i) {
      path_ = target.string() + fmt::format(".tmp.{}.{}", ::getpid(), i);
      file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
      if (file < 0 && (errno != EEXIST || i > kMostNames)) {
        path_.clear();  // not ours to remove
        fail();
      }
    }
    file_ = ::fdopen(file, "w+b");
    if (!file_) {
      ::close(file);
      fail();
    }
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (file_) std::fclose(file_);
    std::error_code ignored;
    if (!path_.empty()) fs::remove(path_, ignored);
  }

  template <typename T>
  void write(const std::vector<T>& values) {
    write(values.data(), values.size() * sizeof(T));
  }
  void write(const void* bytes, std::size_t size) {
    if (size > 0 && std::fwrite(bytes, 1, size, file_) != size) fail();
  }
  void seek(std::int64_t offset) {
    if (::fseeko(file_, offset, SEEK_SET) != 0) fail();
  }
  void flush() {
    if (std::fflush(file_) != 0) fail();
  }
  const fs::path& path() const { return path_; }
  void publish() {
    flush();
    if (::fsync(::fileno(file_)) != 0) fail();
    std::error_code error;
    fs::rename(path_, target_, error);
    if (error) fail();
    path_.clear();
  }

 private:
  [[noreturn]] void fail() const {
    throw FileError(
        fmt::format("[data.cache] cannot write {}. Check permissions and free space, or "
                    "name another --cache_dir.",
                    target_.string()));
  }
  fs::path target_, path_;
  std::FILE* file_ = nullptr;
};

/// Everything but the tokens, which go to the file as they come.
struct Collected {
  std::vector<std::int64_t> row_offsets{0}, label_rows, label_offsets{0};
  std::vector<std::int32_t> labels;
  std::vector<std::uint8_t> kinds;
  std::vector<std::string> shown;
  std::int64_t malformed = 0;
  std::int32_t max_id = -1;
};

void collect(const Corpus& corpus, const Chunk& chunk, Collected& all) {
  for (const auto& [row, wrong] : chunk.malformed) {
    if (all.shown.size() < kShownRows) all.shown.push_back(corpus.place(row) + ": " + wrong);
    ++all.malformed;
  }
  if (all.malformed > 0) return;
  for (std::size_t i = 0; i < chunk.row_sizes.size(); ++i) {
    all.row_offsets.push_back(all.row_offsets.back() + chunk.row_sizes[i]);
  }
  for (const std::int64_t row : chunk.label_rows) {
    const auto size = chunk.row_sizes[static_cast<std::size_t>(row - chunk.first)];
    all.label_rows.push_back(row);
    all.label_offsets.push_back(all.label_offsets.back() + size);
  }
  all.labels.insert(all.labels.end(), chunk.labels.begin(), chunk.labels.end());
  all.kinds.insert(all.kinds.end(), chunk.kinds.begin(), chunk.kinds.end());
  for (const auto* ids : {&chunk.tokens, &chunk.labels}) {
    for (const std::int32_t id : *ids) all.max_id = std::max(all.max_id, id);
  }
}

[[noreturn]] void refuse_malformed(const Collected& all) {
  std::string list;
  for (const std::string& line : all.shown) list += "\n  " + line;
  throw FileError(fmt::format(
      "[data.corpus] malformed rows: got {}, expected none. Correct or remove them. The first:{}",
      all.malformed, list));
}

std::vector<EncodeScratch> make_scratches(int workers) {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  return std::vector<EncodeScratch>(workers > 0 ? static_cast<std::size_t>(workers) : cores);
}

}  // namespace

void build_token_cache(const Corpus& corpus, const TokenizeOptions& options, std::uint64_t key,
                       const fs::path& path) {
  std::vector<EncodeScratch> scratches = make_scratches(options.workers);
  std::vector<Chunk> chunks = cut_chunks(corpus);
  Collected all;
  TemporaryFile file(path);
  CacheHeader header{kCacheMagic, key, 0, corpus.size(), 0, 0, 0, -1};
  file.write(&header, sizeof header);
  const std::size_t wave = scratches.size() * 8;
  for (std::size_t first = 0; first < chunks.size(); first += wave) {
    const std::size_t last = std::min(first + wave, chunks.size());
    parallel_for(scratches, first, last, [&](EncodeScratch& scratch, std::size_t i) {
      tokenize_chunk(corpus, options, scratch, chunks[i]);
    });
    for (std::size_t i = first; i < last; ++i) {
      collect(corpus, chunks[i], all);
      file.write(chunks[i].tokens);
      chunks[i] = Chunk{};
    }
  }
  if (all.malformed > 0) refuse_malformed(all);
  header.label_rows = static_cast<std::int64_t>(all.label_rows.size());
  header.tokens = all.row_offsets.back();
  header.label_tokens = static_cast<std::int64_t>(all.labels.size());
  header.max_id = all.max_id;
  const std::int32_t filler = 0;
  if (header.tokens % 2 != 0) file.write(&filler, sizeof filler);
  file.write(all.row_offsets);
  file.write(all.label_rows);
  file.write(all.label_offsets);
  file.write(all.labels);
  file.write(all.kinds);
  file.flush();
  header.checksum = cache_checksum(header, MappedFile(file.path()).bytes().substr(sizeof header));
  file.seek(0);
  file.write(&header, sizeof header);
  file.publish();
}

}  // namespace zt::data
