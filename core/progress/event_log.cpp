// Writes events twice: as JSON lines for programs, as sentences for people.
#include "core/progress/event_log.hpp"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <mutex>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "core/error.hpp"

namespace manyfold {
namespace {

/// 0, or the errno of the write that failed.
int write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

/// What a message quotes (a file's name, a value) must not steer the terminal.
std::string printable(std::string_view message) {
  std::string text(message);
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) c = '?';
  return text;
}

}  // namespace

struct EventLog::Sinks {
  explicit Sinks(bool is_quiet) : quiet(is_quiet), terminal(isatty(STDERR_FILENO) != 0) {}
  Sinks(const Sinks&) = delete;
  Sinks& operator=(const Sinks&) = delete;
  ~Sinks() { shut(); }

  void shut() {
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
  }

  void to_people(std::string_view level, std::string_view message) const {
    // On a terminal a progress line may stand where this goes: clear it, it is redrawn below.
    const std::string line =
        fmt::format("{}{}{}\n", terminal ? "\r\x1b[K" : "",
                    level == "info" ? "" : std::string(level) + ": ", printable(message));
    write_all(STDERR_FILENO, line);
  }

  void event(std::string_view level, std::string_view event, std::string_view message,
             const std::vector<LogField>& fields) {
    const std::lock_guard lock(mutex);
    if (!quiet || level != "info") to_people(level == "warn" ? "warning" : level, message);
    if (descriptor < 0) return;
    const std::string time = utc_time(std::chrono::system_clock::now());
    const int failure =
        write_all(descriptor, event_json(time, level, event, message, fields) + "\n");
    if (failure != 0) {
      shut();
      to_people("warning", fmt::format("{}: {}; events are no longer logged there", path.string(),
                                       std::strerror(failure)));
    }
  }

  bool quiet;
  bool terminal;
  int descriptor = -1;
  std::filesystem::path path;
  std::mutex mutex;
};

EventLog::EventLog(bool quiet) : sinks_(std::make_unique<Sinks>(quiet)) {}
EventLog::~EventLog() = default;
EventLog::EventLog(EventLog&&) noexcept = default;
EventLog& EventLog::operator=(EventLog&&) noexcept = default;

void EventLog::open(const std::filesystem::path& file) {
  const std::lock_guard lock(sinks_->mutex);
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0)
    throw ResourceError(
        fmt::format("{}: cannot be opened for writing: {}", file.string(), std::strerror(errno)));
  sinks_->shut();
  sinks_->descriptor = descriptor;
  sinks_->path = file;
}

void EventLog::info(std::string_view event, std::string_view message,
                    const std::vector<LogField>& fields) {
  sinks_->event("info", event, message, fields);
}

void EventLog::warn(std::string_view event, std::string_view message,
                    const std::vector<LogField>& fields) {
  sinks_->event("warn", event, message, fields);
}

void EventLog::error(std::string_view event, std::string_view message,
                     const std::vector<LogField>& fields) {
  sinks_->event("error", event, message, fields);
}

std::string event_json(std::string_view time, std::string_view level, std::string_view event,
                       std::string_view message, const std::vector<LogField>& fields) {
  using Json = nlohmann::ordered_json;
  Json line{{"time", time}, {"level", level}, {"event", event}, {"message", message}};
  Json& object = line["fields"] = Json::object();
  for (const auto& [name, value] : fields)
    std::visit(
        [&, key = name](const auto& held) {
          if constexpr (std::is_same_v<std::decay_t<decltype(held)>, double>) {
            if (std::isfinite(held))
              object[key] = held;
            else
              object[key] = std::isnan(held) ? "nan" : held > 0 ? "inf" : "-inf";
          } else {
            object[key] = held;
          }
        },
        value);
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string utc_time(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(time - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(whole)), rest);
}

}  // namespace manyfold
