#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/test_folder.h"
#include "data/loader.h"

namespace zt::data {
namespace {

namespace fs = std::filesystem;
using config::DataConfig;
using Ids = std::vector<std::int64_t>;

class PipelineTest : public testing::Test {
 protected:
  PipelineTest() {
    fs::create_directories(root_ / "train");
    log::init(0, log::Level::error);
  }

  void write(const std::string& name, const std::string& text) const { folder_.write(name, text); }
  DataConfig options(std::int64_t block_size) const {
    DataConfig result;
    result.train_file_dir = (root_ / "train").string();
    result.block_size = block_size;
    result.validation_split_percentage = 0;
    result.preprocessing_num_workers = 2;
    return result;
  }
  DatasetRequest request(const Tokenizer* tokenizer = nullptr) const {
    return {root_ / "cache", tokenizer, true, false, true};
  }
  fs::path cache_file() const { return fs::directory_iterator(root_ / "cache")->path(); }
  std::string message(const std::function<void()>& call) const {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  TestFolder folder_;
  const fs::path root_ = folder_.root();
};

Ids ids_of(const Dataset& dataset, std::int64_t block) {
  return read_batch(dataset, std::vector{block}, 1).input_ids;
}

Tokenizer example_tokenizer() {
  return Tokenizer::load(fs::path(ZT_SOURCE_DIR) / "examples/tiny_qwen3");
}

TEST_F(PipelineTest, PreTokenisedRowsAreTakenAsTheyAre) {
  write("train/a.jsonl",
        "{\"input_ids\": [1, 2, 3], \"labels\": [-100, 2, 9]}\n\n{\"input_ids\": [4, 5, 6]}\n");
  const Datasets sets = open_datasets(options(3), request());
  ASSERT_EQ(sets.train->size(), 2);
  const MicroBatch batch = read_batch(*sets.train, std::vector<std::int64_t>{0, 1}, 3);
  EXPECT_EQ(batch.input_ids, (Ids{1, 2, 3, 4, 5, 6, 0, 0, 0}));
  EXPECT_EQ(batch.labels, (Ids{2, 9, -100, 5, 6, -100, -100, -100, -100}));
  EXPECT_EQ(batch.document_starts, (std::vector<std::int32_t>{0, 3, 6, 9}));
  EXPECT_EQ(batch.target_tokens, 4);
  EXPECT_EQ(batch.samples, 2);
  EXPECT_EQ(sets.train->max_id(), 9) << "a label beyond the vocabulary has to be found";
}

TEST_F(PipelineTest, FilesOfOtherKindsAreNamed) {
  write("train/a.jsonl", "{\"input_ids\": [1, 2]}\n");
  EXPECT_EQ(find_corpus_files(root_ / "train", "flag").not_read, "");
  for (const char* name : {"e.JSONL", "sub/b.parquet", "c.csv", "d.jsonl.gz", ".hidden"}) {
    write(std::string("train/") + name, "x");
  }
  const auto files = find_corpus_files(root_ / "train", "flag");
  EXPECT_EQ(files.paths.size(), 1U);
  EXPECT_EQ(files.not_read, "c.csv, d.jsonl.gz, e.JSONL and 1 more");
  write("tables/b.parquet", "x");
  const auto error =
      message([&] { (void)find_corpus_files(root_ / "tables", "--train_file_dir"); });
  EXPECT_NE(error.find("holds no .txt, .json or .jsonl file, but b.parquet."), std::string::npos)
      << error;
}

TEST_F(PipelineTest, BuildersWithOneProcessNumberDoNotMeetInOneFile) {
  // Machines that share a disk build the same cache, in containers with the same process number.
  std::string rows;
  for (int i = 0; i < 20000; ++i) rows += "{\"input_ids\": [" + std::to_string(i) + ", 1, 2]}\n";
  write("train/a.jsonl", rows);
  const Corpus corpus(find_corpus_files(root_ / "train", "flag"), true);
  const TokenizeOptions how{.workers = 1};
  const auto key = cache_key(corpus, how);
  const auto path = root_ / "cache" / "tokens.bin";
  std::vector<std::string> errors(4);
  std::vector<std::thread> builders;
  for (auto& error : errors) {
    builders.emplace_back([&] {
      error = message([&] {
        build_token_cache(corpus, how, key, path);
        if (!TokenCache::open(path, key)) throw FileError("the cache is damaged");
      });
    });
  }
  for (auto& builder : builders) builder.join();
  EXPECT_EQ(errors, std::vector<std::string>(4, "no error"));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "cache"), {}), 1) << "files are left";
}

