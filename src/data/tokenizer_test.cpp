#include "data/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "data/bpe.h"
#include "data/normalizer.h"
#include "data/pretokenizer.h"
#include "data/utf8.h"
#include "data/vocab_folder.h"

namespace zt::data {
namespace {

using Json = nlohmann::json;

constexpr const char* kQwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// A Qwen-like tokenizer: 256 bytes, `ab` (256), `abab` (257), `<|end|>` (258).
Json tiny_tokenizer() {
  Json vocab;
  const auto characters = byte_level_characters();
  for (std::size_t b = 0; b < 256; ++b) {
    std::string text;
    append_utf8(characters[b], text);
    vocab[text] = b;
  }
  vocab["ab"] = 256;
  vocab["abab"] = 257;
  return {{"added_tokens",
           {{{"id", 258}, {"content", "<|end|>"}, {"special", true}, {"normalized", false}}}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"},
               {"pattern", {{"Regex", kQwen}}},
               {"behavior", "Isolated"},
               {"invert", false}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", {"ab", "ab"}}}}}};
}

Tokenizer load_tiny() {
  return Tokenizer::parse(tiny_tokenizer().dump(),
                          R"({"eos_token": {"content": "<|end|>"}, "model_max_length": 1e30})",
                          "t");
}

using Ids = std::vector<std::int32_t>;

TEST(TokenizerTest, MergesByRankAndCutsAddedTokensFirst) {
  const Tokenizer tokenizer = load_tiny();
  EXPECT_EQ(tokenizer.encode("ababab<|end|>ab"), (Ids{257, 256, 258, 256}));
  EXPECT_EQ(tokenizer.eos_id(), 258);
  EXPECT_EQ(tokenizer.vocab_size(), 259);
  EXPECT_FALSE(tokenizer.model_max_length().has_value());
  EXPECT_EQ(tokenizer.decode(Ids{257, 258, 0xC3, 256, 9999, -1}),
            "abab<|end|>\xEF\xBF\xBD"
            "ab");
  EXPECT_EQ(tokenizer.decode(Ids{257, 258}, true), "abab");
}

TEST(TokenizerTest, NamesTheOffsetOfBytesThatAreNotUtf8) {
  const Tokenizer tokenizer = load_tiny();
  try {
    tokenizer.encode("abc\xFFxyz");
    FAIL();
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("0xFF at byte offset 3"), std::string::npos);
  }
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "abcdefgh\xE2\x82"}) {
    EXPECT_THROW(tokenizer.encode(bad), FileError) << bad;
  }
}

TEST(TokenizerTest, TokenizerConfigAddsTokensAndOverridesTheirFlags) {
  const Tokenizer tokenizer = Tokenizer::parse(
      tiny_tokenizer().dump(),
      R"({"added_tokens_decoder": {"258": {"content": "<|end|>", "rstrip": true, "special": true},
                                   "259": {"content": "<x>", "special": true}}})",
      "t");
  EXPECT_EQ(tokenizer.encode("ab<|end|>  ab<x>"), (Ids{256, 258, 256, 259}));
}

