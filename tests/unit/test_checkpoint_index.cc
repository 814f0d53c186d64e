#include <cmath>
#include <limits>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/directory/checkpoint_index.h"
#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/metrics_file.h"

namespace tintype {
namespace {

using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

CheckpointEntry entry(uint64_t epoch, double score) {
  return {.stem = stem_of("train", epoch),
          .stage = "train",
          .epoch = epoch,
          .sequence = epoch + 10,
          .score = score,
          .metrics = {{"loss", score}, {"accuracy", 0.5}},
          .full = {.size_bytes = 1ull << 40, .tail_crc32 = 0xFFFFFFFFu},
          .light = {.size_bytes = 7, .tail_crc32 = 0}};
}

CheckpointIndex sample() {
  CheckpointIndex index;
  index.run_id = "0123456789abcdef";
  index.main_metric = "loss";
  index.is_metric_minimized = false;
  index.save_n_best = 3;
  index.next_sequence = 15;
  index.kept = {entry(3, 0.1), entry(1, kNan)};
  index.best = entry(3, 0.1);
  index.last = entry(4, kInfinity);
  index.resumed_at = {.stage = "train", .epoch = 2};
  index.ended_stages = {{.stage = "warmup", .epoch = 2, .sequence = 5}};
  index.evicting = {entry(2, -kInfinity)};
  return index;
}

// parse_index(text) with one field of the document replaced by `value` (a JSON text).
Status parse_with(const std::string& pointer, const std::string& value) {
  nlohmann::json json = nlohmann::json::parse(render_index(sample()));
  json[nlohmann::json::json_pointer(pointer)] = nlohmann::json::parse(value);
  return parse_index(json.dump()).status();
}

TEST(CheckpointIndex, everything_survives_the_round_trip) {
  const std::string text = render_index(sample());
  const Result<CheckpointIndex> parsed = parse_index(text);
  ASSERT_TRUE(parsed.is_ok()) << parsed.status().to_string();
  EXPECT_EQ(render_index(*parsed), text);
  EXPECT_EQ(parsed->run_id, "0123456789abcdef");
  EXPECT_FALSE(parsed->is_metric_minimized);
  ASSERT_EQ(parsed->kept.size(), 2u);
  EXPECT_EQ(parsed->kept[0].stem, "train.3");
  EXPECT_EQ(parsed->kept[0].full, entry(3, 0).full);
  EXPECT_TRUE(std::isnan(parsed->kept[1].score));
  EXPECT_EQ(parsed->last->score, kInfinity);
  EXPECT_EQ(parsed->last->metrics[1].first, "accuracy") << "the user's order";
  EXPECT_EQ(parsed->evicting[0].score, -kInfinity);
  EXPECT_EQ(parsed->resumed_at->epoch, 2u);
  EXPECT_EQ(parsed->ended_stages[0].stage, "warmup");
}

// In linear time: a file may come from anywhere.
TEST(CheckpointIndex, any_number_of_metrics_is_read_in_order) {
  std::string text = render_index(sample());
  std::string metrics;
  constexpr int kCount = 500'000;
  for (int i = 0; i < kCount; ++i) metrics += "\"m" + std::to_string(i) + "\": 1, ";
  text.insert(text.find("\"loss\": 0.1"), metrics);
  const Result<CheckpointIndex> parsed = parse_index(text);
  ASSERT_TRUE(parsed.is_ok()) << parsed.status().to_string();
  ASSERT_EQ(parsed->kept[0].metrics.size(), kCount + 2u);
  EXPECT_EQ(parsed->kept[0].metrics[kCount - 1].first, "m499999");
  EXPECT_EQ(parsed->kept[0].metrics[kCount].first, "loss");
}

TEST(CheckpointIndex, a_key_that_stands_twice_is_corruption) {
  const std::string text = render_index(sample());
  for (const std::string key : {"\"run_id\": ", "\"epoch\": ", "\"loss\": "}) {
    std::string damaged = text;
    damaged.insert(text.find(key), key + "1, ");
    EXPECT_EQ(parse_index(damaged).status().code(), StatusCode::corruption) << key;
    EXPECT_THAT(parse_index(damaged).status().to_string(), HasSubstr("a key twice"));
  }
}

TEST(CheckpointIndex, the_form_is_named_where_it_is_not_plain) {
  CheckpointIndex index = sample();
  EXPECT_EQ(render_index(index).find("form\": \"p"), std::string::npos);
  for (const FileForm form : {FileForm::zstd, FileForm::planes}) {
    index.form = form;
    const Result<CheckpointIndex> parsed = parse_index(render_index(index));
    ASSERT_TRUE(parsed.is_ok()) << parsed.status().to_string();
    EXPECT_EQ(parsed->form, form);
  }
  for (const char* other : {"\"plain\"", "\"lz4\"", "1", "null"}) {
    EXPECT_EQ(parse_with("/form", other).code(), StatusCode::corruption) << other;
  }
}

TEST(CheckpointIndex, an_empty_index_survives) {
  CheckpointIndex empty;
  const Result<CheckpointIndex> parsed = parse_index(render_index(empty));
  ASSERT_TRUE(parsed.is_ok()) << parsed.status().to_string();
  EXPECT_FALSE(parsed->best.has_value());
  EXPECT_TRUE(parsed->kept.empty());
}

TEST(CheckpointIndex, doubles_survive_to_the_last_bit) {
  std::mt19937_64 random(20);
  for (int i = 0; i < 2000; ++i) {
    const double value = std::bit_cast<double>(random());
    CheckpointIndex index = sample();
    index.best->score = value;
    const Result<CheckpointIndex> parsed = parse_index(render_index(index));
    ASSERT_TRUE(parsed.is_ok());
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(parsed->best->score));
    } else {
      EXPECT_EQ(std::bit_cast<uint64_t>(parsed->best->score), std::bit_cast<uint64_t>(value));
    }
  }
}

