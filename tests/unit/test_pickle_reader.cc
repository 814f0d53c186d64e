#include <random>
#include <string>

#include <fmt/format.h>

#include "io/archive/pickle_reader.h"
#include "io/archive/pickle_writer.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::string_literals;

Result<PickleTree> read(const std::string& pickle, const ReadLimits& limits = {}) {
  ByteVector bytes;
  append_text(bytes, pickle);
  return read_pickle(std::move(bytes), limits);
}

TEST(PickleReader, constants_are_read) {
  PickleWriter writer;
  writer.mark();
  writer.none();
  writer.boolean(true);
  for (const int64_t value : {0L, 255L, 256L, 65536L, -1L, INT64_MAX, INT64_MIN})
    writer.integer(value);
  writer.real(-2.5);
  writer.text("h\u00e9");
  writer.tuple();
  const auto tree = read_pickle(writer.finish());
  ASSERT_OK(tree);
  const auto items = tree->items(tree->root());
  ASSERT_EQ(items.size(), 11u);
  EXPECT_EQ(tree->kind(items[0]), PickleKind::none);
  EXPECT_TRUE(tree->boolean(items[1]));
  EXPECT_EQ(tree->integer(items[4]), 256);
  EXPECT_EQ(tree->integer(items[6]), -1);
  EXPECT_EQ(tree->integer(items[7]), INT64_MAX);
  EXPECT_EQ(tree->integer(items[8]), INT64_MIN);
  EXPECT_EQ(tree->real(items[9]), -2.5);
  EXPECT_EQ(tree->text(items[10]), "h\u00e9");
}

TEST(PickleReader, integers_over_64_bits_keep_their_digits) {
  const auto tree = read("\x80\x02\x8a\x09\0\0\0\0\0\0\0\0\x01."s);
  ASSERT_OK(tree);
  EXPECT_EQ(tree->kind(tree->root()), PickleKind::big_integer);
  EXPECT_EQ(tree->text(tree->root()), "\0\0\0\0\0\0\0\0\x01"s);
}

TEST(PickleReader, batches_of_items_are_joined) {
  const auto tree = read(
      "\x80\x02](K\x01K\x02"
      "e(K\x03"
      "eK\x04"
      "a."s);
  ASSERT_OK(tree);
  std::vector<int64_t> values;
  for (const ValueId item : tree->items(tree->root())) values.push_back(tree->integer(item));
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4));
}

TEST(PickleReader, a_call_is_a_node_that_shows_its_name) {
  const auto tree = read(
      "\x80\x02"
      "cposix\nsystem\nX\x02\0\0\0ls\x85R}X\x01\0\0\0aK\x07sb."s);
  ASSERT_OK(tree);
  const ValueId call = tree->root();
  ASSERT_EQ(tree->kind(call), PickleKind::call);
  EXPECT_EQ(tree->callee_name(call), "posix.system");
  EXPECT_EQ(tree->text(tree->items(tree->argument(call))[0]), "ls");
  ASSERT_EQ(tree->states(call).size(), 1u);
  EXPECT_EQ(tree->items(tree->states(call)[0]).size(), 2u);
}

TEST(PickleReader, names_of_python_2_are_brought_up_to_date) {
  const auto tree = read(
      "\x80\x02"
      "c__builtin__\nset\n."s);
  ASSERT_OK(tree);
  EXPECT_EQ(tree->text(tree->root()), "builtins.set");
  const auto later = read(
      "\x80\x04\x8c\x08"
      "builtins\x8c\x03set\x93."s);
  ASSERT_OK(later);
  EXPECT_EQ(later->text(later->root()), "builtins.set");
  const auto renamed = read(
      "\x80\x02"
      "c__builtin__\nxrange\n."s);
  ASSERT_OK(renamed);
  EXPECT_EQ(renamed->text(renamed->root()), "builtins.range");
}

std::string set_of(const std::string& list) { return "c__builtin__\nset\n" + list + "\x85R"; }

TEST(PickleReader, what_early_protocols_call_for_is_the_value_itself) {
  const std::string encoded = "c_codecs\nencode\nX\x03\0\0\0a\xc3\xbfX\x06\0\0\0latin1\x86R"s;
  const auto tree = read("\x80\x02(" + encoded +
                         set_of("](K\x01K\x02"
                                "e") +
                         "c__builtin__\nfrozenset\n)R"
                         "c__builtin__\nbytes\n)R"
                         "c__builtin__\nbytearray\n" +
                         encoded + "\x85Rt."s);
  ASSERT_OK(tree);
  const auto items = tree->items(tree->root());
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(tree->kind(items[0]), PickleKind::bytes);
  EXPECT_EQ(tree->text(items[0]), "a\xff");
  EXPECT_EQ(tree->kind(items[1]), PickleKind::set);
  EXPECT_EQ(tree->items(items[1]).size(), 2u);
  EXPECT_EQ(tree->kind(items[2]), PickleKind::frozenset);
  EXPECT_EQ(tree->kind(items[3]), PickleKind::bytes);
  EXPECT_EQ(tree->text(items[3]), "");
  EXPECT_EQ(tree->kind(items[4]), PickleKind::bytearray);
  EXPECT_EQ(tree->text(items[4]), "a\xff");
}