TEST(TokenizerTest, RefusesWhatItCannotReproduceByName) {
  const auto message = [](auto change) -> std::string {
    Json json = tiny_tokenizer();
    change(json);
    try {
      Tokenizer::parse(json.dump(), "", "t");
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  const auto has = [&](const std::string& text, const char* word) {
    EXPECT_NE(text.find(word), std::string::npos) << text;
  };
  has(message([](Json& j) { j["normalizer"]["type"] = "NFKC"; }), "NFKC");
  has(message([](Json& j) { j["model"]["type"] = "Unigram"; }), "Unigram");
  has(message([](Json& j) { j["model"]["byte_fallback"] = true; }), "byte_fallback");
  has(message([](Json& j) { j["model"]["dropout"] = 0.1; }), "dropout");
  has(message([](Json& j) { j["decoder"]["type"] = "Metaspace"; }), "Metaspace");
  has(message([](Json& j) { j["pre_tokenizer"] = {{"type", "Whitespace"}}; }), "Whitespace");
  has(message([](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x+"; }),
      "x+");
  has(message([](Json& j) { j["post_processor"] = {{"type", "BertProcessing"}}; }), "Bert");
  has(message([](Json& j) { j["added_tokens"][0]["id"] = 300; }), "300");
}

TEST(TokenizerTest, DamagedFilesGiveErrorsAndNeverCrash) {
  const std::string good = tiny_tokenizer().dump();
  std::mt19937 random(5);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    for (unsigned i = 0; i < 1 + random() % 4; ++i) {
      const std::size_t at = random() % bad.size();
      switch (random() % 3) {
        case 0:
          bad[at] = static_cast<char>(random());
          break;
        case 1:
          bad.erase(at, random() % 40);
          break;
        default:
          bad.insert(at, good.substr(random() % good.size(), random() % 20));
      }
    }
    try {
      Tokenizer::parse(bad, "", "fuzz").encode("abab x");
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 200);
}

TEST(TokenizerTest, AnIdIsAWholeNumberOfInt32) {
  for (const char* id : {"5.9e66", "-1", "2147483648", "18446744073709551615", "1.0", "\"1\""}) {
    Json bad = tiny_tokenizer();
    bad["model"]["vocab"]["a"] = Json::parse(id);
    std::string said = "accepted";
    try {
      Tokenizer::parse(bad.dump(), "", "t");
    } catch (const FileError& error) {
      said = error.what();
    }
    EXPECT_NE(said.find("as the id of a token, expected 0 to 2147483647"), said.npos) << said;
  }
}

TEST(TokenizerTest, ALengthThatIsNoneSetsNoLimit) {
  const auto length = [](const std::string& text) {
    return Tokenizer::parse(tiny_tokenizer().dump(), "{\"model_max_length\": " + text + "}", "t")
        .model_max_length();
  };
  EXPECT_EQ(length("128"), 128);
  for (const char* none : {"1e30", "-1e300", "-5"}) EXPECT_FALSE(length(none)) << none;
}

TEST(TokenizerTest, LongPiecesTakeNearLinearTime) {
  const Tokenizer tokenizer = load_tiny();
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += "ab";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer.encode(text).size(), 500'000u);
  // The quadratic way takes hours; a minute allows for any machine and sanitizer.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::minutes(1));
}

/// The definition: the pair of lowest rank first, leftmost on ties, until none is left.
std::vector<std::string> merge_by_definition(const BpeParts& parts, const std::string& text) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  for (bool merged = true; merged;) {
    merged = false;
    for (const auto& [left, right] : parts.merges) {
      for (std::size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
        if (symbols[i] != left || symbols[i + 1] != right) continue;
        symbols[i] += right;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return symbols;
}

TEST(TokenizerTest, ScanAndHeapFollowTheDefinitionOfMerging) {
  BpeParts parts;
  for (const char* token : {"a", "b", "c", "bc", "aa", "aab", "ab", "abc", "ca", "aabc", "bcbc"}) {
    parts.vocab.emplace(token, static_cast<std::int32_t>(parts.vocab.size()));
  }
  parts.merges = {{"b", "c"},  {"a", "a"}, {"aa", "b"},  {"a", "b"},
                  {"a", "bc"}, {"c", "a"}, {"aa", "bc"}, {"bc", "bc"}};
  const Bpe bpe(parts);
  std::mt19937 random(3);
  for (std::size_t length = 2; length < 160; ++length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += "abc"[random() % 3];
    std::vector<std::int32_t> want, got;
    for (const auto& symbol : merge_by_definition(parts, text)) want.push_back(parts.vocab[symbol]);
    BpeScratch scratch;
    bpe.encode(text, scratch, got);
    EXPECT_EQ(got, want) << text;
    bpe.encode(text, scratch, got);  // again, from the cache
    for (std::size_t i = 0, once = want.size(); i < once; ++i) want.push_back(want[i]);
    EXPECT_EQ(got, want) << text;
  }
}

TEST(VocabFolderTest, ClassDecidesAndUnknownClassesAreRefused) {
  const std::string vocab = R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})";
  const auto with = [&](const std::string& config) {
    return Tokenizer::parse(tokenizer_json_of(vocab, "#version: 0.2\na b\n", config, "t"), config,
                            "t");
  };
  EXPECT_EQ(with("").encode("ab<|endoftext|>ba"), (Ids{2, 3, 1, 0}));
  const Tokenizer neox = with(R"({"tokenizer_class": "GPTNeoXTokenizerFast"})");
  EXPECT_EQ(neox.id_of("<|padding|>"), 4) << "numbered after the vocabulary";
  EXPECT_THROW(with(R"({"tokenizer_class": "LlamaTokenizer"})"), ConfigError);
  EXPECT_THROW(with(R"({"add_prefix_space": true})"), ConfigError);
  EXPECT_THROW(with(R"({"add_bos_token": true})"), ConfigError);
  EXPECT_THROW(tokenizer_json_of(vocab, "a b c\n", "", "t"), FileError);
  EXPECT_THROW(tokenizer_json_of("[]", "a b\n", "", "t"), FileError);
}

TEST(PretokenizerTest, WhitespaceRunsGiveTheirLastCharacterToTheNextWord) {
  const auto cut = [](SplitRule rule, std::string_view text) {
    std::vector<std::string> pieces;
    for (std::size_t pos = 0; pos < text.size();) {
      const std::size_t end = next_piece(rule, text, pos);
      pieces.emplace_back(text.substr(pos, end - pos));
      pos = end;
    }
    return pieces;
  };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(cut(SplitRule::qwen2, "a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(cut(SplitRule::qwen2, "a \n \n  b  "), (Pieces{"a", " \n \n", " ", " b", "  "}));
  EXPECT_EQ(cut(SplitRule::qwen2, "I'LL 123!!\n\nx"),
            (Pieces{"I", "'LL", " ", "1", "2", "3", "!!\n\n", "x"}));
  EXPECT_EQ(cut(SplitRule::llama3, "12345"), (Pieces{"123", "45"}));
  EXPECT_EQ(cut(SplitRule::gpt2, "I'LL 123"), (Pieces{"I", "'", "LL", " 123"}));
}

TEST(NormalizerTest, ComposesAndReordersMarks) {
  std::string storage;
  EXPECT_EQ(normalize_nfc("e\u0301", storage), "\u00e9");
  EXPECT_EQ(normalize_nfc("x\u0315\u0316y", storage), "x\u0316\u0315y");
  EXPECT_EQ(normalize_nfc("\u1112\u1161\u11ab", storage), "\ud55c");
  EXPECT_EQ(normalize_nfc("plain 文字", storage), "plain 文字");
}

}  // namespace
}  // namespace zt::data
