#include "data/corpus.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/text_encoding.h"
#include "data/utf8.h"

namespace zt::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view kBlank = " \t\r\n";

std::size_t skip_blank(std::string_view text, std::size_t pos) {
  pos = text.find_first_not_of(kBlank, pos);
  return pos == std::string_view::npos ? text.size() : pos;
}

/// Reads an array of integers in [low, 2^31); returns what is wrong, or nothing.
std::string read_integers(const Json& value, const char* name, std::int64_t low,
                          std::vector<std::int32_t>& out) {
  if (!value.is_array()) return fmt::format("`{}` is not a list", name);
  out.clear();
  for (const Json& item : value) {
    const bool good = item.is_number_integer() && item.get<std::int64_t>() <= 0x7FFFFFFF &&
                      (item.get<std::int64_t>() >= 0 || item.get<std::int64_t>() == low);
    if (!good) return fmt::format("`{}` has {}, which is no token id", name, item.dump());
    out.push_back(item.get<std::int32_t>());
  }
  return {};
}

/// `, but role, content`: the fields that a row has instead.
std::string fields_of(const Json& json) {
  constexpr std::size_t kMost = 6;
  std::string names;
  std::size_t count = 0;
  for (const auto& [name, value] : json.items()) {
    if (++count > kMost) break;
    names += (names.empty() ? "" : ", ") + name.substr(0, 40);
  }
  return names.empty() ? "" : ", but " + names;
}

std::string read_object(const Json& json, CorpusRow& row) {
  if (!json.is_object()) return "not a JSON object";
  row = CorpusRow{};
  if (const auto ids = json.find("input_ids"); ids != json.end()) {
    row.tokenised = true;
    if (auto wrong = read_integers(*ids, "input_ids", 0, row.input_ids); !wrong.empty()) {
      return wrong;
    }
    const auto labels = json.find("labels");
    if (labels == json.end()) return {};
    row.has_labels = true;
    if (auto wrong = read_integers(*labels, "labels", -100, row.labels); !wrong.empty()) {
      return wrong;
    }
    if (row.labels.size() != row.input_ids.size()) {
      return fmt::format("{} labels for {} input_ids", row.labels.size(), row.input_ids.size());
    }
    return {};
  }
  const auto text = json.find("text");
  if (text == json.end()) return "neither `text` nor `input_ids`" + fields_of(json);
  if (!text->is_string()) return "`text` is not a string";
  row.text = text->get<std::string>();
  return {};
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

/// What lies below a folder.
struct Found {
  std::vector<fs::path> text, json, other;
};

/// Adds a file by its kind; a name that promises text and holds none is an error.
void take_file(const fs::directory_entry& entry, Found& found) {
  const std::string extension = entry.path().extension().string();
  const bool is_text = extension == ".txt";
  if (!is_text && extension != ".json" && extension != ".jsonl") {
    found.other.push_back(entry.path());
    return;
  }
  std::error_code error;
  if (!entry.is_regular_file(error)) {
    throw FileError(fmt::format(
        "[data.corpus] cannot read {}: got {}, expected a file. Remove it.", entry.path().string(),
        entry.is_symlink(error) ? "a link that leads nowhere" : "something that is no file"));
  }
  (is_text ? found.text : found.json).push_back(entry.path());
}

/// Files below a folder, links followed; `above` are the folders on the way, as links may lead
/// back.
void collect_files(const fs::path& directory, std::vector<fs::path>& above, Found& found) {
  std::error_code error;
  const fs::path real = fs::canonical(directory, error);
  if (std::find(above.begin(), above.end(), real) != above.end()) {
    log::warning("data", fmt::format("{} leads back to {}: it is not read again",
                                     directory.string(), real.string()));
    return;
  }
  above.push_back(real);
  fs::directory_iterator it(directory, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    if (is_hidden(it->path())) continue;
    std::error_code unknown;
    if (it->is_directory(unknown)) {
      collect_files(it->path(), above, found);
    } else {
      take_file(*it, found);
    }
  }
  above.pop_back();
  if (error) {
    throw FileError(
        fmt::format("[data.corpus] cannot read the folder {}: {}. Check its permissions.",
                    directory.string(), error.message()));
  }
}

/// `b.csv, c.parquet and 3 more`.
std::string some_names(std::vector<fs::path> paths) {
  constexpr std::size_t kMost = 3;
  std::sort(paths.begin(), paths.end());
  std::string text;
  for (std::size_t i = 0; i < std::min(kMost, paths.size()); ++i) {
    text += (i == 0 ? "" : ", ") + paths[i].filename().string();
  }
  return paths.size() > kMost ? fmt::format("{} and {} more", text, paths.size() - kMost) : text;
}

/// What the file is instead of UTF-8, where that can be told.
std::string describe_encoding(std::string_view file) {
  // Without the order of its bytes: that way iconv takes the byte order mark away.
  const auto encoding = foreign_encoding(file).substr(0, std::string_view("UTF-16").size());
  if (encoding.empty()) return {};
  return fmt::format("; the file begins as {} does (iconv -f {} -t UTF-8)", encoding, encoding);
}

}  // namespace

