// What was read last is kept: each member is validated before any is loaded, and a sweep asks for
// one file many times.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace manyfold {

/// A file as it is now, in a text that changes when the file does. File systems tell times apart
/// only so far, so of one that was written a moment ago the contents count, too.
inline std::string identity_of(const std::filesystem::path& file) {
  std::error_code missing;
  const auto time = std::filesystem::last_write_time(file, missing);
  const std::uintmax_t bytes = missing ? 0 : std::filesystem::file_size(file, missing);
  std::string identity = file.string() + '\n' + std::to_string(time.time_since_epoch().count()) +
                         '\n' + std::to_string(bytes) + '\n';
  const auto age = std::filesystem::file_time_type::clock::now() - time;
  if (!missing && std::chrono::abs(age) < std::chrono::seconds(2)) {
    std::ifstream in(file, std::ios::binary);
    const std::string contents{std::istreambuf_iterator<char>(in), {}};
    identity += std::to_string(std::hash<std::string>()(contents)) + '\n';
  }
  return identity;
}

/// The last few values by key. For one thread at a time.
template <class T, std::size_t most = 8>
class Recent {
 public:
  /// nullptr where it is not, or no longer, there.
  std::shared_ptr<const T> find(const std::string& key) {
    for (auto one = kept_.begin(); one != kept_.end(); ++one) {
      if (one->first != key) continue;
      kept_.splice(kept_.begin(), kept_, one);
      return one->second;
    }
    return nullptr;
  }
  void keep(const std::string& key, std::shared_ptr<const T> value) {
    kept_.emplace_front(key, std::move(value));
    if (kept_.size() > most) kept_.pop_back();
  }
  template <class Make>
  std::shared_ptr<const T> get(const std::string& key, const Make& make) {
    if (auto found = find(key)) return found;
    std::shared_ptr<const T> made = make();
    keep(key, made);
    return made;
  }

 private:
  std::list<std::pair<std::string, std::shared_ptr<const T>>> kept_;
};

}  // namespace manyfold
