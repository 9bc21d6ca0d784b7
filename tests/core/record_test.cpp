#include <bit>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netcdf.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.hpp"
#include "core/record/layout.hpp"
#include "core/record/layout_json.hpp"
#include "core/record/record_file.hpp"
#include "core/record/sample_log.hpp"
#include "tests/same_bits.hpp"
#include "tests/scratch_folder.hpp"

/// HDF5 leaks the parts of a file that it could not close; the leak checker must not mind.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions();
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace manyfold {
namespace {

using Integers = std::vector<std::int64_t>;
using Numbers = std::vector<double>;
using test::same_bits;
using Texts = std::vector<std::string>;
namespace fs = std::filesystem;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const fs::path& file, std::string_view bytes) {
  fs::remove(file);  // some file systems wait for the disk when a file is emptied and written anew
  std::ofstream out(file, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Files may not grow above a size while this lives: what a full disk looks like to a program.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uint64_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit now = before_;
    now.rlim_cur = bytes;
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &now), 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

/// A log as lists, to compare.
struct Contents {
  struct Samples {
    int variable;
    std::int64_t sample;
    Integers members, extents;
    Numbers values;
  };
  std::vector<Samples> samples;
  std::vector<std::pair<Integers, Texts>> texts;
  std::vector<MemberEnd> ends;
  Attributes attributes;
  LogSummary summary;
};

Contents read_all(const fs::path& log) {
  Contents all;
  all.summary = read_log(log, {.on_samples =
                                   [&](const SampleBlock& b) {
                                     all.samples.push_back({b.variable,
                                                            b.sample,
                                                            {b.members.begin(), b.members.end()},
                                                            {b.extents.begin(), b.extents.end()},
                                                            {b.values.begin(), b.values.end()}});
                                   },
                               .on_texts =
                                   [&](const TextBlock& b) {
                                     all.texts.push_back({{b.members.begin(), b.members.end()},
                                                          {b.values.begin(), b.values.end()}});
                                   },
                               .on_end = [&](const MemberEnd& end) { all.ends.push_back(end); },
                               .on_attribute =
                                   [&](const std::string& name, const Attribute& value) {
                                     all.attributes.emplace_back(name, value);
                                   }});
  return all;
}

/// A record read with the netCDF library alone.
class Netcdf {
 public:
  explicit Netcdf(const fs::path& file) { check(nc_open(file.c_str(), NC_NOWRITE, &id_)); }
  /// A group of an open file.
  Netcdf(const Netcdf& file, const std::string& group) : owns_(false) {
    check(nc_inq_grp_ncid(file.id_, group.c_str(), &id_));
  }
  ~Netcdf() {
    if (owns_) nc_close(id_);
  }
  Netcdf(const Netcdf&) = delete;
  Netcdf& operator=(const Netcdf&) = delete;

  int variable(const std::string& name) const {
    int id = -1;
    check(nc_inq_varid(id_, name.c_str(), &id));
    return id;
  }
  Integers shape(const std::string& name) const {
    int rank = 0;
    check(nc_inq_varndims(id_, variable(name), &rank));
    std::vector<int> ids(static_cast<std::size_t>(rank));
    check(nc_inq_vardimid(id_, variable(name), ids.data()));
    Integers sizes;
    for (const int dimension : ids) {
      std::size_t size = 0;
      check(nc_inq_dimlen(id_, dimension, &size));
      sizes.push_back(static_cast<std::int64_t>(size));
    }
    return sizes;
  }
  std::size_t size(const std::string& name) const {
    const Integers sizes = shape(name);
    return static_cast<std::size_t>(
        std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>{}));
  }
  Numbers numbers(const std::string& name) const {
    Numbers values(size(name));
    check(nc_get_var_double(id_, variable(name), values.data()));
    return values;
  }
  Integers integers(const std::string& name) const {
    nc_type type = 0;
    check(nc_inq_vartype(id_, variable(name), &type));
    EXPECT_EQ(type, NC_INT64) << name;
    Integers values(size(name));
    check(nc_get_var(id_, variable(name), values.data()));
    return values;
  }
  Texts texts(const std::string& name) const {
    std::vector<char*> pointers(size(name));
    check(nc_get_var_string(id_, variable(name), pointers.data()));
    Texts values(pointers.begin(), pointers.end());
    check(nc_free_string(pointers.size(), pointers.data()));
    return values;
  }
  std::int64_t integer_attribute(const std::string& name) const {
    long long value = 0;
    check(nc_get_att_longlong(id_, NC_GLOBAL, name.c_str(), &value));
    return value;
  }
  bool has_attribute(const std::string& name) const {
    return nc_inq_attid(id_, NC_GLOBAL, name.c_str(), nullptr) == NC_NOERR;
  }
  bool has_variable(const std::string& name) const {
    int id = 0;
    return nc_inq_varid(id_, name.c_str(), &id) == NC_NOERR;
  }

 private:
  static void check(int status) { ASSERT_EQ(status, NC_NOERR) << nc_strerror(status); }
  int id_ = -1;
  bool owns_ = true;
};

class RecordTest : public testing::Test {
 protected:
  const test::ScratchFolder scratch_;
  const fs::path folder_ = scratch_.path();
  const fs::path log_ = folder_ / "samples.log";
  const fs::path record_ = folder_ / "record.nc";
};
using SampleLogTest = RecordTest;

RecordLayout small_layout() {
  RecordLayout layout;
  layout.members = 6;
  layout.cadences = {{.name = "", .steps = {0, 10, 100, 1000}},
                     {.name = "slow", .steps = {0, 1000}}};
  layout.variables = {
      {.name = "loss_test", .cadence = 0, .long_name = "test loss", .comment = "mean of squares"},
      {.name = "singular_values",
       .cadence = 1,
       .extents = {{.name = "index", .size = 3}},
       .long_name = "singular values of the end-to-end matrix"},
      {.name = "norms",
       .extents = {{.name = "layer", .size = 2, .first = 1}},
       .units = "m2",
       .long_name = "norms of the layers"},
      {.name = "first_step_below", .type = StoredType::i64, .long_name = "first step below 1e-3"},
      {.name = "note", .type = StoredType::text, .long_name = "a note"},
  };
  layout.coordinates = {
      {.name = "init_end_norm",
       .long_name = "init.end_norm",
       .values = Numbers{1e-3, 1e-3, 1e-3, 1.0, 1.0, nan}},
      {.name = "seed", .long_name = "seed", .values = Integers{0, 1, 2, 0, 1, 2}},
      {.name = "parent", .long_name = "parent", .values = Integers(6, -1)},
      {.name = "model_kind",
       .long_name = "model.kind",
       .values = Texts{"fc", "fc", "fc", "naïve", "naïve", "naïve"}},
  };
  std::string experiment;
  for (int i = 0; i < 5000; ++i) experiment += "name = \"naïve\"\n";  // above HDF5's 64 KiB
  layout.attributes = {{"experiment", experiment},
                       {"threads", std::int64_t{2}},
                       {"odd", nan},
                       {"empty", std::string()},
                       {"wall_time", 0.0}};
  return layout;
}

/// Small enough to damage at every byte.
RecordLayout tiny_layout() {
  RecordLayout layout;
  layout.members = 3;
  layout.cadences = {{.name = "", .steps = {0, 5}}};
  layout.variables = {{.name = "loss", .cadence = 0},
                      {.name = "sv", .cadence = 0, .extents = {{.name = "index", .size = 2}}}};
  return layout;
}

/// Five blocks after the layout's.
void fill_tiny(SampleLog& log) {
  const Integers all{0, 1, 2}, some{2, 0}, none{}, two{2}, one{1};
  log.append(SampleBlock{0, 0, all, none, Numbers{1.0, 2.0, nan}});
  log.append(SampleBlock{1, 0, some, two, Numbers{1, 2, 3, 4}});
  log.append(std::vector<MemberEnd>{{1, MemberStatus::diverged, 3, "non-finite"}});
  log.append(Attributes{{"wall_time", 2.5}});
  log.append(SampleBlock{1, 1, some, one, Numbers{inf, -0.0}});
}

/// The record that record_check.py expects.
void fill_small(SampleLog& log) {
  const Integers went{4, 3, 2, 3, 0, 4};
  const Integers none{}, index2{2}, index3{3}, layers{2}, low{0, 1, 2}, high{5, 3};
  for (std::int64_t s = 0; s < 4; ++s) {
    Integers members;
    Numbers values;
    for (std::int64_t m = 5; m >= 0; --m)
      if (s < went[static_cast<std::size_t>(m)]) {
        members.push_back(m);
        values.push_back(static_cast<double>(m) + static_cast<double>(s) / 8.0);
      }
    log.append(SampleBlock{0, s, members, none, values});
  }
  for (std::int64_t s = 0; s < 2; ++s) {
    const double t = 10.0 * static_cast<double>(s);
    // Written twice: the second counts, in full.
    log.append(SampleBlock{1, s, low, index3, Numbers(9, -1.0)});
    log.append(
        SampleBlock{1, s, low, index2, Numbers{t, t + 1, t + 100, t + 101, t + 200, t + 201}});
  }
  for (std::int64_t s = 0; s < 2; ++s) {
    const double t = 10.0 * static_cast<double>(s);
    const Integers five{5};
    log.append(SampleBlock{1, s, five, index3, Numbers{500 + t, 501 + t, 502 + t}});
  }
  const Integers sampled{0, 1, 2, 3, 5};
  log.append(SampleBlock{2, 0, sampled, layers,
                         Numbers{0.5, 1.5, 1.5, 2.5, 2.5, 3.5, 3.5, 4.5, 5.5, 6.5}});
  log.append(SampleBlock{3, 0, sampled, none, Numbers{100, 9007199254740992.0, nan, inf, -7.2}});
  const Integers noted{5, 1};
  log.append(TextBlock{4, noted, Texts{"last", "quoted \" and Δ"}});
  log.append(std::vector<MemberEnd>{{0, MemberStatus::interrupted, 10, "signal"},
                                    {1, MemberStatus::converged, 100, "train_loss"}});
  log.append(std::vector<MemberEnd>{{0, MemberStatus::finished, 1000, "steps"},
                                    {2, MemberStatus::diverged, 10, "non-finite train loss"},
                                    {5, MemberStatus::finished, 1000, "steps"}});
  log.append(Attributes{{"wall_time", 1.5}, {"trajectory_version", std::int64_t{3}}});
}

/// Runs a script of this folder on a record; skips the test where Python has not what it needs.
void check_in_python(const std::string& name, const fs::path& record) {
  const fs::path script = fs::path(MANYFOLD_SOURCE_DIR) / "tests/core" / name;
  ASSERT_TRUE(fs::exists(script)) << script;
  const std::string command =
      "/usr/bin/python3 '" + script.string() + "' '" + record.string() + "' 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string said(100'000, '\0');
  said.resize(std::fread(said.data(), 1, said.size(), pipe));
  const int status = pclose(pipe);
  ASSERT_TRUE(WIFEXITED(status)) << said;
  if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)
    GTEST_SKIP() << "NOT CHECKED: records in xarray (packages python3-xarray, python3-netcdf4): "
                 << said;
  EXPECT_EQ(WEXITSTATUS(status), 0) << said;
  EXPECT_NE(said.find("all as expected"), std::string::npos) << said;
}