CorpusFiles find_corpus_files(const fs::path& directory, const std::string& flag) {
  if (fs::is_regular_file(directory)) {
    const bool is_text = directory.extension() == ".txt";
    return {is_text ? CorpusKind::text : CorpusKind::json, {directory}, ""};
  }
  if (!fs::is_directory(directory)) {
    throw FileError(
        fmt::format("[data.corpus] {} is not a folder: got {}. Name a folder or a file.", flag,
                    directory.string()));
  }
  std::vector<fs::path> above;
  Found found;
  collect_files(directory, above, found);
  auto& [text, json, other] = found;
  if (!text.empty() && !json.empty()) {
    throw ConfigError(fmt::format(
        "[data.corpus] {} mixes two kinds of data: got {} and {}, expected only .txt or only .json "
        "and .jsonl files. Separate them.",
        flag, text.front().string(), json.front().string()));
  }
  CorpusFiles files{text.empty() ? CorpusKind::json : CorpusKind::text,
                    text.empty() ? std::move(json) : std::move(text), some_names(other)};
  if (files.paths.empty()) {
    throw ConfigError(fmt::format(
        "[data.corpus] {} has no data: {} holds no .txt, .json or .jsonl file{}. Put some there.",
        flag, directory.string(), other.empty() ? "" : ", but " + files.not_read));
  }
  std::sort(files.paths.begin(), files.paths.end(), [](const fs::path& a, const fs::path& b) {
    return a.generic_string() < b.generic_string();
  });
  return files;
}

Corpus::Corpus(CorpusFiles files, bool keep_linebreaks)
    : files_(std::move(files)), keep_linebreaks_(keep_linebreaks) {
  for (std::uint32_t file = 0; file < files_.paths.size(); ++file) {
    const std::string_view text = maps_.emplace_back(files_.paths[file]).bytes();
    if (files_.kind == CorpusKind::text) {
      index_text(file);
    } else if (const std::size_t first =
                   skip_blank(text, text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0);
               first < text.size() && text[first] == '[') {
      index_json_array(file);
    } else {
      index_json_lines(file);
    }
  }
}

void Corpus::add_row(std::uint32_t file, std::size_t begin, std::size_t size) {
  if (size > std::numeric_limits<std::uint32_t>::max()) {
    throw FileError(
        fmt::format("[data.corpus] a row of {} is too long: got {} bytes, expected less "
                    "than 4 GiB. Split it.",
                    files_.paths[file].string(), size));
  }
  rows_.push_back({static_cast<std::int64_t>(begin), static_cast<std::uint32_t>(size), file});
}

void Corpus::index_text(std::uint32_t file) {
  const std::string_view text = maps_[file].bytes();
  for (std::size_t pos = 0; pos < text.size();) {
    std::size_t end = std::min(text.find('\n', pos), text.size());
    end = pos + std::min(text.substr(pos, end - pos).find('\r'), end - pos);
    add_row(file, pos, end - pos);
    if (end < text.size() && text[end] == '\r' && text.substr(end + 1, 1) == "\n") ++end;
    pos = end + 1;
  }
}

