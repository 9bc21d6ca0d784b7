// IDX files byte by byte: every type, plain and compressed, known by ending or by first bytes, and
// what is said about those that are no IDX files, or damaged ones.
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <zlib.h>

#include "core/data/array_file.hpp"
#include "core/error.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;
using Sizes = std::vector<std::int64_t>;
using Numbers = std::vector<double>;

std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

std::string idx(int type, const Sizes& shape, const std::string& numbers) {
  std::string bytes = "\0\0"s + static_cast<char>(type) + static_cast<char>(shape.size());
  for (const std::int64_t size : shape) bytes += big_endian(static_cast<std::uint64_t>(size), 4);
  return bytes + numbers;
}

/// As one gzip member, with its header, checksum and length.
std::string gzip(const std::string& contents) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string bytes(deflateBound(&stream, contents.size()), '\0');
  std::string input = contents;
  stream.next_in = reinterpret_cast<unsigned char*>(input.data());
  stream.avail_in = static_cast<unsigned>(input.size());
  stream.next_out = reinterpret_cast<unsigned char*>(bytes.data());
  stream.avail_out = static_cast<unsigned>(bytes.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

/// 6 images of 2 x 3, bytes 0, 7, 14, ...
std::string images() {
  std::string numbers;
  for (int i = 0; i < 36; ++i) numbers += static_cast<char>(7 * i);
  return idx(0x08, {6, 2, 3}, numbers);
}

class IdxTest : public ::testing::Test {
 protected:
  std::string refusal(const fs::path& file) const {
    try {
      (void)read_array(file);
    } catch (const InputError& error) {
      const std::string text = error.what();
      EXPECT_TRUE(text.starts_with(file.string())) << text;
      return text.substr(std::min(text.size(), file.string().size()));
    }
    ADD_FAILURE() << file << " was read";
    return "";
  }

  const test::ScratchFolder folder_;
};

TEST_F(IdxTest, EveryTypeIsReadBigEndian) {
  struct Case {
    int type;
    std::string name;
    std::string numbers;
    Numbers values;
  };
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (const Case& one : std::vector<Case>{
           {0x08, "u1", "\x00\x01\x80\xff"s, {0, 1, 128, 255}},
           {0x09, "i1", "\x00\x01\x80\xff"s, {0, 1, -128, -1}},
           {0x0b, "i2", "\x01\x02\x80\x00\xff\xfe"s, {258, -32768, -2}},
           {0x0c, "i4", "\x01\x02\x03\x04\x80\x00\x00\x00"s, {16909060, -2147483648.0}},
           {0x0d,
            "f4",
            "\x3f\x80\x00\x00\xc0\x49\x0f\xdb\x7f\x80\x00\x00"s,
            {1, -3.1415927410125732, inf}},
           {0x0e,
            "f8",
            "\xbf\xf0\x00\x00\x00\x00\x00\x00\x3f\xb9\x99\x99\x99\x99\x99\x9a"s,
            {-1, 0.1}}}) {
    const Sizes shape{static_cast<std::int64_t>(one.values.size())};
    const Array array = read_array(folder_.write("a.idx", idx(one.type, shape, one.numbers)));
    EXPECT_EQ(array.type, one.name);
    EXPECT_EQ(array.shape, shape) << one.name;
    EXPECT_EQ(array.values, one.values) << one.name;
  }
}

TEST_F(IdxTest, AnyNumberOfDimensions) {
  for (const Sizes& shape : {Sizes{}, Sizes{1}, Sizes{1, 1}, Sizes{1, 1, 1, 1, 1}, Sizes(255, 1)}) {
    const Array array = read_array(folder_.write("a.idx", idx(0x08, shape, "\x05")));
    EXPECT_EQ(array.shape, shape);
    EXPECT_EQ(array.values, Numbers{5});
  }
  EXPECT_EQ(read_array(folder_.write("a.idx", idx(0x0e, {0, 7}, ""))).shape, (Sizes{0, 7}));
  EXPECT_THROW(write_array(folder_ / "b.idx", {.shape = Sizes(256, 1), .values = {1}}), InputError);
  // Longer than a piece that is read at once, and the last one is not whole.
  std::string numbers;
  for (int i = 0; i < 300'001; ++i) numbers += big_endian(static_cast<std::uint64_t>(i), 4);
  const std::string bytes = idx(0x0c, {300'001}, numbers);
  for (const fs::path& file :
       {folder_.write("long.idx", bytes), folder_.write("long.idx.gz", gzip(bytes))}) {
    const Array array = read_array(file);
    ASSERT_EQ(array.values.size(), 300'001U);
    for (std::size_t i = 0; i < array.values.size(); ++i) {
      ASSERT_EQ(array.values[i], static_cast<double>(i));
    }
  }
}

TEST_F(IdxTest, KnownByItsEndingOrItsFirstBytes) {
  for (const std::string name : {"a.idx", "A.IDX", "train-images-idx3-ubyte",
                                 "train-images.idx3-ubyte", "images", "a.bin"}) {
    for (const bool compressed : {false, true}) {
      // The ending .gz promises nothing either: what is in the file counts.
      for (const std::string gz : {"", ".gz"}) {
        const Array array =
            read_array(folder_.write(name + gz, compressed ? gzip(images()) : images()));
        EXPECT_EQ(array.shape, (Sizes{6, 2, 3})) << name << gz;
        EXPECT_EQ(array.values[35], 245) << name << gz;
      }
    }
  }
  EXPECT_EQ(refusal(folder_.write("a.txt", "1,2")),
            ": found the ending \".txt\", expected a file that ends in .npy, .npz, .safetensors, "
            ".csv, .nc or .idx");
  EXPECT_EQ(refusal(folder_.write("b.gz", gzip("1,2"))),
            ": found the ending \".gz\", expected a file that ends in .npy, .npz, .safetensors, "
            ".csv, .nc or .idx");
  try {
    (void)read_array(folder_.write("c.idx", images()), "x");
    ADD_FAILURE() << "was read";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what())
                  .find("found the variable \"x\" asked for, but an IDX file has one array"),
              std::string::npos)
        << error.what();
  }
}

TEST_F(IdxTest, WritesPlainDoubles) {
  const Array array{.shape = {2, 1}, .values = {-1, 0.1}};
  write_array(folder_ / "a.idx", array);
  const Array back = read_array(folder_ / "a.idx");
  EXPECT_EQ(back.values, array.values);
  EXPECT_EQ(back.type, "f8");
  for (const std::string name : {"a.idx.gz", "images-ubyte", "images-ubyte.gz"}) {
    EXPECT_THROW(write_array(folder_ / name, array), InputError) << name;
    EXPECT_FALSE(fs::exists(folder_ / name)) << name;
  }
}

TEST_F(IdxTest, CutShortOrTooLong) {
  const std::string whole = images();
  const std::string expected = " bytes of numbers, expected 36 for the shape (6, 2, 3)";
  EXPECT_EQ(refusal(folder_.write("a.idx", whole.substr(0, 3))),
            ": not an IDX file: found the first bytes 00 00 08, expected 00 00, a type (08, 09, "
            "0b, 0c, 0d, 0e) and the number of dimensions");
  EXPECT_EQ(refusal(folder_.write("b.idx", whole.substr(0, 9))),
            ": cut short: found 5 of the 12 bytes of its 3 sizes");
  // However it is packed: sizes that fit the type's or not.
  for (const std::string ending : {".idx", ".idx.gz"}) {
    const auto packed = [&](const std::string& bytes) {
      return folder_.write("c" + ending, ending == ".idx" ? bytes : gzip(bytes));
    };
    EXPECT_EQ(refusal(packed(whole.substr(0, whole.size() - 5))),
              ": cut short: found 31" + expected);
    EXPECT_EQ(refusal(packed(whole.substr(0, 16))), ": cut short: found 0" + expected);
    EXPECT_EQ(refusal(packed(whole + "abc")), ": too long: found 39" + expected);
    EXPECT_EQ(refusal(packed(idx(0x0b, {2}, "\1\2\3"s))),
              ": cut short: found 3 bytes of numbers, expected 4 for the shape (2,)");
  }
  // Sizes that no memory holds.
  EXPECT_EQ(
      refusal(folder_.write("d.idx", idx(0x08, {4'000'000'000, 4'000'000'000, 4'000'000'000}, ""))),
      ": found the shape (4000000000, 4000000000, 4000000000), which no memory holds");
  EXPECT_THROW((void)read_array(folder_.write("e.idx", idx(0x08, {4'000'000'000, 4'000}, ""))),
               ResourceError);
}

TEST_F(IdxTest, ForeignFilesUnderItsName) {
  const std::string expected =
      ", expected 00 00, a type (08, 09, 0b, 0c, 0d, 0e) and the number of dimensions";
  EXPECT_EQ(refusal(folder_.write("a.idx", "\x89PNG\r\n")),
            ": not an IDX file: found the first bytes 89 50 4e 47" + expected);
  EXPECT_EQ(refusal(folder_.write("b-ubyte.gz", gzip("1,2\n"))),
            ": not an IDX file: found the first bytes 31 2c 32 0a" + expected);
  EXPECT_EQ(refusal(folder_.write("c.idx", idx(0x0a, {1}, "1"))),
            ": not an IDX file: found the first bytes 00 00 0a 01" + expected);
  EXPECT_EQ(refusal(folder_.write("d.idx.gz", gzip(""))),
            ": not an IDX file: found the first bytes (none)" + expected);
  EXPECT_EQ(refusal(folder_.write("e.idx", "")), ": the file is empty");
}

TEST_F(IdxTest, DamagedCompression) {
  const std::string whole = gzip(images());
  EXPECT_EQ(refusal(folder_.write("a.idx.gz", whole.substr(0, whole.size() - 3))),
            ": cut short: its gzip data end in the middle, after 52 bytes of the contents");
  std::string checksum = whole;
  checksum[checksum.size() - 6] ^= 1;
  EXPECT_TRUE(refusal(folder_.write("b.idx.gz", checksum))
                  .starts_with(": its gzip data are damaged: they do not decompress beyond byte "));
  std::string length = whole;
  length[length.size() - 1] ^= 1;
  EXPECT_TRUE(
      refusal(folder_.write("c.idx.gz", length)).starts_with(": its gzip data are damaged"));
  std::string method = whole;
  method[2] ^= 1;
  EXPECT_TRUE(
      refusal(folder_.write("d.idx.gz", method)).starts_with(": its gzip data are damaged"));
  // Whatever is missing or damaged: refused, and never read as other numbers. (Nothing depends on
  // the time in bytes 4 to 9, nor on the bits that fill up the last byte before the checksum.)
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_THROW((void)read_array(folder_.write("e.idx.gz", whole.substr(0, size))), InputError)
        << size;
  }
  const Numbers good = read_array(folder_.write("f.idx.gz", whole)).values;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bad = whole;
    bad[i] = static_cast<char>(bad[i] ^ 16);
    try {
      EXPECT_EQ(read_array(folder_.write("f.idx.gz", bad)).values, good) << i;
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, whole.size() - 10);
}

}  // namespace
}  // namespace manyfold
