// The record of NVTX ranges. One lock; ranges nest per host thread.
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "emulation/control.hpp"
#include "nvtx3/nvToolsExt.h"

struct nvtxDomainRegistration_st {
  std::string name;
};

namespace emulation {
namespace {

struct Log {
  std::mutex mutex;
  Ranges ranges;
  std::map<std::thread::id, std::vector<std::size_t>> open;  // indices into ranges
};

Log& log() {
  static Log& instance = *new Log;
  return instance;
}

std::string text_of(const nvtxEventAttributes_t* attributes) {
  if (attributes == nullptr || attributes->messageType != NVTX_MESSAGE_TYPE_ASCII ||
      attributes->message.ascii == nullptr) {
    return {};
  }
  return attributes->message.ascii;
}

int push(const std::string& name) {
  const std::lock_guard lock(log().mutex);
  auto& stack = log().open[std::this_thread::get_id()];
  const int depth = static_cast<int>(stack.size());
  stack.push_back(log().ranges.ranges.size());
  log().ranges.ranges.push_back(Range{name, depth, true});
  ++log().ranges.pushes;
  return depth;
}

int pop() {
  const std::lock_guard lock(log().mutex);
  ++log().ranges.pops;
  auto& stack = log().open[std::this_thread::get_id()];
  if (stack.empty()) return -1;
  log().ranges.ranges[stack.back()].open = false;
  stack.pop_back();
  return static_cast<int>(stack.size());
}

nvtxRangeId_t start(const std::string& name) {
  const std::lock_guard lock(log().mutex);
  log().ranges.ranges.push_back(Range{name, 0, true});
  return log().ranges.ranges.size();
}

void mark(const std::string& name) {
  const std::lock_guard lock(log().mutex);
  log().ranges.marks.push_back(name);
}

}  // namespace

Ranges ranges() {
  const std::lock_guard lock(log().mutex);
  return log().ranges;
}

void clear_ranges() {
  const std::lock_guard lock(log().mutex);
  log().ranges = Ranges{};
  log().open.clear();
}

}  // namespace emulation

extern "C" {

int nvtxRangePushA(const char* message) { return emulation::push(message); }
int nvtxRangePushEx(const nvtxEventAttributes_t* eventAttrib) {
  return emulation::push(emulation::text_of(eventAttrib));
}
int nvtxRangePop() { return emulation::pop(); }
nvtxRangeId_t nvtxRangeStartA(const char* message) { return emulation::start(message); }
nvtxRangeId_t nvtxRangeStartEx(const nvtxEventAttributes_t* eventAttrib) {
  return emulation::start(emulation::text_of(eventAttrib));
}
void nvtxRangeEnd(nvtxRangeId_t id) {
  const std::lock_guard lock(emulation::log().mutex);
  auto& ranges = emulation::log().ranges.ranges;
  if (id != 0 && id <= ranges.size()) ranges[id - 1].open = false;
}
void nvtxMarkA(const char* message) { emulation::mark(message); }
void nvtxMarkEx(const nvtxEventAttributes_t* eventAttrib) {
  emulation::mark(emulation::text_of(eventAttrib));
}
void nvtxNameOsThreadA(std::uint32_t, const char*) {}
nvtxDomainHandle_t nvtxDomainCreateA(const char* name) { return new nvtxDomainRegistration{name}; }
void nvtxDomainDestroy(nvtxDomainHandle_t domain) { delete domain; }
int nvtxDomainRangePushEx(nvtxDomainHandle_t, const nvtxEventAttributes_t* eventAttrib) {
  return emulation::push(emulation::text_of(eventAttrib));
}
int nvtxDomainRangePop(nvtxDomainHandle_t) { return emulation::pop(); }

}  // extern "C"
