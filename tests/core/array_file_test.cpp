// Arrays in files: what NumPy and netCDF4 write is read, what is written they read, and whatever is
// wrong with a file is said with its place.
#include "core/data/array_file.hpp"

#include <bit>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/data/netcdf_reader.hpp"
#include "core/error.hpp"
#include "tests/same_bits.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold {
namespace {

namespace fs = std::filesystem;
using Sizes = std::vector<std::int64_t>;
using Numbers = std::vector<double>;
using test::same_bits;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The numbers of array_files.py.
Numbers numbers(char kind, int count) {
  Numbers values;
  for (int i = 0; i < count; ++i) {
    const int residue = 7 * i % 23;
    if (kind == 'b') values.push_back(i % 3 == 0 ? 1 : 0);
    if (kind == 'u') values.push_back(residue);
    if (kind == 'i') values.push_back(residue - 11);
    if (kind == 'f') values.push_back((residue - 11) / 4.0);
  }
  return values;
}

class ArrayFileTest : public ::testing::Test {
 protected:
  fs::path file(const std::string& name) const { return folder_ / name; }
  fs::path written(const std::string& name, std::string_view bytes) const {
    std::ofstream out(file(name), std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file(name);
  }
  static std::string bytes_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// A version 1 file with this header and this many bytes of numbers.
  fs::path npy(const std::string& name, const std::string& header, std::size_t bytes) const {
    std::string text = "\x93NUMPY";
    text += '\1';
    text += '\0';
    text += static_cast<char>(header.size() & 255);
    text += static_cast<char>(header.size() >> 8);
    return written(name, text + header + std::string(bytes, '\0'));
  }
  std::string refusal(const fs::path& path, const std::string& variable = "") const {
    try {
      (void)read_array(path, variable);
    } catch (const InputError& error) {
      const std::string text = error.what();
      EXPECT_TRUE(text.starts_with(path.string())) << text;
      return text.substr(std::min(text.size(), path.string().size()));
    }
    ADD_FAILURE() << path << " was read";
    return "";
  }

  /// Runs array_files.py; false, and the test is skipped, where it cannot run.
  bool python(const std::string& what) {
    const fs::path script = fs::path(MANYFOLD_SOURCE_DIR) / "tests/core/array_files.py";
    const std::string command = "/usr/bin/python3 -B '" + script.string() + "' " + what + " '" +
                                folder_.path().string() + "' 2>&1";
    std::FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return false;
    std::string said(100'000, '\0');
    said.resize(std::fread(said.data(), 1, said.size(), pipe));
    const int status = pclose(pipe);
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) {
      skipped_ = "NOT CHECKED: arrays in NumPy (python3-numpy, python3-netcdf4): " + said;
      return false;
    }
    EXPECT_NE(said.find("array_files: done"), std::string::npos) << said;
    return true;
  }

  const test::ScratchFolder folder_;
  std::string skipped_;
};

TEST_F(ArrayFileTest, ReadsWhatNumPyWrites) {
  if (!python("write")) GTEST_SKIP() << skipped_;
  for (const std::string type :
       {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}) {
    for (const std::string order : {"", "_fortran"}) {
      const Array array = read_array(file(type + order + ".npy"));
      EXPECT_EQ(array.shape, (Sizes{2, 3, 4}));
      EXPECT_EQ(array.type, type);
      EXPECT_TRUE(same_bits(array.values, numbers(type[0], 24))) << type << order;
    }
  }
  for (const std::string version : {"version1.npy", "version2.npy", "version3.npy"}) {
    EXPECT_TRUE(same_bits(read_array(file(version)).values, numbers('f', 5))) << version;
  }
  const Array scalar = read_array(file("scalar.npy"));
  EXPECT_EQ(scalar.shape, Sizes{});
  EXPECT_EQ(scalar.values, Numbers{2.5});
  const Array nothing = read_array(file("nothing.npy"));
  EXPECT_EQ(nothing.shape, (Sizes{0, 3}));
  EXPECT_TRUE(nothing.values.empty());

  const Numbers half = read_array(file("every_half.npy")).values;
  const Numbers wanted = read_array(file("every_half_as_double.npy")).values;
  ASSERT_EQ(half.size(), 65536U);
  for (std::size_t i = 0; i < half.size(); ++i) {
    if (std::isnan(wanted[i])) {
      EXPECT_TRUE(std::isnan(half[i])) << i;
    } else {
      EXPECT_EQ(std::bit_cast<std::int64_t>(half[i]), std::bit_cast<std::int64_t>(wanted[i])) << i;
    }
  }

  for (const std::string name : {"plain.csv", "names.csv", "comment.csv"}) {
    const Array table = read_array(file(name));
    EXPECT_EQ(table.shape, (Sizes{4, 3})) << name;
    EXPECT_TRUE(same_bits(table.values, numbers('f', 12))) << name;
  }

  for (const std::string type : {"i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"}) {
    const Array array = read_array(file("types.nc"), "family_0/inner/v_" + type);
    EXPECT_EQ(array.shape, (Sizes{2, 3, 4}));
    EXPECT_EQ(array.type, type);
    EXPECT_TRUE(same_bits(array.values, numbers(type[0], 24))) << type;
  }
  const Array one = read_array(file("one.nc"));  // x is the coordinate of a dimension
  EXPECT_EQ(one.values, numbers('f', 3));
  EXPECT_EQ(read_array(file("one.nc"), "x").values, (Numbers{10, 20, 30}));
  const Array packed = read_array(file("packed.nc"));
  ASSERT_EQ(packed.values.size(), 3U);
  EXPECT_EQ(packed.values[0], 102);
  EXPECT_TRUE(std::isnan(packed.values[1]));
  EXPECT_EQ(packed.values[2], 103);
}

TEST_F(ArrayFileTest, RefusesWhatIsNoPlainNumber) {
  if (!python("write")) GTEST_SKIP() << skipped_;
  EXPECT_EQ(refusal(file("big_endian.npy")),
            ": found big-endian numbers (\">f8\"), expected little-endian booleans, integers or "
            "floats of at most 8 bytes; NumPy's .astype('<f8') makes them");
  const std::string expected =
      ", expected little-endian booleans, integers or floats of at most 8 bytes";
  EXPECT_EQ(refusal(file("complex.npy")), ": found complex numbers (\"<c16\")" + expected);
  EXPECT_EQ(refusal(file("objects.npy")), ": found Python objects (\"|O\")" + expected);
  EXPECT_EQ(refusal(file("texts.npy")), ": found texts (\"<U2\")" + expected);
  EXPECT_EQ(refusal(file("dates.npy")), ": found dates or times (\"<M8[D]\")" + expected);
  EXPECT_EQ(refusal(file("long_double.npy")),
            ": found numbers of another kind (\"<f16\")" + expected);
  EXPECT_EQ(refusal(file("structured.npy")),
            ": its elements are structured (several fields each), expected plain numbers");
  EXPECT_EQ(read_array(file("archive.npz")).values, (std::vector<double>{1, 1}));
  EXPECT_EQ(read_array(file("packed.npz"), "b").values, (std::vector<double>(200, 0.5)));
  fs::rename(file("archive.npz"), file("archive.npy"));
  EXPECT_EQ(refusal(file("archive.npy")),
            ": not a .npy file: it does not begin with \\x93NUMPY (it is a .npz or .zip)");
  EXPECT_EQ(refusal(file("types.nc"), "family_0/inner/words"),
            ": the variable family_0/inner/words holds texts, expected numbers");
  EXPECT_EQ(refusal(file("types.nc"), "family_0/inner/letters"),
            ": the variable family_0/inner/letters holds texts, expected numbers");
  try {  // 2^40 doubles that the file does not hold
    (void)read_array(file("huge.nc"));
    ADD_FAILURE() << "was read";
  } catch (const ResourceError& error) {
    EXPECT_NE(std::string(error.what()).find("of shape (1099511627776,), take 8.8e+12 bytes"),
              std::string::npos)
        << error.what();
  }
}

TEST_F(ArrayFileTest, NumPyReadsWhatIsWritten) {
  const Array cube{.shape = {2, 3, 4}, .values = numbers('f', 24)};
  const Array odd{.shape = {7},
                  .values = {0.1, -0.0, 5e-324, 1.7976931348623157e308, inf, -inf, nan}};
  write_array(file("cube.npy"), cube);
  write_array(file("cube.nc"), cube, "group/inner/cube");
  write_array(file("vector.npy"), {.shape = {5}, .values = numbers('f', 5)});
  write_array(file("scalar.npy"), {.shape = {}, .values = {2.5}});
  write_array(file("nothing.npy"), {.shape = {0, 3}, .values = {}});
  write_array(file("mask.npy"), {.shape = {5}, .values = numbers('b', 5), .type = "b1"});
  write_array(file("odd.npy"), odd);
  write_array(file("odd.csv"), odd);
  write_array(file("table.csv"), {.shape = {4, 3}, .values = numbers('f', 12)});
  if (!python("check")) GTEST_SKIP() << skipped_;
}

TEST_F(ArrayFileTest, EveryFormatGivesTheBitsBack) {
  Numbers values = {0.1,
                    -0.0,
                    5e-324,
                    1.7976931348623157e308,
                    inf,
                    -inf,
                    nan,
                    1.0 / 3,
                    9.96920996838687e36,
                    -1e-310,
                    123456789012345680.0,
                    2.5};
  for (const Sizes& shape : {Sizes{12}, Sizes{3, 4}, Sizes{2, 3, 2}, Sizes{1, 1, 12, 1}}) {
    for (const std::string name : {"a.npy", "a.nc", "a.csv", "a.idx"}) {
      if (name == "a.csv" && shape.size() > 2) continue;
      write_array(file(name), {.shape = shape, .values = values});
      const Array back = read_array(file(name));
      EXPECT_TRUE(same_bits(back.values, values)) << name << " " << shape.size();
      EXPECT_EQ(back.shape, name == "a.csv" && shape.size() == 1 ? (Sizes{12, 1}) : shape) << name;
    }
  }
  for (const Sizes& shape : {Sizes{0}, Sizes{0, 3}, Sizes{3, 0}}) {
    for (const std::string name : {"a.npy", "a.nc", "a.idx"}) {
      write_array(file(name), {.shape = shape, .values = {}});
      EXPECT_EQ(read_array(file(name)).shape, shape) << name;
    }
  }
  // A header above 64 KiB needs version 2.
  const Sizes many(30'000, 1);
  write_array(file("many.npy"), {.shape = many, .values = {3.0}});
  EXPECT_EQ(bytes_of(file("many.npy"))[6], '\2');
  EXPECT_EQ(read_array(file("many.npy")).shape, many);
  EXPECT_EQ(read_array(file("many.npy")).values, Numbers{3.0});
}

TEST_F(ArrayFileTest, CsvAsPeopleWriteIt) {
  const Array table = read_array(written(
      "a.csv", "\xef\xbb\xbf\"x, first\", y\r\n\r\n 1 ,\t+2.5\r\n# a remark\n-3e2,NaN\n\n"));
  EXPECT_EQ(table.shape, (Sizes{2, 2}));
  EXPECT_EQ(table.values[0], 1);
  EXPECT_EQ(table.values[1], 2.5);
  EXPECT_EQ(table.values[2], -300);
  EXPECT_TRUE(std::isnan(table.values[3]));
  EXPECT_EQ(read_array(written("b.csv", "7")).shape, (Sizes{1, 1}));
  EXPECT_EQ(read_array(written("C.CSV", "1,2\n")).shape, (Sizes{1, 2}));
}

TEST_F(ArrayFileTest, BadCsvHasItsLineAndColumn) {
  EXPECT_EQ(refusal(written("a.csv", "1,2\n3,4\n\n5\n")),
            ":4: found 1 values, expected 2 as in line 1");
  EXPECT_EQ(refusal(written("b.csv", "a,b\n1,2,3\n")),
            ":2: found 3 values, expected 2 as in line 1");
  EXPECT_EQ(refusal(written("c.csv", "1,2\n3,four\n")),
            ":2: column 2: found \"four\", expected a number (nan where there is none)");
  EXPECT_EQ(refusal(written("d.csv", "1,2\n,4\n")),
            ":2: column 1: found nothing, expected a number (nan where there is none)");
  EXPECT_EQ(refusal(written("e.csv", "1,x\n3,4\n")),
            ":1: column 2: found \"x\", expected a number (nan where there is none)");
  EXPECT_EQ(refusal(written("f.csv", "1,1e999\n")),
            ":1: column 2: found \"1e999\", expected a number that a double holds");
  EXPECT_EQ(refusal(written("g.csv", "1;2\n3;4\n")),
            ":2: column 1: found \"3;4\", expected a number (nan where there is none)");
  EXPECT_EQ(refusal(written("h.csv", "a,b\n")), ": found no row of numbers");
  EXPECT_EQ(refusal(written("i.csv", std::string_view("1,2\n\0,4\n", 8))),
            ":2: not a text file: found a NUL byte");
  EXPECT_EQ(refusal(written("j.csv", "1.5.2\n"), "x"),
            ": found the variable \"x\" asked for, but a file that ends in .csv has one array "
            "without a name");
}

TEST_F(ArrayFileTest, BadFiles) {
  EXPECT_EQ(refusal(file("absent.npy")), ": no such file");
  fs::create_directory(file("folder.npy"));
  EXPECT_EQ(refusal(file("folder.npy")), ": found a folder, expected a file");
  EXPECT_EQ(refusal(written("empty.npy", "")), ": the file is empty");
  EXPECT_EQ(refusal(written("a.txt", "1")),
            ": found the ending \".txt\", expected a file that ends in .npy, .npz, .safetensors, "
            ".csv, .nc or .idx");
  EXPECT_EQ(refusal(written("noending", "1")),
            ": found no ending, expected a file that ends in .npy, .npz, .safetensors, .csv, .nc "
            "or .idx");
  ASSERT_EQ(::mkfifo(file("pipe.npy").c_str(), 0600), 0);
  EXPECT_EQ(refusal(file("pipe.npy")), ": found no regular file");
}

TEST_F(ArrayFileTest, BadNpy) {
  EXPECT_EQ(refusal(written("a.npy", "1,2\n")),
            ": not a .npy file: it does not begin with \\x93NUMPY");
  EXPECT_EQ(refusal(written("b.npy", "\x93NUMPY")),
            ": cut short: found 0 of the 2 bytes of its version");
  EXPECT_EQ(refusal(written("c.npy", std::string_view("\x93NUMPY\4\0", 8))),
            ": found version 4.0 of the .npy format, expected 1 to 3");
  EXPECT_EQ(refusal(written("d.npy", std::string_view("\x93NUMPY\1\0\1", 9))),
            ": cut short: found 1 of the 2 bytes of its header's length");
  EXPECT_EQ(refusal(written("e.npy", std::string_view("\x93NUMPY\2\0\xff\xff\xff\xff", 12))),
            ": cut short: found 12 bytes of a header that ends at 4294967307");
  const auto header = [](const std::string& shape) {
    return "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }\n";
  };
  EXPECT_EQ(refusal(npy("f.npy", header("(3,)"), 23)),
            ": cut short: found 23 bytes of numbers, expected 24 for the shape (3,)");
  EXPECT_EQ(refusal(npy("g.npy", header("(3,)"), 25)),
            ": too long: found 25 bytes of numbers, expected 24 for the shape (3,)");
  EXPECT_EQ(refusal(npy("h.npy", header("(-3,)"), 0)),
            ": found the shape (-3,), expected no negative size");
  EXPECT_EQ(refusal(npy("i.npy", header("(4611686018427387904, 4)"), 0)),
            ": found the shape (4611686018427387904, 4), which no memory holds");
  EXPECT_EQ(read_array(npy("j.npy", header("(4611686018427387904, 4, 0)"), 0)).values, Numbers{});
  EXPECT_EQ(read_array(npy("k.npy", header("(3L,)"), 24)).values, (Numbers{0, 0, 0}));
  const std::string damaged = ": its header is damaged at byte ";
  for (const std::string& text :
       {std::string("{'descr': '<f8', 'shape': (3,), }"), std::string("{'descr': <f8}"),
        std::string("{'descr': '<f8', 'fortran_order': Maybe, 'shape': (3,), }"), header("3"),
        header("(3, x)"), header("(99999999999999999999,)"), header("(3,)") + "}",
        std::string("{'descr': '<f8', 'extra': 1}"), std::string("{'descr"), std::string("")}) {
    EXPECT_TRUE(refusal(npy("l.npy", text, 24)).starts_with(damaged)) << text;
  }
}

/// Whatever byte of a good file is damaged or missing: it is read or refused, nothing else.
TEST_F(ArrayFileTest, DamagedFilesAreReadOrRefused) {
  const Array array{.shape = {3, 4}, .values = numbers('f', 12)};
  for (const std::string name : {"a.npy", "a.csv", "a.idx"}) {
    write_array(file(name), array);
    const std::string good = bytes_of(file(name));
    int refused = 0;
    for (std::size_t i = 0; i < good.size(); ++i) {
      for (const int flip : {1, 16, 128}) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ flip);
        try {
          (void)read_array(written(name, bad));
        } catch (const InputError&) {
          ++refused;
        } catch (const ResourceError&) {
          ++refused;
        }
      }
    }
    EXPECT_GT(refused, name == "a.idx" ? 35 : 50) << name;
    for (std::size_t size = 0; name != "a.csv" && size < good.size(); ++size) {
      EXPECT_THROW((void)read_array(written(name, good.substr(0, size))), InputError) << size;
    }
  }
}

TEST_F(ArrayFileTest, BadNetcdf) {
  EXPECT_TRUE(refusal(written("a.nc", "no such thing")).starts_with(": not a NetCDF file"));
  write_array(file("b.nc"), {.shape = {2}, .values = {1, 2}}, "first");
  EXPECT_EQ(refusal(file("b.nc"), "second"), ": no variable \"second\"; those there are: first");
  if (!python("write")) GTEST_SKIP() << skipped_;
  const std::string several = refusal(file("types.nc"));
  EXPECT_TRUE(several.starts_with(
      ": found 10 variables of numbers and none named, expected one of: family_0/inner/v_i1, "))
      << several;
  std::string cut = bytes_of(file("types.nc"));
  cut.resize(cut.size() / 2);
  EXPECT_TRUE(refusal(written("cut.nc", cut)).starts_with(": not a NetCDF file")) << "half a file";
}

TEST_F(ArrayFileTest, ReaderGivesBoxesAndTexts) {
  write_array(file("a.nc"), {.shape = {3, 4}, .values = numbers('f', 12)}, "g/v");
  const NetcdfReader reader(file("a.nc"));
  ASSERT_NE(reader.find("g/v"), nullptr);
  EXPECT_EQ(reader.find("v"), nullptr);
  const auto& variable = reader.at("g/v");
  EXPECT_EQ(variable.dimensions, (std::vector<std::string>{"v_0", "v_1"}));
  const Sizes start{1, 2};
  const Sizes count{2, 2};
  const Numbers all = numbers('f', 12);
  EXPECT_EQ(reader.read(variable, start, count), (Numbers{all[6], all[7], all[10], all[11]}));
  const Sizes beyond{2, 2};
  EXPECT_THROW((void)reader.read(variable, beyond, count), InputError);
}

TEST_F(ArrayFileTest, AFileAppearsWholeOrNotAtAll) {
  const Array small{.shape = {2}, .values = {1, 2}};
  const Array large{.shape = {100'000}, .values = Numbers(100'000, 0.5)};
  for (const std::string name : {"a.npy", "a.csv", "a.nc"}) {
    write_array(file(name), small);
    const std::string before = bytes_of(file(name));
    rlimit old{};
    getrlimit(RLIMIT_FSIZE, &old);
    rlimit now = old;
    now.rlim_cur = 50'000;  // what a full disk looks like to a program
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &now), 0);
    EXPECT_THROW(write_array(file(name), large), ResourceError) << name;
    setrlimit(RLIMIT_FSIZE, &old);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(bytes_of(file(name)), before) << name;
    EXPECT_FALSE(fs::exists(file(name + ".partial"))) << name;
  }
  EXPECT_THROW(write_array(file("nowhere/a.npy"), small), InputError);
  EXPECT_THROW(write_array(file("a.txt"), small), InputError);
  EXPECT_THROW(write_array(file("c.csv"), {.shape = {1, 1, 2}, .values = {1, 2}}), InputError);
  EXPECT_THROW(write_array(file("c.csv"), {.shape = {0, 2}, .values = {}}), InputError);
  EXPECT_THROW(write_array(file("c.nc"), small, "no/such//name"), InputError);
  EXPECT_THROW(write_array(file("c.npy"), {.shape = {3}, .values = {1}}), std::invalid_argument);
  EXPECT_FALSE(fs::exists(file("c.csv")) || fs::exists(file("c.nc")) || fs::exists(file("c.npy")));
}

}  // namespace
}  // namespace manyfold