void Corpus::index_json_lines(std::uint32_t file) {
  const std::string_view text = maps_[file].bytes();
  for (std::size_t pos = skip_blank(text, 0); pos < text.size();) {
    const std::size_t end = std::min(text.find('\n', pos), text.size());
    add_row(file, pos, end - pos);
    pos = skip_blank(text, end);
  }
}

void Corpus::index_json_array(std::uint32_t file) {
  // Cuts between the elements of the outer array; what is wrong inside one is found by `parse`.
  const std::string_view text = maps_[file].bytes();
  int depth = 0;
  bool quoted = false;
  std::size_t begin = std::string_view::npos;
  for (std::size_t pos = 0; pos < text.size(); ++pos) {
    const char c = text[pos];
    if (quoted) {
      if (c == '\\') ++pos;
      if (c == '"') quoted = false;
      continue;
    }
    if (c == '"') quoted = true;
    const bool closes = c == ']' || c == '}';
    const bool ends_element = (depth == 1 && (c == ',' || c == ']'));
    if (ends_element && begin != std::string_view::npos) {
      add_row(file, begin, pos - begin);
      begin = std::string_view::npos;
    }
    if (depth >= 1 && begin == std::string_view::npos && !ends_element &&
        kBlank.find(c) == std::string_view::npos) {
      begin = pos;
    }
    if (c == '[' || c == '{') ++depth;
    if (closes) --depth;
  }
  if (begin != std::string_view::npos) add_row(file, begin, text.size() - begin);
}

std::string_view Corpus::bytes(const Row& row) const {
  return maps_[row.file].bytes().substr(static_cast<std::size_t>(row.begin), row.size);
}

std::string Corpus::parse(std::int64_t index, CorpusRow& row) const {
  const Row& where = at(index);
  const std::string_view text = bytes(where);
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    return fmt::format("byte 0x{:02X} at byte offset {} of the file is not UTF-8{}",
                       static_cast<unsigned char>(text[bad]),
                       static_cast<std::size_t>(where.begin) + bad,
                       describe_encoding(maps_[where.file].bytes()));
  }
  if (files_.kind == CorpusKind::text) {
    row = CorpusRow{};
    row.text = text;
    const bool ended =
        static_cast<std::size_t>(where.begin) + where.size < maps_[where.file].bytes().size();
    if (keep_linebreaks_ && ended) row.text += '\n';
    return {};
  }
  try {
    return read_object(Json::parse(text), row);
  } catch (const Json::exception& error) {
    const std::string what = error.what();
    const std::size_t detail = what.find("] ");
    const bool whole = files_.paths[where.file].extension() == ".json";
    return "not JSON: " + (detail == std::string::npos ? what : what.substr(detail + 2)) +
           (whole ? " (a .json file is a list of objects, or has one object a line)" : "");
  }
}

std::string Corpus::place(std::int64_t index) const {
  const Row& row = at(index);
  const std::string_view before =
      maps_[row.file].bytes().substr(0, static_cast<std::size_t>(row.begin));
  std::int64_t line = 1;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const bool lone_return =
        before[i] == '\r' && files_.kind == CorpusKind::text && before.substr(i + 1, 1) != "\n";
    if (before[i] == '\n' || lone_return) ++line;
  }
  return fmt::format("{}:{}", files_.paths[row.file].string(), line);
}

std::uint64_t Corpus::content_hash() const {
  std::uint64_t hash = 0;
  for (std::size_t file = 0; file < maps_.size(); ++file) {
    const std::string_view text = maps_[file].bytes();
    const std::string name = files_.paths[file].filename().string();
    hash = XXH3_64bits_withSeed(name.data(), name.size(), hash);
    hash = XXH3_64bits_withSeed(text.data(), text.size(), hash);
  }
  return hash;
}

}  // namespace zt::data
