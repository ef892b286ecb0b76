#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/mapped_file.h"

namespace zt::data {

enum class CorpusKind : std::uint8_t { text, json };

/// The data files below a folder: all `.txt`, or all `.json` and `.jsonl`, sorted by path.
struct CorpusFiles {
  CorpusKind kind = CorpusKind::text;
  std::vector<std::filesystem::path> paths;
  std::string not_read;  ///< names of some files of other kinds; empty: there are none
};

/// Searches `directory` and its subfolders; names that start with a dot are left out. It may be one
/// file: text lines when it ends in .txt, else JSON. `flag` names
/// the option in errors. Errors: FileError when it is no folder, ConfigError when it has no data
/// file or both kinds.
CorpusFiles find_corpus_files(const std::filesystem::path& directory, const std::string& flag);

/// One row: text to tokenise, or ids as they are.
struct CorpusRow {
  bool tokenised = false;
  std::string text;
  std::vector<std::int32_t> input_ids;
  bool has_labels = false;
  std::vector<std::int32_t> labels;  ///< as long as input_ids; -100: no target
};

/// Rows of mapped files, parsed one at a time by any number of threads.
/// Text: one row per line (LF, CRLF or CR end a line; the row ends in LF when `keep_linebreaks` and
/// the line had an end). JSON: one object per line, or one array of objects per file, with `text`
/// or `input_ids` (and `labels`); blank lines are skipped.
class Corpus {
 public:
  /// Errors: FileError when a file cannot be read.
  Corpus(CorpusFiles files, bool keep_linebreaks);

  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }
  /// Bytes of row `index` in its file.
  std::int64_t row_bytes(std::int64_t index) const { return at(index).size; }
  /// Fills `row`. Returns an empty text, or what is wrong with the row.
  std::string parse(std::int64_t index, CorpusRow& row) const;
  /// `path:line` of a row.
  std::string place(std::int64_t index) const;
  /// Hash of all file names and contents, in order.
  std::uint64_t content_hash() const;

 private:
  struct Row {
    std::int64_t begin;
    std::uint32_t size, file;
  };
  const Row& at(std::int64_t index) const { return rows_[static_cast<std::size_t>(index)]; }
  std::string_view bytes(const Row& row) const;
  void add_row(std::uint32_t file, std::size_t begin, std::size_t size);
  void index_text(std::uint32_t file);
  void index_json_lines(std::uint32_t file);
  void index_json_array(std::uint32_t file);

  CorpusFiles files_;
  bool keep_linebreaks_;
  std::vector<MappedFile> maps_;
  std::vector<Row> rows_;
};

}  // namespace zt::data