// ---- layout

TEST(RecordLayout, ComesBackFromJsonToTheLastBit) {
  RecordLayout layout = small_layout();
  Numbers hard{nan, inf, -inf, 0.1, -0.0, 5e-324};
  layout.coordinates[0].values = hard;
  layout.coordinates[1].values = Integers{least, most, 0, (std::int64_t{1} << 53) + 1, -1, 7};
  layout.coordinates[3].values = Texts{"", "\"", "nan", "\n", "Δ", "\x01"};
  layout.attributes = {
      {"a", 0.1},   {"b", nan}, {"c", -inf}, {"d", most}, {"e", std::string("nan")},
      {"f", 1e300}, {"g", 3.0}};
  const RecordLayout back = layout_from_json(layout_to_json(layout));
  EXPECT_EQ(back.members, 6);
  ASSERT_EQ(back.cadences.size(), 2U);
  EXPECT_EQ(back.cadences[1].name, "slow");
  EXPECT_EQ(back.cadences[0].steps, layout.cadences[0].steps);
  ASSERT_EQ(back.variables.size(), 5U);
  for (std::size_t v = 0; v < 5; ++v) {
    EXPECT_EQ(back.variables[v].name, layout.variables[v].name);
    EXPECT_EQ(back.variables[v].type, layout.variables[v].type);
    EXPECT_EQ(back.variables[v].cadence, layout.variables[v].cadence);
    EXPECT_EQ(back.variables[v].units, layout.variables[v].units);
    EXPECT_EQ(back.variables[v].long_name, layout.variables[v].long_name);
    EXPECT_EQ(back.variables[v].comment, layout.variables[v].comment);
    EXPECT_EQ(back.variables[v].extents.size(), layout.variables[v].extents.size());
  }
  EXPECT_EQ(back.variables[2].extents[0].name, "layer");
  EXPECT_EQ(back.variables[2].extents[0].size, 2);
  EXPECT_EQ(back.variables[2].extents[0].first, 1);
  EXPECT_TRUE(same_bits(std::get<Numbers>(back.coordinates[0].values), hard));
  EXPECT_EQ(back.coordinates[1].values, layout.coordinates[1].values);
  EXPECT_EQ(back.coordinates[3].values, layout.coordinates[3].values);
  ASSERT_EQ(back.attributes.size(), layout.attributes.size());
  EXPECT_TRUE(std::isnan(std::get<double>(back.attributes[1].second)));
  for (const std::size_t i : {0U, 2U, 3U, 4U, 5U, 6U})
    EXPECT_EQ(back.attributes[i], layout.attributes[i]);
}

TEST(RecordLayout, RandomDoublesComeBackFromJsonToTheLastBit) {
  std::mt19937_64 random(11);
  Attributes attributes;
  for (int i = 0; i < 20'000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (!std::isnan(value)) attributes.emplace_back("x", value);
  }
  EXPECT_EQ(attributes_from_json(attributes_to_json(attributes)), attributes);
}

