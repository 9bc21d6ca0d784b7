// An NVTX tool of a few lines: writes every range that a program pushes and pops to a file, so that
// a test, or whoever has no profiler at hand, can see what a profiler would show.
//
//   NVTX_INJECTION64_PATH=.../libnvtx_injection.so NVTX_INJECTION_FILE=ranges.txt manyfold run ...
//
// One line each, "THREAD push NAME" or "THREAD pop"; threads are numbered from 0 in the order in
// which they appear. NVTX's header-only library loads what the first variable names at the
// program's first NVTX call.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include <nvtx3/nvToolsExt.h>

namespace {

class RangeFile {
 public:
  /// Returns the depth of the new range, as nvtxRangePush does.
  int push(const char* name) {
    const std::lock_guard lock(mutex_);
    const int thread = number_of_thread();
    if (file_ != nullptr) {
      std::fprintf(file_, "%d push %s\n", thread, name);
      std::fflush(file_);  // a program that is killed leaves what it did
    }
    return depth_[thread]++;
  }
  int pop() {
    const std::lock_guard lock(mutex_);
    const int thread = number_of_thread();
    if (file_ != nullptr) {
      std::fprintf(file_, "%d pop\n", thread);
      std::fflush(file_);
    }
    return --depth_[thread];
  }

 private:
  static std::FILE* open_file() {
    const char* name = std::getenv("NVTX_INJECTION_FILE");
    return name != nullptr ? std::fopen(name, "w") : nullptr;
  }
  int number_of_thread() {
    const auto [found, is_new] =
        threads_.try_emplace(std::this_thread::get_id(), static_cast<int>(threads_.size()));
    return found->second;
  }

  std::mutex mutex_;
  std::FILE* file_ = open_file();
  std::map<std::thread::id, int> threads_;
  std::map<int, int> depth_;
};

/// Never destroyed: ranges may end while the program's statics do.
RangeFile& range_file() {
  static RangeFile& file = *new RangeFile;
  return file;
}

int NVTX_API push_ascii(const char* name) { return range_file().push(name != nullptr ? name : ""); }
int NVTX_API push_attributes(const nvtxEventAttributes_t* attributes) {
  const bool named = attributes != nullptr && attributes->messageType == NVTX_MESSAGE_TYPE_ASCII;
  return push_ascii(named ? attributes->message.ascii : nullptr);
}
int NVTX_API pop() { return range_file().pop(); }

template <class Function>
bool replace(NvtxFunctionTable table, unsigned size, NvtxCallbackIdCore id, Function* function) {
  const auto at = static_cast<unsigned>(id);
  if (at >= size || table[at] == nullptr) return false;
  *table[at] = reinterpret_cast<NvtxFunctionPointer>(function);
  return true;
}

}  // namespace

/// Called by NVTX's library; 0 refuses.
extern "C" int NVTX_API InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_export_table) {
  const auto* callbacks =
      static_cast<const NvtxExportTableCallbacks*>(get_export_table(NVTX_ETID_CALLBACKS));
  if (callbacks == nullptr) return 0;
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) == 0) return 0;
  const bool replaced = replace(table, size, NVTX_CBID_CORE_RangePushA, push_ascii) &&
                        replace(table, size, NVTX_CBID_CORE_RangePushEx, push_attributes) &&
                        replace(table, size, NVTX_CBID_CORE_RangePop, pop);
  return replaced ? 1 : 0;
}
