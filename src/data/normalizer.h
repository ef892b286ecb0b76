#pragma once

#include <string>
#include <string_view>

namespace zt::data {

/// Unicode normalisation form C, as the `tokenizers` package computes it (its tables are older than
/// utf8proc's: younger combining marks are not reordered).
/// Returns `text` itself when it is in NFC already, else a view of `storage`, which is overwritten.
/// `text` must be valid UTF-8. Thread: any number at once. Source: Unicode Standard Annex 15.
std::string_view normalize_nfc(std::string_view text, std::string& storage);

}  // namespace zt::data