TEST(RecordLayout, RefusesWhatNoRecordCanHold) {
  EXPECT_NO_THROW(small_layout().check());
  const auto refuses = [](const char* what, auto change) {
    RecordLayout layout = small_layout();
    change(layout);
    try {
      layout.check();
      ADD_FAILURE() << "accepted: " << what;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  using L = RecordLayout;
  refuses("members", [](L& l) { l.members = -1; });
  refuses("members", [](L& l) { l.members = most; });
  refuses("a name is needed", [](L& l) { l.variables[0].name = ""; });
  refuses("blanks", [](L& l) { l.variables[0].name = "test loss"; });
  refuses("blanks", [](L& l) { l.variables[0].name = "a/b"; });
  refuses("begins with", [](L& l) { l.variables[0].name = "_FillValue"; });
  refuses("begins with", [](L& l) { l.attributes[0].first = "_NCProperties"; });
  refuses("taken", [](L& l) { l.variables[0].name = "seed"; });
  refuses("taken", [](L& l) { l.variables[0].name = "status"; });
  refuses("taken", [](L& l) { l.variables[0].name = "layer"; });
  refuses("taken", [](L& l) { l.variables[0].name = "step_slow"; });
  refuses("taken", [](L& l) { l.cadences[1].name = ""; });
  refuses("taken", [](L& l) { l.attributes[1].first = "experiment"; });
  refuses("taken", [](L& l) { l.variables[1].extents[0].name = "member"; });
  refuses("begin at 0", [](L& l) { l.cadences[0].steps = {1, 2}; });
  refuses("begin at 0", [](L& l) { l.cadences[0].steps = {}; });
  refuses("ascend", [](L& l) { l.cadences[0].steps = {0, 2, 2}; });
  refuses("cadence", [](L& l) { l.variables[0].cadence = 2; });
  refuses("cadence", [](L& l) { l.variables[0].cadence = -2; });
  refuses("twice", [](L& l) { l.variables[1].extents.push_back({.name = "index", .size = 3}); });
  refuses("two labels", [](L& l) { l.variables[1].extents[0].name = "layer"; });
  refuses("negative", [](L& l) { l.variables[1].extents[0].size = -1; });
  refuses("texts", [](L& l) { l.variables[4].cadence = 0; });
  refuses("one value per member", [](L& l) { l.coordinates[1].values = Integers{1}; });
  refuses("xarray decodes", [](L& l) { l.variables[0].units = "seconds"; });
  refuses("overflows", [](L& l) { l.variables[1].extents[0].size = most / 2; });
}

TEST(RecordLayout, CountsItsBytes) {
  RecordLayout layout;
  EXPECT_EQ(layout.bytes(), 0);
  layout.members = 10;
  const std::int64_t own = layout.bytes();
  layout.cadences = {{.name = "", .steps = Integers(100)}};
  layout.variables = {{.name = "a", .cadence = 0, .extents = {{"row", 5}, {"column", 7}}}};
  EXPECT_EQ(layout.bytes(), own + 8 * (100 + 5 + 7 + 10 * 100 * 5 * 7));
  layout.variables.push_back({.name = "b", .extents = {{"row", 9}}});  // widens `row` for both
  EXPECT_EQ(layout.bytes(), own + 8 * (100 + 9 + 7 + 10 * 100 * 9 * 7 + 10 * 9));
  layout.variables[0].extents[0].size = most;
  EXPECT_EQ(layout.bytes(), most);
}

// ---- log

TEST_F(SampleLogTest, ComesBackAsItWasWritten) {
  {
    SampleLog log = SampleLog::create(log_, small_layout());
    fill_small(log);
    log.sync();
  }
  const Contents all = read_all(log_);
  EXPECT_TRUE(all.summary.complete);
  EXPECT_EQ(all.summary.valid_bytes, static_cast<std::int64_t>(fs::file_size(log_)));
  EXPECT_EQ(all.summary.blocks, 1 + 4 + 4 + 2 + 1 + 1 + 1 + 2 + 1);
  EXPECT_EQ(all.summary.layout.variables[1].name, "singular_values");
  ASSERT_EQ(all.samples.size(), 12U);
  EXPECT_EQ(all.samples[0].members, (Integers{5, 3, 2, 1, 0}));
  EXPECT_EQ(all.samples[3].members, (Integers{5, 0}));
  EXPECT_EQ(all.samples[4].members, (Integers{0, 1, 2}));
  EXPECT_EQ(all.samples[4].extents, (Integers{3}));
  EXPECT_EQ(all.samples[5].values, (Numbers{0, 1, 100, 101, 200, 201}));
  EXPECT_TRUE(same_bits(all.samples[11].values, {100, 9007199254740992.0, nan, inf, -7.2}));
  ASSERT_EQ(all.ends.size(), 5U);
  EXPECT_EQ(all.ends[3].status, MemberStatus::diverged);
  EXPECT_EQ(all.ends[3].end_reason, "non-finite train loss");
  ASSERT_EQ(all.texts.size(), 1U);
  EXPECT_EQ(all.texts[0].second, (Texts{"last", "quoted \" and Δ"}));
  ASSERT_EQ(all.attributes.size(), 2U);
  EXPECT_EQ(all.attributes[1], (std::pair<std::string, Attribute>{"trajectory_version", 3}));
}

TEST_F(SampleLogTest, RefusesBlocksThatDoNotFitTheLayoutAndStaysWhole) {
  SampleLog log = SampleLog::create(log_, small_layout());
  const auto before = fs::file_size(log_);
  const Integers zero{0}, none{}, six{6}, minus{-1}, two{2}, four{4}, empty{0};
  const Numbers one{1.0}, pair{1.0, 2.0}, no_values{};
  EXPECT_THROW(log.append(SampleBlock{5, 0, zero, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{-1, 0, zero, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{0, 4, zero, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{0, -1, zero, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{2, 1, zero, two, pair}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{0, 0, six, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{0, 0, minus, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{0, 0, zero, none, pair}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{0, 0, zero, none, no_values}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{0, 0, zero, two, pair}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{1, 0, zero, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{1, 0, zero, four, Numbers(4)}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{1, 0, zero, minus, no_values}), std::invalid_argument);
  EXPECT_THROW(log.append(SampleBlock{4, 0, zero, none, one}), std::invalid_argument);
  EXPECT_THROW(log.append(TextBlock{0, zero, Texts{"x"}}), std::invalid_argument);
  EXPECT_THROW(log.append(TextBlock{4, zero, Texts{}}), std::invalid_argument);
  EXPECT_THROW(log.append(std::vector<MemberEnd>{{6, MemberStatus::finished, 1, ""}}),
               std::invalid_argument);
  EXPECT_THROW(log.append(std::vector<MemberEnd>{{0, MemberStatus::finished, -1, ""}}),
               std::invalid_argument);
  EXPECT_THROW(log.append(Attributes{{"two words", 1.0}}), std::invalid_argument);
  // Nothing in it: nothing written.
  log.append(SampleBlock{0, 0, none, none, no_values});
  log.append(SampleBlock{1, 0, zero, empty, no_values});
  log.append(std::vector<MemberEnd>{});
  EXPECT_EQ(fs::file_size(log_), before);
}

TEST_F(SampleLogTest, ReplacesNoFileAndNamesWhatIsWrong) {
  { SampleLog::create(log_, tiny_layout()); }
  const std::string before = bytes_of(log_);
  const auto fails = [](const fs::path& path, const char* why) {
    try {
      SampleLog::create(path, tiny_layout());
      ADD_FAILURE() << path << " was created";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(path.string()), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  fails(log_, "exists");
  fails(folder_ / "none" / "samples.log", "No such file");
  EXPECT_EQ(bytes_of(log_), before);
  EXPECT_THROW(SampleLog::append_to(folder_ / "none.log"), InputError);
  EXPECT_THROW(SampleLog::append_to(folder_), InputError);
}

TEST_F(SampleLogTest, NoOtherFileIsTakenForALog) {
  EXPECT_THROW(read_log(folder_ / "none", {}), InputError);
  EXPECT_THROW(read_log(folder_, {}), InputError);
  EXPECT_THROW(read_log("/dev/zero", {}), InputError);
  const fs::path other = folder_ / "other";
  for (const std::string& bytes :
       {std::string(), std::string("short"), std::string(100, '\0'), std::string(1000, 'x')}) {
    write_bytes(other, bytes);
    EXPECT_THROW(read_log(other, {}), InputError);
    EXPECT_THROW(write_record(other, record_), InputError);
  }
  { SampleLog::create(log_, tiny_layout()); }
  std::string later = bytes_of(log_);
  ++later[8];
  write_bytes(other, later);
  try {
    read_log(other, {});
    ADD_FAILURE() << "a log of a later version was read";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("version 2"), std::string::npos) << error.what();
  }
  std::string swapped = bytes_of(log_);
  std::reverse(swapped.begin() + 12, swapped.begin() + 16);
  write_bytes(other, swapped);
  EXPECT_THROW(read_log(other, {}), InputError);
  EXPECT_FALSE(fs::exists(record_));
}

/// Ends of the blocks, by the length at the head of each.
std::vector<std::size_t> block_ends(const std::string& log) {
  std::vector<std::size_t> ends;
  for (std::size_t at = 16; at < log.size();) {
    std::uint64_t length = 0;
    std::memcpy(&length, log.data() + at, sizeof length);
    at += 16 + length;
    ends.push_back(at);
  }
  return ends;
}

TEST_F(SampleLogTest, CutAtAnyByteItKeepsExactlyTheWholeBlocks) {
  {
    SampleLog log = SampleLog::create(log_, tiny_layout());
    fill_tiny(log);
  }
  const std::string whole = bytes_of(log_);
  const std::vector<std::size_t> ends = block_ends(whole);
  ASSERT_EQ(ends.size(), 6U);
  ASSERT_EQ(ends.back(), whole.size());
  const Contents everything = read_all(log_);
  const fs::path cut = folder_ / "cut.log";
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    write_bytes(cut, std::string_view(whole).substr(0, length));
    if (length < ends[0]) {
      EXPECT_THROW(read_log(cut, {}), InputError) << length;
      continue;
    }
    const Contents found = read_all(cut);
    const auto blocks = std::upper_bound(ends.begin(), ends.end(), length) - ends.begin();
    const std::size_t valid = ends[static_cast<std::size_t>(blocks) - 1];
    ASSERT_EQ(found.summary.blocks, blocks) << length;
    ASSERT_EQ(found.summary.valid_bytes, static_cast<std::int64_t>(valid)) << length;
    ASSERT_EQ(found.summary.complete, valid == length) << length;
    const std::size_t samples = blocks < 2 ? 0U : blocks < 3 ? 1U : blocks < 6 ? 2U : 3U;
    ASSERT_EQ(found.samples.size(), samples) << length;
    for (std::size_t i = 0; i < samples; ++i) {
      EXPECT_EQ(found.samples[i].members, everything.samples[i].members);
      EXPECT_TRUE(same_bits(found.samples[i].values, everything.samples[i].values));
    }
  }
}

TEST_F(SampleLogTest, GoesOnAfterItsLastWholeBlockWhereverItWasCut) {
  {
    SampleLog log = SampleLog::create(log_, tiny_layout());
    fill_tiny(log);
  }
  const std::string whole = bytes_of(log_);
  const std::vector<std::size_t> ends = block_ends(whole);
  const fs::path cut = folder_ / "cut.log";
  for (std::size_t length = ends[0]; length <= whole.size(); length += 5) {
    write_bytes(cut, std::string_view(whole).substr(0, length));
    const std::int64_t blocks = read_log(cut, {}).blocks;
    {
      SampleLog log = SampleLog::append_to(cut);
      EXPECT_EQ(log.layout().members, 3);
      log.append(std::vector<MemberEnd>{{2, MemberStatus::finished, 5, "steps"}});
    }
    const Contents found = read_all(cut);
    ASSERT_TRUE(found.summary.complete) << length;
    ASSERT_EQ(found.summary.blocks, blocks + 1) << length;
    ASSERT_EQ(found.ends.back().member, 2);
    ASSERT_EQ(bytes_of(cut).substr(0, ends[static_cast<std::size_t>(blocks) - 1]),
              whole.substr(0, ends[static_cast<std::size_t>(blocks) - 1]));
  }
}

TEST_F(SampleLogTest, EveryFlippedBitIsFound) {
  {
    SampleLog log = SampleLog::create(log_, tiny_layout());
    fill_tiny(log);
  }
  const std::string whole = bytes_of(log_);
  const std::vector<std::size_t> ends = block_ends(whole);
  const fs::path flipped = folder_ / "flipped.log";
  for (std::size_t byte = 0; byte < whole.size(); ++byte)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << bit));
      write_bytes(flipped, bytes);
      if (byte < ends[0]) {
        ASSERT_THROW(read_log(flipped, {}), InputError) << "byte " << byte << " bit " << bit;
        continue;
      }
      const auto hit = std::upper_bound(ends.begin(), ends.end(), byte) - ends.begin();
      const LogSummary summary = read_log(flipped, {});
      ASSERT_FALSE(summary.complete) << "byte " << byte << " bit " << bit;
      ASSERT_EQ(summary.blocks, hit) << "byte " << byte << " bit " << bit;
    }
}

/// A block with a right checksum around any payload.
std::string sealed(std::uint32_t type, std::string payload) {
  while (payload.size() % 8 != 0) payload.push_back(' ');
  std::string block(16, '\0');
  const std::uint64_t length = payload.size();
  std::memcpy(block.data(), &length, 8);
  std::memcpy(block.data() + 8, &type, 4);
  // CRC-32 (IEEE 802.3), bit by bit: an independent derivation of what zlib computes.
  std::uint32_t crc = 0xFFFFFFFFU;
  const std::string covered = block.substr(0, 12).append(payload);
  for (const char c : covered) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1U) ^ (0xEDB88320U & (0U - (crc & 1U)));
  }
  crc = ~crc;
  std::memcpy(block.data() + 12, &crc, 4);
  return block + payload;
}

std::string samples_payload(std::int32_t variable, std::uint16_t rank, std::uint16_t consecutive,
                            std::int64_t sample, std::int64_t members, const Integers& rest) {
  std::string payload(24, '\0');
  std::memcpy(payload.data(), &variable, 4);
  std::memcpy(payload.data() + 4, &rank, 2);
  std::memcpy(payload.data() + 6, &consecutive, 2);
  std::memcpy(payload.data() + 8, &sample, 8);
  std::memcpy(payload.data() + 16, &members, 8);
  payload.append(reinterpret_cast<const char*>(rest.data()), rest.size() * 8);
  return payload;
}

TEST_F(SampleLogTest, HostileBlocksWithRightChecksumsEndTheLogAndCostNoMemory) {
  { SampleLog::create(log_, tiny_layout()); }
  const std::string head = bytes_of(log_);
  const std::string good = sealed(2, samples_payload(0, 0, 1, 0, 2, {1, 0, 0}));
  const fs::path hostile = folder_ / "hostile.log";
  write_bytes(hostile, head + good + good);
  EXPECT_EQ(read_log(hostile, {}).blocks, 3);  // the blocks made here are right

  const auto of_length = [&good](std::uint64_t length) {
    std::string block = good;
    std::memcpy(block.data(), &length, sizeof length);
    return block;
  };
  const std::vector<std::string> bad{
      of_length(std::uint64_t{1} << 62),
      of_length(~std::uint64_t{7}),  // its end wraps around
      of_length(~std::uint64_t{15} - head.size() - good.size()),
      sealed(2, ""),
      sealed(2, samples_payload(0, 0, 1, 0, 2, {})),
      sealed(2, samples_payload(0, 0, 1, 0, 3, {1, 0, 0})),
      sealed(2, samples_payload(0, 0, 1, 0, 2, {2, 0, 0})),  // members 2 and 3 of 3
      sealed(2, samples_payload(0, 0, 1, 0, 2, {most, 0, 0})),
      sealed(2, samples_payload(0, 0, 1, 0, most, {0, 0, 0})),
      sealed(2, samples_payload(0, 0, 0, 0, most, {0, 0, 0})),
      sealed(2, samples_payload(0, 0, 0, 0, -1, {0, 0, 0})),
      sealed(2, samples_payload(0, 0, 1, 0, 0, {0})),
      sealed(2, samples_payload(0, 0, 1, 2, 2, {1, 0, 0})),
      sealed(2, samples_payload(2, 0, 1, 0, 2, {1, 0, 0})),
      sealed(2, samples_payload(-1, 0, 1, 0, 2, {1, 0, 0})),
      sealed(2, samples_payload(1, 65535, 1, 0, 2, {1, 0, 0})),
      sealed(2, samples_payload(1, 1, 1, 0, most, {0, 0})),  // no values, many members
      sealed(2, samples_payload(1, 1, 1, 0, 2, {most, 0, 0, 0})),
      sealed(2, samples_payload(1, 1, 1, 0, 2, {-1, 0, 0, 0})),
      sealed(2, samples_payload(1, 1, 1, 0, 1, {3, 0, 0, 0, 0})),  // above the layout's extent
      sealed(3, "not JSON"),
      sealed(3, "[[9,\"finished\",1,\"\"]]"),
      sealed(3, "[[0,\"no such status\",1,\"\"]]"),
      sealed(3, "[[0,\"finished\",1e3,\"\"]]"),
      sealed(3, "[[0]]"),
      sealed(3, "{}"),
      sealed(3, std::string(100'000, '[')),
      sealed(4, "[{\"name\":\"a/b\",\"type\":\"f64\",\"value\":1.0}]"),
      sealed(4, "[{\"name\":\"a\",\"type\":\"f64\",\"value\":\"x\"}]"),
      sealed(4, "[1]"),
      sealed(5, "{\"variable\":0,\"members\":[0],\"values\":[\"x\"]}"),
      sealed(1, "{}"),
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    write_bytes(hostile, std::string(head).append(good).append(bad[i]).append(good));
    const Contents found = read_all(hostile);
    EXPECT_EQ(found.summary.blocks, 2) << "block " << i;
    EXPECT_EQ(found.samples.size(), 1U) << "block " << i;
    EXPECT_FALSE(found.summary.complete) << "block " << i;
  }
  // A type of some later program is passed over.
  write_bytes(hostile, head + sealed(77, "anything") + good);
  EXPECT_EQ(read_log(hostile, {}).blocks, 3);
  EXPECT_TRUE(read_log(hostile, {}).complete);
}

TEST_F(SampleLogTest, HostileLayoutsAreRefused) {
  { SampleLog::create(log_, tiny_layout()); }
  const std::string head = bytes_of(log_).substr(0, 16);
  const std::string good = layout_to_json(tiny_layout());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const fs::path hostile = folder_ / "hostile.log";
  write_bytes(hostile, head + sealed(1, good));
  EXPECT_NO_THROW(read_log(hostile, {}));
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string(50'000, '['),
        with("\"members\":3", "\"members\":-3"), with("\"members\":3", "\"members\":3e300"),
        with("\"members\":3", "\"members\":99999999999999999999"),
        with("\"members\":3", "\"members\":9223372036854775808"),
        with("\"members\":3", "\"members\":\"3\""), with("\"size\":2", "\"size\":-2"),
        with("\"size\":2", "\"size\":9223372036854775807"), with("\"cadence\":0", "\"cadence\":7"),
        with("\"cadence\":0", "\"cadence\":4294967296"), with("[0,5]", "[5,0]"),
        with("[0,5]", "[]"), with("\"f64\"", "\"f65\""), with("\"loss\"", "\"lo ss\"")}) {
    write_bytes(hostile, head + sealed(1, text));
    EXPECT_THROW(read_log(hostile, {}), InputError) << text.substr(0, 200);
  }
}

TEST_F(SampleLogTest, IsWrittenByOneProcessAtATime) {
  SampleLog log = SampleLog::create(log_, tiny_layout());
  EXPECT_THROW(SampleLog::append_to(log_), InputError);
  { const SampleLog other = std::move(log); }
  EXPECT_NO_THROW(SampleLog::append_to(log_));
}

TEST_F(SampleLogTest, CanBeReadWhileItIsWritten) {
  SampleLog log = SampleLog::create(log_, tiny_layout());
  std::thread reader([this] {
    std::int64_t blocks = 0;
    while (blocks < 2001) {
      const std::int64_t now = read_log(log_, {}).blocks;
      EXPECT_GE(now, blocks);
      blocks = now;
    }
  });
  const Integers all{0, 1, 2}, none{};
  for (int i = 0; i < 2000; ++i) log.append(SampleBlock{0, 0, all, none, Numbers(3, i)});
  reader.join();
}

TEST_F(SampleLogTest, EndsAfterItsLastWholeBlockWhenTheDiskIsFull) {
  std::int64_t refused = 0;
  for (std::uint64_t limit = 1; limit < 4096; limit += 97) {
    fs::remove(log_);
    std::int64_t written = 0;
    const Integers all{0, 1, 2}, none{};
    try {
      const FileSizeLimit full(limit);
      SampleLog log = SampleLog::create(log_, tiny_layout());
      written = 1;
      try {
        for (; written < 200; ++written) log.append(SampleBlock{0, 0, all, none, Numbers(3, 1.0)});
        FAIL() << "the limit is too large for this test";
      } catch (const ResourceError& error) {
        EXPECT_NE(std::string(error.what()).find(log_.string()), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("may not grow"), std::string::npos)
            << error.what();
      }
      const LogSummary summary = read_log(log_, {});
      EXPECT_TRUE(summary.complete) << limit;
      EXPECT_EQ(summary.blocks, written) << limit;
      // It can be tried again.
      EXPECT_THROW(log.append(SampleBlock{0, 0, all, none, Numbers(3, 1.0)}), ResourceError);
      EXPECT_TRUE(read_log(log_, {}).complete);
    } catch (const ResourceError&) {
      EXPECT_EQ(written, 0);
      EXPECT_FALSE(fs::exists(log_)) << "a log without a layout was left";
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

TEST_F(SampleLogTest, GoesOnWhenThereIsRoomAgain) {
  SampleLog log = SampleLog::create(log_, tiny_layout());
  const Integers all{0, 1, 2}, none{};
  {
    const FileSizeLimit full(fs::file_size(log_) + 20);
    EXPECT_THROW(log.append(SampleBlock{0, 0, all, none, Numbers(3, 1.0)}), ResourceError);
  }
  log.append(SampleBlock{0, 1, all, none, Numbers(3, 2.0)});
  const Contents found = read_all(log_);
  EXPECT_TRUE(found.summary.complete);
  ASSERT_EQ(found.samples.size(), 1U);
  EXPECT_EQ(found.samples[0].sample, 1);
}

TEST_F(SampleLogTest, ExceptionsOfTheVisitorPassThrough) {
  {
    SampleLog log = SampleLog::create(log_, tiny_layout());
    fill_tiny(log);
  }
  LogVisitor visitor;
  visitor.on_samples = [](const SampleBlock&) { throw std::invalid_argument("mine"); };
  EXPECT_THROW(read_log(log_, visitor), std::invalid_argument);
}

// ---- record

/// Two families: W_1 of 2x3 for members 1 and 4, of 1x2 for member 3; members 0, 2, 5 in neither.
RecordLayout grouped_layout() {
  RecordLayout layout;
  layout.members = 6;
  layout.cadences = {{.name = "", .steps = {0, 10}}, {.name = "slow", .steps = {0, 5, 9}}};
  layout.variables = {{.name = "loss", .cadence = 0},
                      {.name = "W_1",
                       .cadence = 1,
                       .extents = {{.name = "W_1_row", .size = 2}, {.name = "W_1_col", .size = 3}},
                       .long_name = "parameters W_1",
                       .comment = "of the first family",
                       .group = 0},
                      {.name = "W_1",
                       .cadence = 1,
                       .extents = {{.name = "W_1_row", .size = 1}, {.name = "W_1_col", .size = 2}},
                       .long_name = "parameters W_1",
                       .group = 1},
                      {.name = "norm", .group = 1}};
  layout.groups = {{.name = "family_0", .long_name = "deep_linear 2x3", .members = {1, 4}},
                   {.name = "family_1", .long_name = "deep_linear 1x2", .members = {3}}};
  return layout;
}

void fill_grouped(SampleLog& log) {
  const Integers all{0, 1, 2, 3, 4, 5}, first{4, 1}, four{4}, second{3}, none{};
  const Integers shape_0{2, 3}, shape_1{1, 2};
  log.append(SampleBlock{0, 0, all, none, Numbers{0, 1, 2, 3, 4, 5}});
  log.append(
      SampleBlock{1, 0, first, shape_0, Numbers{40, 41, 42, 43, 44, 45, 10, 11, 12, 13, 14, 15}});
  log.append(SampleBlock{1, 2, four, shape_0, Numbers{50, 51, 52, 53, 54, 55}});
  log.append(SampleBlock{2, 1, second, shape_1, Numbers{30, 31}});
  log.append(SampleBlock{3, 0, second, none, Numbers{7}});
}

TEST_F(RecordTest, GroupsHoldTheirMembersAlone) {
  {
    SampleLog log = SampleLog::create(log_, grouped_layout());
    fill_grouped(log);
    // A member of another family, and a shape of another.
    const Integers other{3}, one{1}, shape_0{2, 3};
    EXPECT_THROW(log.append(SampleBlock{1, 0, other, shape_0, Numbers(6)}), std::invalid_argument);
    EXPECT_THROW(log.append(SampleBlock{2, 0, one, Integers{1, 2}, Numbers(2)}),
                 std::invalid_argument);
  }
  for (const std::int64_t slab : {8, 64, 1 << 20}) {
    write_record(log_, record_, slab);
    const Netcdf file(record_);
    EXPECT_EQ(file.shape("loss"), (Integers{6, 2}));
    EXPECT_FALSE(file.has_variable("W_1"));
    const Netcdf first(file, "family_0");
    EXPECT_EQ(first.integers("member"), (Integers{1, 4}));
    EXPECT_EQ(first.integers("step_slow"), (Integers{0, 5, 9}));
    EXPECT_FALSE(first.has_variable("step")) << "no variable of it has that cadence";
    EXPECT_EQ(first.shape("W_1"), (Integers{2, 3, 2, 3}));
    Numbers expected(36, nan);
    for (std::size_t i = 0; i < 6; ++i) {
      expected[i] = 10 + static_cast<double>(i);
      expected[18 + i] = 40 + static_cast<double>(i);
      expected[30 + i] = 50 + static_cast<double>(i);
    }
    EXPECT_TRUE(same_bits(first.numbers("W_1"), expected));
    const Netcdf second(file, "family_1");
    EXPECT_EQ(second.integers("member"), (Integers{3}));
    EXPECT_EQ(second.shape("W_1"), (Integers{1, 3, 1, 2}));
    EXPECT_TRUE(same_bits(second.numbers("W_1"), Numbers{nan, nan, 30, 31, nan, nan}));
    EXPECT_EQ(second.numbers("norm"), Numbers{7});
  }
}

TEST_F(RecordTest, GroupsOpenInXarray) {
  {
    SampleLog log = SampleLog::create(log_, grouped_layout());
    fill_grouped(log);
  }
  write_record(log_, record_, 64);
  check_in_python("record_groups_check.py", record_);
}

TEST(RecordLayout, RefusesGroupsThatNoRecordCanHold) {
  const auto refused = [](auto change) {
    RecordLayout layout = grouped_layout();
    change(layout);
    EXPECT_THROW(layout.check(), std::invalid_argument);
  };
  EXPECT_NO_THROW(grouped_layout().check());
  refused([](RecordLayout& l) { l.groups[1].name = "family_0"; });
  refused([](RecordLayout& l) { l.groups[1].name = "loss"; });
  refused([](RecordLayout& l) { l.groups[1].name = "a b"; });
  refused([](RecordLayout& l) { l.groups[0].members = {4, 1}; });
  refused([](RecordLayout& l) { l.groups[0].members = {1, 6}; });
  refused([](RecordLayout& l) { l.groups[0].members = {-1, 1}; });
  refused([](RecordLayout& l) { l.groups[0].members = {}; });
  refused([](RecordLayout& l) { l.variables[1].group = 2; });
  refused([](RecordLayout& l) { l.variables[1].group = -2; });
  refused([](RecordLayout& l) { l.variables[3].name = "W_1"; });
  refused([](RecordLayout& l) { l.variables[3].name = "W_1_row"; });
  refused([](RecordLayout& l) { l.variables[3].name = "member"; });
  refused([](RecordLayout& l) { l.variables[3].name = "sample_slow"; });
  refused([](RecordLayout& l) { l.variables[3].type = StoredType::text; });
}

TEST(RecordLayout, GroupsComeBackFromJsonAndAreCounted) {
  const RecordLayout layout = grouped_layout();
  const RecordLayout back = layout_from_json(layout_to_json(layout));
  ASSERT_EQ(back.groups.size(), 2U);
  for (std::size_t g = 0; g < 2; ++g) {
    EXPECT_EQ(back.groups[g].name, layout.groups[g].name);
    EXPECT_EQ(back.groups[g].long_name, layout.groups[g].long_name);
    EXPECT_EQ(back.groups[g].members, layout.groups[g].members);
  }
  for (std::size_t v = 0; v < 4; ++v) EXPECT_EQ(back.variables[v].group, layout.variables[v].group);
  RecordLayout without = layout;
  without.variables.resize(1);
  without.groups.clear();
  // Two members of 3 samples of 2x3, one of 3 samples of 1x2, one number, three member labels.
  EXPECT_EQ(layout.bytes() - without.bytes(), 8 * (2 * 3 * 6 + 3 * 2 + 1 + 3));
  // A log from before there were groups.
  std::string older = layout_to_json(without);
  const std::string groups = "\"groups\":[],";
  ASSERT_NE(older.find(groups), std::string::npos);
  older.erase(older.find(groups), groups.size());
  EXPECT_TRUE(layout_from_json(older).groups.empty());
}

TEST_F(RecordTest, OpensInXarray) {
  {
    SampleLog log = SampleLog::create(log_, small_layout());
    fill_small(log);
  }
  write_record(log_, record_);
  check_in_python("record_check.py", record_);
}

TEST_F(RecordTest, HoldsWhatTheLogHolds) {
  {
    SampleLog log = SampleLog::create(log_, small_layout());
    fill_small(log);
  }
  const LogSummary summary = write_record(log_, record_);
  EXPECT_TRUE(summary.complete);
  EXPECT_EQ(summary.layout.members, 6);
  EXPECT_FALSE(fs::exists(record_.string() + ".partial"));
  const Netcdf record(record_);
  EXPECT_EQ(record.shape("singular_values"), (Integers{6, 2, 3}));
  EXPECT_EQ(record.integers("first_step_below"),
            (Integers{100, std::int64_t{1} << 53, least, least, least, -7}));
  EXPECT_EQ(record.texts("note"), (Texts{"", "quoted \" and Δ", "", "", "", "last"}));
  EXPECT_EQ(record.texts("status"),
            (Texts{"finished", "converged", "diverged", "interrupted", "pending", "finished"}));
  EXPECT_EQ(record.integers("end_step"), (Integers{1000, 100, 10, 100, 0, 1000}));
  EXPECT_EQ(record.integers("layer"), (Integers{1, 2}));
}

TEST_F(RecordTest, OfAnInterruptedRunHoldsWhatWasSampled) {
  {
    SampleLog log = SampleLog::create(log_, small_layout());
    fill_small(log);
  }
  const std::string whole = bytes_of(log_);
  const std::vector<std::size_t> ends = block_ends(whole);
  for (std::size_t block = 0; block < ends.size(); ++block) {
    const std::size_t length =
        block + 1 < ends.size() ? (ends[block] + ends[block + 1]) / 2 : ends[block];
    write_bytes(log_, std::string_view(whole).substr(0, length));
    const LogSummary summary = write_record(log_, record_);
    EXPECT_EQ(summary.blocks, static_cast<std::int64_t>(block) + 1);
    const Netcdf record(record_);
    EXPECT_EQ(record.has_attribute("ignored_log_bytes"), length != ends[block]);
    if (length != ends[block]) {
      EXPECT_EQ(record.integer_attribute("ignored_log_bytes"),
                static_cast<std::int64_t>(length - ends[block]));
    }
    const Texts status = record.texts("status");
    EXPECT_EQ(status[4], "pending");
    EXPECT_EQ(status[0], block == 0                ? "pending"
                         : block + 2 < ends.size() ? "interrupted"
                                                   : "finished");
    // Samples 0, 1, 2, 3 of member 0 are blocks 1 to 4; a slow sample at 1000 is in 8.
    const Integers steps{0, 0, 10, 100, 1000};
    EXPECT_EQ(record.integers("end_step")[0], steps[std::min<std::size_t>(block, 4)]);
  }
}

TEST_F(RecordTest, AnInterruptedEndThatWasGoneOnFromTakesTheLaterStep) {
  {
    SampleLog log = SampleLog::create(log_, tiny_layout());
    const Integers all{0, 1, 2}, none{}, one{1};
    log.append(SampleBlock{0, 0, all, none, Numbers(3, 1.0)});
    log.append(std::vector<MemberEnd>{{0, MemberStatus::interrupted, 3, "signal"},
                                      {1, MemberStatus::interrupted, 3, "signal"},
                                      {2, MemberStatus::running, 4, "?"}});
    log.append(SampleBlock{0, 1, one, none, Numbers{1.0}});
  }
  write_record(log_, record_);
  const Netcdf record(record_);
  EXPECT_EQ(record.integers("end_step"), (Integers{3, 5, 0}));
  EXPECT_EQ(record.texts("status"), (Texts{"interrupted", "interrupted", "interrupted"}));
  EXPECT_EQ(record.texts("end_reason"), (Texts{"signal", "signal", "no end in the log"}));
}

TEST_F(RecordTest, TextsThatAreNoUtf8StillOpen) {
  {
    RecordLayout layout = small_layout();
    layout.attributes.emplace_back("broken", std::string("a\xff"));
    SampleLog log = SampleLog::create(log_, layout);
    const Integers one{1};
    log.append(TextBlock{4, one, Texts{"\xc3("}});
    log.append(std::vector<MemberEnd>{{0, MemberStatus::failed, 0, std::string("x\0y", 3)}});
  }
  write_record(log_, record_);
  const Netcdf record(record_);
  EXPECT_EQ(record.texts("note")[1], "\xEF\xBF\xBD(");
  EXPECT_EQ(record.texts("end_reason")[0], "x");
}

TEST_F(RecordTest, EmptyDimensionsAreRecorded) {
  RecordLayout layout = tiny_layout();
  layout.variables.push_back(
      {.name = "nothing", .cadence = 0, .extents = {{"none", 0}, {"row", 2}}});
  { SampleLog::create(log_, layout); }
  write_record(log_, record_);
  EXPECT_EQ(Netcdf(record_).shape("nothing"), (Integers{3, 2, 0, 2}));

  layout.members = 0;
  fs::remove(log_);
  { SampleLog::create(log_, layout); }
  write_record(log_, record_);
  EXPECT_EQ(Netcdf(record_).shape("sv"), (Integers{0, 2, 2}));
  fs::remove(log_);
  { SampleLog::create(log_, RecordLayout{}); }
  write_record(log_, record_);
  EXPECT_EQ(Netcdf(record_).shape("member"), (Integers{0}));
}

/// A log whose record takes some hundred kilobytes.
void write_log_of_noise(const fs::path& file, std::size_t count = 20'000) {
  RecordLayout layout = tiny_layout();
  layout.members = static_cast<std::int64_t>(count);
  layout.coordinates = {{.name = "seed", .values = Integers(count)}};
  SampleLog log = SampleLog::create(file, layout);
  Integers members(count);
  std::iota(members.begin(), members.end(), 0);
  Numbers values(count);
  std::mt19937_64 random(3);
  for (double& value : values) value = static_cast<double>(random());
  const Integers none{};
  for (const std::int64_t s : {0, 1}) log.append(SampleBlock{0, s, members, none, values});
}

TEST_F(RecordTest, StaysUntouchedWhenTheDiskIsFull) {
  write_log_of_noise(log_);
  write_record(log_, record_);
  const auto size = fs::file_size(record_);
  write_bytes(record_, "an earlier record");
  for (const std::uint64_t limit :
       {std::uint64_t{1}, std::uint64_t{3000}, std::uint64_t{10'000}, size / 2, size - 1}) {
    const FileSizeLimit full(limit);
    try {
      write_record(log_, record_);
      ADD_FAILURE() << "a record fits into " << limit << " bytes";
    } catch (const ResourceError& error) {
      EXPECT_NE(std::string(error.what()).find(record_.string()), std::string::npos)
          << error.what();
      EXPECT_NE(std::string(error.what()).find("full"), std::string::npos) << error.what();
    }
    EXPECT_EQ(bytes_of(record_), "an earlier record");
    EXPECT_FALSE(fs::exists(record_.string() + ".partial")) << limit;
  }
  write_record(log_, record_);
  EXPECT_EQ(fs::file_size(record_), size);
}

TEST_F(RecordTest, SaysThatTheDiskIsFullThoughItsOwnBytesMadeRoomAgain) {
  write_log_of_noise(log_, 500'000);
  const FileSizeLimit full(7'000'000);
  try {
    write_record(log_, record_);
    FAIL() << "8 MB of noise fit into 7";
  } catch (const ResourceError& error) {
    EXPECT_NE(std::string(error.what()).find("full"), std::string::npos) << error.what();
  }
}

TEST_F(RecordTest, AProgramThatMetAFullDiskExitsAsItWants) {
  write_log_of_noise(log_);
  const auto convert_and_exit = [this](std::uint64_t limit) {
    std::string said;
    try {
      const FileSizeLimit full(limit);
      write_record(log_, record_);
    } catch (const ResourceError& error) {
      said = error.what();
    }
    std::fputs(said.c_str(), stderr);
    std::exit(said.empty() ? 0 : 3);  // with exit handlers: HDF5 has one
  };
  write_record(log_, record_);
  const auto size = fs::file_size(record_);
  for (const std::uint64_t limit : {std::uint64_t{1}, std::uint64_t{10'000}, size / 2, size - 1})
    EXPECT_EXIT(convert_and_exit(limit), testing::ExitedWithCode(3), "full") << limit;
}

TEST_F(RecordTest, CannotBePutEverywhere) {
  { SampleLog::create(log_, tiny_layout()); }
  EXPECT_THROW(write_record(log_, folder_), InputError);
  EXPECT_THROW(write_record(log_, folder_ / "none" / "record.nc"), InputError);
  EXPECT_THROW(write_record(folder_ / "none.log", record_), InputError);
  EXPECT_THROW(write_record(log_, record_, 0), std::invalid_argument);
  EXPECT_FALSE(fs::exists(record_));
}

/// Random layouts, families, orders and repeats, against arrays kept in memory.
class RandomRecords : public RecordTest, public testing::WithParamInterface<std::uint64_t> {};

TEST_P(RandomRecords, EqualWhatWasAppended) {
  std::mt19937_64 random(GetParam());
  const auto from_to = [&](std::int64_t a, std::int64_t b) {
    return std::uniform_int_distribution<std::int64_t>(a, b)(random);
  };
  RecordLayout layout;
  layout.members = from_to(1, 40);
  for (std::int64_t c = from_to(1, 3); c > 0; --c) {
    CadenceLayout cadence{.name = layout.cadences.empty() ? "" : "c" + std::to_string(c)};
    std::int64_t step = 0;
    for (std::int64_t s = from_to(1, 60); s > 0; --s, step += from_to(1, 100))
      cadence.steps.push_back(step);
    layout.cadences.push_back(cadence);
  }
  for (std::int64_t v = from_to(1, 6); v > 0; --v) {
    VariableLayout variable{.name = "v" + std::to_string(v),
                            .type = from_to(0, 3) == 0 ? StoredType::i64 : StoredType::f64,
                            .cadence = static_cast<int>(from_to(
                                -1, static_cast<std::int64_t>(layout.cadences.size()) - 1))};
    for (std::int64_t e = from_to(0, 3); e > 0; --e)
      variable.extents.push_back({.name = "e" + std::to_string(e), .size = from_to(1, 5)});
    layout.variables.push_back(variable);
  }
  std::map<std::string, std::int64_t> widest;
  for (const auto& variable : layout.variables)
    for (const Extent& e : variable.extents) widest[e.name] = std::max(widest[e.name], e.size);

  std::vector<Numbers> expected;
  std::vector<Integers> sizes;  // (member, sample, extents...)
  for (const auto& variable : layout.variables) {
    Integers size{
        layout.members,
        variable.cadence < 0
            ? 1
            : static_cast<std::int64_t>(
                  layout.cadences[static_cast<std::size_t>(variable.cadence)].steps.size())};
    for (const Extent& e : variable.extents) size.push_back(widest[e.name]);
    sizes.push_back(size);
    expected.emplace_back(static_cast<std::size_t>(std::accumulate(
                              size.begin(), size.end(), std::int64_t{1}, std::multiplies<>{})),
                          variable.type == StoredType::i64 ? static_cast<double>(least) : nan);
  }
  SampleLog log = SampleLog::create(log_, layout);
  for (int round = 0; round < 400; ++round) {
    const auto v = static_cast<std::size_t>(
        from_to(0, static_cast<std::int64_t>(layout.variables.size()) - 1));
    const bool integer = layout.variables[v].type == StoredType::i64;
    const std::int64_t sample = from_to(0, sizes[v][1] - 1);
    Integers members;
    if (from_to(0, 1) == 0) {
      const std::int64_t first = from_to(0, layout.members - 1);
      for (std::int64_t m = first; m <= from_to(first, layout.members - 1); ++m)
        members.push_back(m);
    } else {
      for (std::int64_t n = from_to(1, 5); n > 0; --n)
        members.push_back(from_to(0, layout.members - 1));
    }
    Integers extents;
    for (std::size_t e = 2; e < sizes[v].size(); ++e)
      extents.push_back(from_to(0, 2) == 0 ? from_to(1, sizes[v][e]) : sizes[v][e]);
    const auto product = [](const Integers& all, std::size_t from) {
      std::int64_t p = 1;
      for (std::size_t i = from; i < all.size(); ++i) p *= all[i];
      return p;
    };
    const std::int64_t cell = product(extents, 0);
    Numbers values(members.size() * static_cast<std::size_t>(cell));
    for (double& value : values)
      value = integer
                  ? static_cast<double>(from_to(-(std::int64_t{1} << 53), std::int64_t{1} << 53))
                  : std::bit_cast<double>(random());
    log.append(SampleBlock{static_cast<int>(v), sample, members, extents, values});

    const std::int64_t wide = product(sizes[v], 2);
    for (std::size_t i = 0; i < members.size(); ++i)
      for (std::int64_t k = 0; k < wide; ++k) {
        std::int64_t rest = k, from = 0, stride = 1;
        bool inside = true;
        for (std::size_t e = extents.size(); e-- > 0;) {
          const std::int64_t at = rest % sizes[v][e + 2];
          rest /= sizes[v][e + 2];
          inside = inside && at < extents[e];
          from += at * stride;
          stride *= extents[e];
        }
        expected[v][static_cast<std::size_t>((members[i] * sizes[v][1] + sample) * wide + k)] =
            inside    ? values[i * static_cast<std::size_t>(cell) + static_cast<std::size_t>(from)]
            : integer ? static_cast<double>(least)
                      : nan;
      }
  }
  // Slabs of one value, of some, of everything: the record is the same.
  for (const std::int64_t slab_bytes :
       {std::int64_t{8}, std::int64_t{5000}, std::int64_t{1} << 28}) {
    write_record(log_, record_, slab_bytes);
    const Netcdf record(record_);
    for (std::size_t v = 0; v < layout.variables.size(); ++v) {
      const std::string& name = layout.variables[v].name;
      Integers shape = sizes[v];
      if (layout.variables[v].cadence < 0) shape.erase(shape.begin() + 1);
      ASSERT_EQ(record.shape(name), shape);
      if (layout.variables[v].type == StoredType::f64) {
        ASSERT_TRUE(same_bits(record.numbers(name), expected[v])) << name;
      } else {
        const Integers found = record.integers(name);
        for (std::size_t i = 0; i < found.size(); ++i)
          ASSERT_EQ(static_cast<double>(found[i]), expected[v][i]) << name << " " << i;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomRecords, testing::Range<std::uint64_t>(0, 25));

TEST_F(RecordTest, ChunksAndSlabsOfLargeVariablesMeet) {
  // Above a chunk in each direction: samples, members, and one value of one member and sample.
  RecordLayout layout;
  layout.members = 301;
  layout.cadences = {{.name = "", .steps = Integers(2100)}, {.name = "slow", .steps = {0, 1, 2}}};
  std::iota(layout.cadences[0].steps.begin(), layout.cadences[0].steps.end(), 0);
  layout.variables = {{.name = "loss", .cadence = 0},
                      {.name = "matrix", .cadence = 1, .extents = {{"row", 500}, {"column", 401}}}};
  {
    SampleLog log = SampleLog::create(log_, layout);
    Integers members(301);
    std::iota(members.begin(), members.end(), 0);
    Numbers values(301);
    const Integers none{}, square{500, 401};
    for (std::int64_t s = 0; s < 2100; ++s) {
      for (std::size_t m = 0; m < 301; ++m) values[m] = static_cast<double>(s * 1000 + members[m]);
      log.append(SampleBlock{0, s, members, none, values});
    }
    Numbers matrix(500 * 401);
    std::iota(matrix.begin(), matrix.end(), 0.0);
    for (const std::int64_t s : {0, 2}) {
      const Integers two{7};
      log.append(SampleBlock{1, s, two, square, matrix});
    }
  }
  for (const std::int64_t slab_bytes : {std::int64_t{1} << 20, std::int64_t{1} << 28}) {
    write_record(log_, record_, slab_bytes);
    const Netcdf record(record_);
    const Numbers loss = record.numbers("loss");
    for (std::size_t m = 0; m < 301; ++m)
      for (std::size_t s = 0; s < 2100; ++s)
        ASSERT_EQ(loss[m * 2100 + s], static_cast<double>(s * 1000 + m));
    EXPECT_EQ(record.shape("matrix"), (Integers{301, 3, 500, 401}));
    const std::size_t start[4] = {7, 1, 0, 0}, count[4] = {1, 2, 500, 401};
    Numbers found(2 * 500 * 401);
    int id = 0;
    ASSERT_EQ(nc_open(record_.c_str(), NC_NOWRITE, &id), NC_NOERR);
    ASSERT_EQ(nc_get_vara_double(id, record.variable("matrix"), start, count, found.data()),
              NC_NOERR);
    nc_close(id);
    EXPECT_TRUE(std::isnan(found[0]));
    EXPECT_EQ(found[500 * 401], 0.0);
    EXPECT_EQ(found.back(), 500.0 * 401.0 - 1.0);
  }
}

}  // namespace
}  // namespace manyfold
