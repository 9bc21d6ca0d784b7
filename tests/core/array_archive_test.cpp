// Archives of named arrays: round trips, what NumPy and PyTorch write, and damaged files.
#include "core/data/array_archive.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/zip_archive.hpp"
#include "core/error.hpp"
#include "tests/same_bits.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ArrayArchive : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path file(const std::string& name = "weights") const {
    return folder_.path() / (name + GetParam());
  }
  static std::string bytes_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void write(const std::filesystem::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
  }
  static std::string message(const std::filesystem::path& file) {
    try {
      (void)read_arrays(file);
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  }
  test::ScratchFolder folder_;
};

std::vector<NamedArray> two_layers() {
  return {{"W_1", {.shape = {2, 3}, .values = {1, -2.5, 0, 1e-300, 1e300, 0.1}, .type = "f8"}},
          {"W_2", {.shape = {1, 2}, .values = {std::nan(""), -0.0}, .type = "f8"}},
          {"empty", {.shape = {0, 4}, .values = {}, .type = "f8"}},
          {"scalar", {.shape = {}, .values = {7}, .type = "f8"}}};
}

TEST_P(ArrayArchive, GivesBackWhatItWasGiven) {
  const std::vector<NamedArray> written = two_layers();
  write_arrays(file(), written);
  const std::vector<NamedArray> read = read_arrays(file());
  ASSERT_EQ(read.size(), written.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, written[i].name);
    EXPECT_EQ(read[i].array.shape, written[i].array.shape);
    EXPECT_EQ(read[i].array.type, "f8");
    EXPECT_TRUE(test::same_bits(read[i].array.values, written[i].array.values)) << read[i].name;
  }
  EXPECT_EQ(read_array(file(), "W_1").values, written[0].array.values);
}

TEST_P(ArrayArchive, RoundsToSinglePrecisionWhenAsked) {
  write_arrays(file(), {{"W_1", {.shape = {2}, .values = {0.1, 3}, .type = "f8"}}}, true);
  const Array read = read_arrays(file()).front().array;
  EXPECT_EQ(read.type, "f4");
  EXPECT_EQ(read.values, (std::vector<double>{static_cast<double>(0.1F), 3}));
}

TEST_P(ArrayArchive, EqualArraysMakeEqualFiles) {
  write_arrays(file("a"), two_layers());
  write_arrays(file("b"), two_layers());
  EXPECT_EQ(bytes_of(file("a")), bytes_of(file("b")));
}

TEST_P(ArrayArchive, SaysWhatIsWrongWithAFile) {
  write_arrays(file(), two_layers());
  const std::string whole = bytes_of(file());
  for (const std::size_t size : {std::size_t{3}, whole.size() / 2, whole.size() - 1}) {
    write(file("cut"), whole.substr(0, size));
    EXPECT_THAT(message(file("cut")), HasSubstr("cut" + std::string(GetParam()))) << size;
    EXPECT_NE(message(file("cut")), "no error") << size;
  }
  write(file("foreign"), "these are no weights, whatever the ending of the file says");
  EXPECT_THAT(message(file("foreign")), HasSubstr("not a "));
  EXPECT_THAT(message(file("absent")), HasSubstr("no such file"));
  try {
    (void)read_array(file(), "W_3");
    FAIL() << "there is no W_3";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("W_3"), HasSubstr("W_1, W_2, empty, scalar")));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ArrayArchive, ::testing::Values(".npz", ".safetensors"),
                         [](const auto& one) { return std::string(one.param).substr(1); });

TEST(ZipArchive, NoticesAChangedByte) {
  const test::ScratchFolder folder;
  const std::filesystem::path file = folder.path() / "a.npz";
  std::string bytes = zip_bytes(file, {{"a.npy", "some numbers"}});
  bytes[bytes.find("numbers")] = 'N';
  std::ofstream(file, std::ios::binary) << bytes;
  try {
    (void)read_zip(file);
    FAIL() << "the checksum is another";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("a.npy"), HasSubstr("checksum")));
  }
}

}  // namespace
}  // namespace manyfold