TEST_F(PipelineTest, PackingJoinsRowsAndKeepsDocumentStarts) {
  write("train/a.json", R"([{"input_ids": [1, 2]}, {"input_ids": []}, {"input_ids": [3, 4, 5]},
                            {"input_ids": [6]}, {"input_ids": [7, 8, 9]}])");
  DataConfig data = options(4);
  Datasets sets = open_datasets(data, request());
  ASSERT_EQ(sets.train->size(), 2);  // the tail [9] is dropped
  MicroBatch batch = read_batch(*sets.train, std::vector<std::int64_t>{0, 1}, 2);
  EXPECT_EQ(batch.input_ids, (Ids{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(batch.labels, (Ids{2, 3, 4, -100, 6, 7, 8, -100}));
  EXPECT_EQ(batch.document_starts, (std::vector<std::int32_t>{0, 2, 4, 5, 6, 8}));
  data.document_mask = true;
  sets = open_datasets(data, request());
  batch = read_batch(*sets.train, std::vector<std::int64_t>{0, 1}, 2);
  EXPECT_EQ(batch.labels, (Ids{2, -100, 4, -100, -100, -100, 8, -100}));
}

TEST_F(PipelineTest, RuleHfCutsEveryThousandRows) {
  std::string rows;
  for (int i = 0; i < 1001; ++i) rows += "{\"input_ids\": [7]}\n";
  write("train/a.jsonl", rows);
  DataConfig data = options(300);
  EXPECT_EQ(open_datasets(data, request()).train->size(), 3);
  data.packing_rule = config::PackingRule::hf;
  EXPECT_EQ(open_datasets(data, request()).train->size(), 2);  // two workers: 501 and 500 rows
  data.preprocessing_num_workers = 1;
  const Datasets sets = open_datasets(data, request());
  ASSERT_EQ(sets.train->size(), 4);  // 3 of the first thousand rows, and a short one
  EXPECT_EQ(sets.train->length(3), 1);
  data.max_train_samples = 2;
  EXPECT_EQ(open_datasets(data, request()).train->size(), 2);
}

TEST_F(PipelineTest, WithoutPackingRowsAreCutOrPadded) {
  write("train/a.jsonl", "{\"input_ids\": [1, 2, 3, 4, 5]}\n{\"input_ids\": [6, 7]}\n");
  DataConfig data = options(4);
  data.packing = false;
  const Datasets sets = open_datasets(data, request());
  const MicroBatch batch = read_batch(*sets.train, std::vector<std::int64_t>{0, 1}, 2);
  EXPECT_EQ(batch.input_ids, (Ids{1, 2, 3, 4, 6, 7, 0, 0}));
  EXPECT_EQ(batch.labels, (Ids{2, 3, 4, -100, 7, -100, -100, -100}));
}

TEST_F(PipelineTest, TextRowsAreLinesAndEndInEos) {
  const Tokenizer tokenizer = example_tokenizer();
  const std::int64_t eos = *tokenizer.eos_id();
  write("train/b/z.txt", "one\r\ntwo\rthree");
  write("train/a.txt", "\n");
  DataConfig data = options(3);
  data.packing = true;
  const Datasets sets = open_datasets(data, request(&tokenizer));
  Ids stream;
  for (std::int64_t i = 0; i < sets.train->size(); ++i) {
    for (const std::int64_t id : ids_of(*sets.train, i)) stream.push_back(id);
  }
  Ids want;
  for (const char* row : {"\n", "one\n", "two\n", "three"}) {
    for (const std::int32_t id : tokenizer.encode(row)) want.push_back(id);
    want.push_back(eos);
  }
  want.resize(want.size() / 3 * 3);
  EXPECT_EQ(stream, want);
}

TEST_F(PipelineTest, FirstRowsAreTheValidationSplit) {
  std::string rows;
  for (int i = 0; i < 50; ++i) rows += "{\"input_ids\": [" + std::to_string(i) + "]}\n";
  write("train/a.jsonl", rows);
  DataConfig data = options(1);
  data.validation_split_percentage = 5;  // 2.5 rows: half to even gives 2
  DatasetRequest both = request();
  both.want_eval = true;
  const Datasets sets = open_datasets(data, both);
  EXPECT_EQ(sets.eval->size(), 2);
  EXPECT_EQ(ids_of(*sets.eval, 1), (Ids{1}));
  EXPECT_EQ(ids_of(*sets.train, 0), (Ids{2}));
  data.validation_split_percentage = 0;
  EXPECT_NE(message([&] { open_datasets(data, both); }).find("validation_split_percentage"),
            std::string::npos);
}

TEST_F(PipelineTest, ACacheIsReusedAndADamagedOneRebuilt) {
  write("train/a.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [1, -100, 3]}\n");
  DatasetRequest follower = request();
  follower.may_build = false;
  EXPECT_NE(message([&] { open_datasets(options(3), follower); }).find("missing"),
            std::string::npos);
  open_datasets(options(3), request());
  const auto written = fs::last_write_time(cache_file());
  EXPECT_EQ(open_datasets(options(3), follower).train->size(), 1);
  open_datasets(options(3), request());
  EXPECT_EQ(fs::last_write_time(cache_file()), written);
  const std::string good = [&] {
    std::ifstream in(cache_file(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  std::mt19937 random(1);
  for (int round = 0; round < 40; ++round) {
    std::string bad = good;
    if (round % 2 == 0) {
      bad[random() % bad.size()] ^= static_cast<char>(1 + random() % 255);
    } else {
      bad.resize(random() % bad.size());
    }
    std::ofstream(cache_file(), std::ios::binary) << bad;
    EXPECT_THROW(open_datasets(options(3), follower), FileError);
    EXPECT_EQ(ids_of(*open_datasets(options(3), request()).train, 0), (Ids{1, 2, 3}));
  }
}

TEST_F(PipelineTest, MalformedRowsAreNamedAndCounted) {
  write("train/a.jsonl",
        "{\"input_ids\": [1]}\nnot json\n\n{\"txt\": \"x\"}\n{\"input_ids\": [1, -5]}\n"
        "{\"input_ids\": [1], \"labels\": [1, 2]}\n{\"text\": 3}\n{\"text\": \"a\xFF\"}\n[1]\n");
  const std::string text = message([&] { open_datasets(options(1), request()); });
  for (const char* part : {"got 7,", "a.jsonl:2: not JSON", "a.jsonl:4: neither", "a.jsonl:5: ",
                           "a.jsonl:6: 2 labels for 1 input_ids", "a.jsonl:7: `text` is not"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find("a.jsonl:8"), std::string::npos) << text;
  EXPECT_TRUE(!fs::exists(root_ / "cache") || fs::is_empty(root_ / "cache"));
}

TEST_F(PipelineTest, UselessDataGivesClearErrors) {
  const auto error = [&](const DataConfig& data) {
    return message([&] { open_datasets(data, request()); });
  };
  const auto has = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  DataConfig data = options(4);
  has(error(data), "no .txt, .json or .jsonl");
  write("train/a.txt", "");
  has(error(data), "no rows");
  write("train/b.jsonl", "{\"input_ids\": [1]}\n");
  has(error(data), "mixes two kinds");
  fs::remove(root_ / "train/a.txt");
  has(error(data), "shorter than one block: got 1 tokens");
  data.train_file_dir = (root_ / "absent").string();
  has(error(data), "--train_file_dir is not a folder");
  data.train_file_dir.clear();
  has(error(data), "--train_file_dir is not given");
}

TEST_F(PipelineTest, LinksAreFollowedOnceAndOnesThatLeadNowhereAreNamed) {
  write("train/a.jsonl", "{\"input_ids\": [1, 2]}\n");
  write("elsewhere/b.jsonl", "{\"input_ids\": [3, 4]}\n");
  fs::create_directory_symlink(root_ / "train", root_ / "train/back");
  fs::create_directory_symlink(root_ / "elsewhere", root_ / "train/more");
  fs::create_directory_symlink(root_ / "train", root_ / "elsewhere/up");
  EXPECT_EQ(open_datasets(options(2), request()).train->size(), 2);
  fs::create_symlink(root_ / "gone.jsonl", root_ / "train/gone.jsonl");
  EXPECT_NE(message([&] {
              open_datasets(options(2), request());
            }).find("gone.jsonl: got a link that leads nowhere"),
            std::string::npos);
  fs::remove(root_ / "train/gone.jsonl");
  fs::create_symlink("loop", root_ / "train/loop");
  EXPECT_EQ(open_datasets(options(2), request()).train->size(), 2);
}

TEST_F(PipelineTest, ByteOrderMarksAreSkippedInJsonAndUtf16IsNamed) {
  write("train/a.json", "\xEF\xBB\xBF[\n{\"input_ids\": [1, 2]},\n{\"input_ids\": [3, 4]}]\n");
  write("train/b.jsonl", "\xEF\xBB\xBF{\"input_ids\": [5, 6]}\r\n{\"input_ids\": [7, 8]}\r\n");
  EXPECT_EQ(open_datasets(options(2), request()).train->size(), 4);
  write("train/a.json", std::string("\xFF\xFE{\0", 4));
  EXPECT_NE(message([&] { open_datasets(options(2), request()); }).find("begins as UTF-16 does"),
            std::string::npos);
  write("train/a.json", "{\"data\": [\n{\"input_ids\": [1]}]}\n");
  write("train/b.jsonl", "{\"instruction\": \"x\", \"output\": \"y\"}\n");
  const std::string text = message([&] { open_datasets(options(2), request()); });
  EXPECT_NE(text.find("a .json file is a list of objects"), std::string::npos) << text;
  EXPECT_NE(text.find("neither `text` nor `input_ids`, but instruction, output"), std::string::npos)
      << text;
}

TEST_F(PipelineTest, DamagedJsonLinesGiveErrorsAndNeverCrash) {
  const std::string good =
      "{\"input_ids\": [1, 2, 3], \"labels\": [1, -100, 3]}\n{\"input_ids\": [4, 5]}\n";
  write("train/a.json", good);
  EXPECT_EQ(open_datasets(options(1), request()).train->size(), 5);
  std::mt19937 random(2);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    for (unsigned i = 0; i < 1 + random() % 3; ++i) {
      const std::size_t at = random() % bad.size();
      if (random() % 2 == 0)
        bad[at] = static_cast<char>(random());
      else
        bad.erase(at, random() % 10);
    }
    write("train/a.json", bad);
    try {
      open_datasets(options(1), request());
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 150);
}

TEST_F(PipelineTest, EvaluationVisitsEverySampleOnceWithEqualBatchesPerRank) {
  std::string rows;
  for (int i = 0; i < 11; ++i) rows += "{\"input_ids\": [" + std::to_string(i) + ", 0]}\n";
  write("train/a.jsonl", rows);
  const Datasets sets = open_datasets(options(2), request());
  std::vector<int> seen(11);
  for (std::int64_t rank = 0; rank < 4; ++rank) {
    const EvalLoader loader(*sets.train, 2, 4, rank);
    EXPECT_EQ(loader.num_batches(), 2);
    for (std::int64_t i = 0; i < 2; ++i) {
      const MicroBatch batch = loader.read(i);
      EXPECT_EQ(batch.target_tokens, batch.samples);
      for (std::int64_t s = 0; s < batch.samples; ++s) {
        ++seen[static_cast<std::size_t>(batch.input_ids[static_cast<std::size_t>(2 * s)])];
      }
    }
  }
  EXPECT_EQ(seen, std::vector<int>(11, 1));
}

TEST(SamplerTest, StepsOfAllRanksCoverAnEpochAndFillTheTailFromItsStart) {
  const Sampler sampler(
      {.num_samples = 21, .per_device_batch = 2, .world = 4, .accumulation = 2, .num_epochs = 2.0});
  EXPECT_EQ(sampler.updates_per_epoch(), 2);
  EXPECT_EQ(sampler.total_steps(), 4);
  EXPECT_DOUBLE_EQ(sampler.epoch_at(1), 2.0 / 3);
  EXPECT_DOUBLE_EQ(sampler.epoch_at(2), 1.0);
  EXPECT_EQ(sampler.plan_step(1, 0).micro.size(), 1u);  // the incomplete last window
  const auto order = torch_randperm(21, 43);
  std::vector<std::int64_t> visited(24);
  for (std::int64_t step = 2; step < 4; ++step) {
    for (std::int64_t rank = 0; rank < 4; ++rank) {
      const StepPlan plan = sampler.plan_step(step, rank);
      EXPECT_EQ(plan.epoch, 1);
      for (std::size_t m = 0; m < plan.micro.size(); ++m) {
        const auto round = static_cast<std::size_t>((step - 2) * 2) + m;
        for (std::size_t i = 0; i < 2; ++i) {
          visited[(round * 4 + static_cast<std::size_t>(rank)) * 2 + i] = plan.micro[m][i];
        }
      }
    }
  }
  auto want = order;
  want.insert(want.end(), order.begin(), order.begin() + 3);
  EXPECT_EQ(visited, want);
}

TEST(SamplerTest, OneRankHasAShortLastBatchAndDropLastDropsIt) {
  SamplerOptions options{
      .num_samples = 5, .per_device_batch = 2, .strategy = config::Sampling::sequential};
  EXPECT_EQ(Sampler(options).plan_step(2, 0).micro[0], (Ids{4}));
  options.drop_last = true;
  EXPECT_EQ(Sampler(options).updates_per_epoch(), 2);
  options.per_device_batch = 6;
  EXPECT_THROW(Sampler{options}, ConfigError);
}

}  // namespace
}  // namespace zt::data