TEST(PickleReader, calls_with_what_makes_no_such_value_stay_calls) {
  for (const std::string& call :
       {"c_codecs\nencode\nX\x02\0\0\0\xc4\x80X\x06\0\0\0latin1\x86R"s,  // beyond Latin-1
        "c_codecs\nencode\nX\x01\0\0\0\xc3X\x06\0\0\0latin1\x86R"s,      // cut off
        "c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0utf-8\x86R"s, "c__builtin__\nbytes\nK\x05\x85R"s,
        set_of("N"s)}) {
    const auto tree = read("\x80\x02" + call + ".");
    ASSERT_OK(tree);
    EXPECT_EQ(tree->kind(tree->root()), PickleKind::call);
  }
}

// Else a few bytes for each call would hold as much as its argument.
TEST(PickleReader, calls_of_one_argument_give_one_value) {
  const std::string encode = "c_codecs\nencode\nh\x01X\x06\0\0\0latin1\x86R"s;
  const auto tree = read("\x80\x02(]q\x00K\x01\x61X\x02\0\0\0\xc3\xbfq\x01"s + set_of("h\x00"s) +
                         set_of("h\x00"s) + encode + encode + "t.");
  ASSERT_OK(tree);
  const auto items = tree->items(tree->root());
  ASSERT_EQ(items.size(), 6u);
  EXPECT_EQ(tree->kind(items[2]), PickleKind::set);
  EXPECT_EQ(items[2], items[3]);
  EXPECT_EQ(tree->text(items[4]), "\xff");
  EXPECT_EQ(items[4], items[5]);
}

TEST(PickleReader, a_container_may_hold_itself) {
  const auto tree = read(
      "\x80\x02]q\x00h\x00"
      "a."s);
  ASSERT_OK(tree);
  EXPECT_THAT(tree->items(tree->root()), ElementsAre(tree->root()));
}

TEST(PickleReader, bytes_behind_stop_are_ignored) { EXPECT_OK(read("\x80\x02N.garbage"s)); }

TEST(PickleReader, a_damaged_pickle_names_the_offset) {
  for (const std::string& pickle : {""s,
                                    "\x80"s,
                                    "\x80\x02"s,
                                    "\x80\x02N"s,
                                    "\x80\x02."s,
                                    "\x80\x02NN."s,
                                    "\x80\x02(N."s,
                                    "\x80\x02t."s,
                                    "\x80\x02R."s,
                                    "\x80\x02K"s,
                                    "\x80\x02X\xff\xff\xff\xffx."s,
                                    "\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffx."s,
                                    "\x80\x02h\x00."s,
                                    "\x80\x02Nr\xff\xff\xff\xff."s,
                                    "\x80\x02(Nb."s,
                                    "\x80\x02NNb."s,
                                    "\x80\x02K\x01Na."s,
                                    "\x80\x02}(Nu."s,
                                    "\x80\x02"
                                    "cno\nend"s,
                                    "\x80\x02"
                                    "ca\nb\nNR."s}) {
    const auto tree = read(pickle);
    EXPECT_THAT(tree, IsStatus(StatusCode::corruption, HasSubstr("damaged at byte")));
  }
  EXPECT_THAT(read("\x80\x02\xff."s), IsStatus(StatusCode::corruption, HasSubstr("0xff")));
}

TEST(PickleReader, opcodes_outside_the_allow_list_are_unsupported) {
  for (const char opcode : "IFLSVPgpio\x82\x83\x84\x97"s) {
    EXPECT_THAT(read("\x80\x02"s + opcode + "\n."),
                IsStatus(StatusCode::unsupported, HasSubstr("protocol 2")));
  }
  EXPECT_THAT(read("I1\n."), IsStatus(StatusCode::unsupported,
                                      HasSubstr("0x49, which is not read: it belongs to")));
  EXPECT_THAT(read("\x80\x06N."s), IsStatus(StatusCode::unsupported, HasSubstr("newer")));
}

TEST(PickleReader, limits_hold) {
  ReadLimits limits;
  limits.pickle_value_count = 10;
  std::string many = "\x80\x02";
  for (int i = 0; i < 11; ++i) many += "]";
  EXPECT_THAT(read(many + ".", limits), IsStatus(StatusCode::unsupported, HasSubstr("values")));
  limits.pickle_bytes = 5;
  EXPECT_THAT(read(many, limits), IsStatus(StatusCode::unsupported, HasSubstr("bytes")));
}

// Whatever the bytes, it ends in a value or an error: the sanitizers look on.
TEST(PickleReader, random_bytes_never_break_it) {
  const std::string opcodes =
      "\x80\x02\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94"
      "N(.tl]}aseuRbcQqrhj012KMJGXTUBC\n\x01\x03"s +
      std::string(2, '\0');
  std::mt19937 random(7);
  size_t sound_count = 0;
  constexpr size_t kRuns = 100'000;
  for (size_t run = 0; run < kRuns; ++run) {
    std::string pickle = "\x80\x02";
    for (size_t i = random() % 40; i > 0; --i) pickle += opcodes[random() % opcodes.size()];
    sound_count += read(pickle + ".").is_ok() ? 1 : 0;
  }
  fmt::print("random pickles: {}, of which {} sound\n", kRuns, sound_count);
  EXPECT_GT(sound_count, 500u);
}

}  // namespace
}  // namespace tintype