TEST(CheckpointIndex, a_metric_name_that_is_no_text_is_written_as_text) {
  CheckpointIndex index = sample();
  index.best->metrics = {{"bad\xff", 1.0}, {"quote\"\n", 2.0}};
  const Result<CheckpointIndex> parsed = parse_index(render_index(index));
  ASSERT_TRUE(parsed.is_ok());
  EXPECT_EQ(parsed->best->metrics[1].first, "quote\"\n");
}

TEST(CheckpointIndex, garbage_is_corruption) {
  const std::string good = render_index(sample());
  for (const std::string& text : {std::string(), std::string("null"), std::string("[]"),
                                  std::string("{}"), std::string("\0\0\0\0", 4), good + "x",
                                  std::string(100000, '['), std::string("{\"format\":1}")}) {
    EXPECT_EQ(parse_index(text).status().code(), StatusCode::corruption) << text.substr(0, 40);
  }
  EXPECT_EQ(parse_index(std::string(kIndexLimitBytes + 1, ' ')).status().code(),
            StatusCode::corruption);
}

TEST(CheckpointIndex, every_truncation_is_corruption) {
  const std::string good = render_index(sample());
  for (size_t length = 0; length + 2 < good.size(); length += 3) {
    EXPECT_EQ(parse_index(good.substr(0, length)).status().code(), StatusCode::corruption);
  }
}

TEST(CheckpointIndex, fields_that_do_not_fit_are_named) {
  const std::pair<const char*, const char*> cases[] = {{"/run_id", "7"},
                                                       {"/minimize_metric", "1"},
                                                       {"/save_n_best", "4294967296"},
                                                       {"/save_n_best", "-1"},
                                                       {"/next_sequence", "1.5"},
                                                       {"/kept", "{}"},
                                                       {"/best", "[]"},
                                                       {"/last", "\"train.3\""},
                                                       {"/ended_stages/0/epoch", "null"},
                                                       {"/kept/0/epoch", "0"},
                                                       {"/kept/0/stage", "\"a/b\""},
                                                       {"/kept/0/stage", "\"../x\""},
                                                       {"/kept/0/stage", "\"\""},
                                                       {"/kept/0/score", "\"fast\""},
                                                       {"/kept/0/metrics", "[1]"},
                                                       {"/kept/0/metrics/loss", "{}"},
                                                       {"/kept/0/full", "null"},
                                                       {"/evicting", "null"},
                                                       {"/resumed_at", "3"},
                                                       {"/resumed_at/stage", "\"\""},
                                                       {"/kept/0/light/tail_crc32", "4294967296"},
                                                       {"/next_sequence", "18446744073709551615"}};
  for (const auto& [pointer, value] : cases) {
    const Status status = parse_with(pointer, value);
    EXPECT_EQ(status.code(), StatusCode::corruption) << pointer << " = " << value;
    EXPECT_THAT(status.to_string(), HasSubstr("bad or missing")) << pointer;
  }
}

TEST(CheckpointIndex, one_stem_twice_is_corruption) {
  CheckpointIndex index = sample();
  index.kept.push_back(index.kept.front());
  EXPECT_EQ(parse_index(render_index(index)).status().code(), StatusCode::corruption);
}

TEST(CheckpointIndex, a_newer_version_is_unsupported) {
  const Status status = parse_with("/version", "2");
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_THAT(status.to_string(), HasSubstr("version 2"));
}

TEST(CheckpointIndex, random_damage_never_does_more_than_fail) {
  std::mt19937 random(4);
  const std::string good = render_index(sample());
  size_t rejected = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (int hits = 0; hits < 3; ++hits) text[random() % text.size()] = static_cast<char>(random());
    if (!parse_index(text).is_ok()) ++rejected;
  }
  EXPECT_GT(rejected, 2000u);
}

