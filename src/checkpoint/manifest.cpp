#include "checkpoint/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/file_io.h"

namespace zt::checkpoint {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr const char* kFormat = "zerotrain checkpoint";
constexpr std::int64_t kMaxText = 1 << 28;
/// The file is kPrefix, 16 hex digits, kMiddle, body, kSuffix; the hash is that of the body.
constexpr std::string_view kPrefix = R"({"xxh3": ")";
constexpr std::string_view kMiddle = R"(", "manifest": )";
constexpr std::string_view kSuffix = "}\n";
constexpr std::size_t kDigits = 16;

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw CheckpointError(
      fmt::format("[checkpoint.manifest] {}: {}. Use another checkpoint.", where, what));
}

std::string hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

std::uint64_t parse_hex(const std::string& where, const json& value) {
  std::uint64_t hash = 0;
  const auto* text = value.get_ptr<const std::string*>();
  if (text != nullptr && text->size() == kDigits) {
    const auto* end = text->data() + kDigits;
    const auto result = std::from_chars(text->data(), end, hash, 16);
    if (result.ec == std::errc() && result.ptr == end) return hash;
  }
  fail(where, "a hash is not 16 hex digits");
}

std::int64_t parse_size(const std::string& where, const json& value) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > (1ULL << 62)) {
    fail(where, "a size or offset is not a non-negative integer");
  }
  return value.get<std::int64_t>();
}

ManifestFile parse_file(const std::string& where, const json& value) {
  if (!value.is_object() || !value.contains("path") || !value["path"].is_string() ||
      !value.contains("size") || !value.contains("pieces") || !value["pieces"].is_array()) {
    fail(where, "a file lacks path, size or pieces");
  }
  ManifestFile file;
  file.path = value["path"].get<std::string>();
  if (!is_plain_path(file.path)) fail(where, "path '" + file.path + "' is not allowed");
  file.size = parse_size(where, value["size"]);
  for (const auto& piece : value["pieces"]) {
    if (!piece.is_array() || piece.size() != 3) fail(where, "a piece is not [begin, end, hash]");
    file.pieces.push_back(
        {parse_size(where, piece[0]), parse_size(where, piece[1]), parse_hex(where, piece[2])});
  }
  if (const auto problem = covering_problem(file); !problem.empty()) fail(where, problem);
  return file;
}

/// The body without its envelope, whose hash matched.
std::string open_envelope(const std::string& text, const std::string& where) {
  const auto head = kPrefix.size() + kDigits + kMiddle.size();
  const std::string_view view = text;
  if (view.size() < head + kSuffix.size() || !view.starts_with(kPrefix) ||
      view.substr(kPrefix.size() + kDigits, kMiddle.size()) != kMiddle ||
      !view.ends_with(kSuffix)) {
    fail(where, "is not a manifest of zerotrain, or is damaged");
  }
  std::string body(view.substr(head, view.size() - head - kSuffix.size()));
  const auto expected = hex(hash_text(body));
  const auto got = view.substr(kPrefix.size(), kDigits);
  if (got != expected) {
    fail(where, fmt::format("is damaged: its hash is {}, expected {}", expected, got));
  }
  return body;
}

}  // namespace

bool is_plain_path(const std::string& path) {
  std::size_t length = 0;  // of the current part
  int folders = 0;
  for (const char c : path) {
    if (c == '/') {
      if (length == 0 || ++folders > 1) return false;
      length = 0;
      continue;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool inner = c == '.' || c == '-';
    if (!letter && !(c >= '0' && c <= '9') && c != '_' && !(inner && length > 0)) return false;
    ++length;
  }
  return length > 0 && path.size() < 256;
}

std::string covering_problem(ManifestFile& file) {
  std::sort(file.pieces.begin(), file.pieces.end(), [](const Piece& a, const Piece& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::int64_t end = 0;
  for (const auto& piece : file.pieces) {
    if (piece.begin != end || piece.end <= piece.begin) {
      return fmt::format("pieces of {} {} at byte {}", file.path,
                         piece.begin > end ? "leave a hole" : "overlap",
                         std::min(end, piece.begin));
    }
    end = piece.end;
  }
  if (end == file.size) return {};
  return fmt::format("pieces of {} cover {} of {} bytes", file.path, end, file.size);
}

std::string Manifest::text() const {
  // One line per file and written here rather than by the JSON library: there are many pieces.
  std::string body = fmt::format(
      "{{\"format\": \"{}\", \"version\": {}, \"hash\": \"xxh3-64\", \"global_step\": "
      "{},\n\"files\": [",
      kFormat, kVersion, global_step);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto& file = files[i];
    ZT_ASSERT(is_plain_path(file.path), "name of a checkpoint file");
    body += fmt::format("{}\n{{\"path\": \"{}\", \"size\": {}, \"pieces\": [", i == 0 ? "" : ",",
                        file.path, file.size);
    for (std::size_t p = 0; p < file.pieces.size(); ++p) {
      const auto& piece = file.pieces[p];
      body += fmt::format("{}[{}, {}, \"{}\"]", p == 0 ? "" : ", ", piece.begin, piece.end,
                          hex(piece.hash));
    }
    body += "]}";
  }
  body += "\n]}";
  return std::string(kPrefix) + hex(hash_text(body)) + std::string(kMiddle) + body +
         std::string(kSuffix);
}

Manifest Manifest::parse(const std::string& text, const std::string& where) {
  const auto root = json::parse(open_envelope(text, where), nullptr, false);
  if (root.is_discarded() || !root.is_object() || root.value("format", json()) != kFormat) {
    fail(where, "is not a manifest of zerotrain");
  }
  if (const auto version = root.value("version", json()); version != kVersion) {
    fail(where, fmt::format("got format version {}, expected {}", version.dump(), kVersion));
  }
  Manifest manifest;
  manifest.global_step = parse_size(where, root.value("global_step", json()));
  const auto files = root.value("files", json());
  if (!files.is_array() || files.empty()) fail(where, "lists no files");
  for (const auto& file : files) manifest.files.push_back(parse_file(where, file));
  for (std::size_t i = 1; i < manifest.files.size(); ++i) {
    if (manifest.files[i - 1].path >= manifest.files[i].path) {
      fail(where, "lists '" + manifest.files[i].path + "' out of order or twice");
    }
  }
  return manifest;
}

Manifest Manifest::read(const std::string& folder) {
  const auto path = folder + "/" + kManifestName;
  return parse(read_text(path, kMaxText), path);
}

}  // namespace zt::checkpoint