TEST(MetricsFile, has_best_last_and_the_kept_stems_best_first) {
  const std::string text = render_metrics(sample());
  const auto json = nlohmann::ordered_json::parse(text);
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"best", "last", "train.3", "train.1"}));
  EXPECT_EQ(json["best"]["loss"], 0.1);
  EXPECT_THAT(text, HasSubstr("{\n  \"best\": {\n    \"loss\": 0.1,\n    \"accuracy\": 0.5"));
}

TEST(MetricsFile, is_strict_json_where_metrics_are_not_finite) {
  const std::string text = render_metrics(sample());
  EXPECT_THAT(text, HasSubstr("\"loss\": null"));
  EXPECT_THAT(text, testing::Not(HasSubstr("nan")));
  EXPECT_THAT(text, testing::Not(HasSubstr("inf")));
}

TEST(MetricsFile, is_an_empty_object_before_the_first_epoch) {
  EXPECT_EQ(render_metrics(CheckpointIndex{}), "{}\n");
}

TEST(CheckpointLayout, names_are_built_and_taken_apart_exactly) {
  EXPECT_EQ(full_name(stem_of("train", 10), FileForm::plain), "train.10_full.pth");
  EXPECT_EQ(light_name(stem_of("train", 10), FileForm::plain), "train.10.pth");
  EXPECT_EQ(full_name(kBestBase, FileForm::plain), "best_full.pth");
  const auto full = parse_numbered_name("a.b-1.12_full.pth");
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->stage, "a.b-1");
  EXPECT_EQ(full->epoch, 12u);
  EXPECT_TRUE(full->is_full);
  ASSERT_TRUE(parse_numbered_name("train.1.pth").has_value());
  EXPECT_FALSE(parse_numbered_name("train.1.pth")->is_full);
}

TEST(CheckpointLayout, compressed_forms_have_names_of_their_own) {
  EXPECT_EQ(full_name(kBestBase, FileForm::planes), "best_full.pth.ttz");
  EXPECT_EQ(light_name(kLastBase, FileForm::zstd), "last.pth.zst");
  for (const FileForm form : {FileForm::plain, FileForm::zstd, FileForm::planes}) {
    const auto name = parse_numbered_name(full_name("train.3", form));
    ASSERT_TRUE(name.has_value());
    EXPECT_TRUE(name->stem == "train.3" && name->is_full && name->form == form);
    EXPECT_TRUE(is_link_name(light_name(kBestBase, form)));
    EXPECT_TRUE(is_link_name(full_name(kLastBase, form)));
  }
  for (const char* name :
       {"best.PTH.ttz", "best.pth.TTZ", "best.ttz", "bests.pth", "train.1.pth"}) {
    EXPECT_FALSE(is_link_name(name)) << name;
  }
}

TEST(CheckpointLayout, other_names_are_not_ours) {
  for (const char* name :
       {"best.pth", "last_full.pth", "train.pth", "train.01.pth", "train.0.pth", "train.+1.pth",
        "train.1.exception_KeyboardInterrupt.pth", "train.1_full_full.pth", "train.1.pth.ZST",
        ".train.1.pth", "train.18446744073709551616.pth", "train.1 .pth", "best.1.pth",
        "x_full.1.pth", "train.-1.pth", ".pth", "_full.pth", "train..pth", ".1.pth"}) {
    EXPECT_FALSE(parse_numbered_name(name).has_value()) << name;
  }
}

TEST(CheckpointLayout, stage_names_that_cannot_be_file_names_are_refused_with_the_rule) {
  for (const std::string& stage :
       {std::string(), std::string("a/b"), std::string("../up"), std::string(".hidden"),
        std::string("-x"), std::string("a b"), std::string("a\nb"), std::string("a\0b", 3),
        std::string("b\xc3\xa4r"), std::string("best"), std::string("last"),
        std::string("best_full"), std::string("train_full"), std::string(129, 'a')}) {
    const Status status = check_stage_name(stage);
    EXPECT_EQ(status.code(), StatusCode::invalid_argument) << stage;
    EXPECT_THAT(status.to_string(), HasSubstr("1 to 128 letters"));
  }
  for (const char* stage : {"train", "stage1", "1", "Stage-2.a_b", "best2", "full"}) {
    EXPECT_TRUE(check_stage_name(stage).is_ok()) << stage;
  }
  EXPECT_TRUE(check_stage_name(std::string(128, 'a')).is_ok());
}

TEST(CheckpointLayout, the_metrics_file_must_be_json) {
  EXPECT_TRUE(check_metrics_filename("_metrics.json").is_ok());
  for (const char* name : {"_metrics.yml", "metrics", ".json", "", "a/b.json", ".tintype.json"}) {
    EXPECT_EQ(check_metrics_filename(name).code(), StatusCode::invalid_argument) << name;
  }
}

}  // namespace
}  // namespace tintype
