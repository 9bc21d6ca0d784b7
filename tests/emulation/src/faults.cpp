#include "faults.hpp"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "block.hpp"
#include "device_memory.hpp"
#include "sanitizer.hpp"
#include "symbols.hpp"
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

namespace emulation::detail {
namespace {

struct sigaction previous_segv;
struct sigaction previous_bus;
const DeviceMemory* watched_memory = nullptr;

thread_local const void* fault_address = nullptr;
thread_local bool fault_on_stack_guard = false;

std::string describe_kernel_fault() {
  BlockRunner& runner = *BlockRunner::running();
  char address[32];
  std::snprintf(address, sizeof address, "%p", fault_address);
  std::string text = fault_on_stack_guard
                         ? "a kernel thread overflowed its stack (see "
                           "EMULATION_STACK_BYTES): kernel "
                         : std::string("access to the illegal address ") + address + " by kernel ";
  return text + kernel_name(runner.function()) + ", " + runner.describe_thread();
}

// Where a faulting kernel thread continues, on its own stack, after the signal handler returned.
[[noreturn]] void land_after_kernel_fault() {
  BlockRunner::running()->abandon(
      fault_on_stack_guard ? cudaErrorHardwareStackError : cudaErrorIllegalAddress,
      describe_kernel_fault());
}

// Makes the interrupted thread continue in land_after_kernel_fault. The kernel thread never goes
// on, so that nothing but its stack pointer has to be sane.
bool redirect_to_landing(void* raw_context, void* other_stack) {
  [[maybe_unused]] auto* context = static_cast<ucontext_t*>(raw_context);
#if defined(__x86_64__)
  auto stack = static_cast<std::uintptr_t>(context->uc_mcontext.gregs[REG_RSP]) - 1024;
  if (other_stack != nullptr) stack = reinterpret_cast<std::uintptr_t>(other_stack);
  stack = (stack & ~std::uintptr_t{15}) - 8;  // as after a call
  context->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(stack);
  context->uc_mcontext.gregs[REG_RIP] =
      static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(&land_after_kernel_fault));
  return true;
#elif defined(__aarch64__)
  auto stack = static_cast<std::uintptr_t>(context->uc_mcontext.sp) - 1024;
  if (other_stack != nullptr) stack = reinterpret_cast<std::uintptr_t>(other_stack);
  context->uc_mcontext.sp = stack & ~std::uintptr_t{15};
  context->uc_mcontext.pc = reinterpret_cast<std::uintptr_t>(&land_after_kernel_fault);
  return true;
#else
  static_cast<void>(other_stack);
  return false;
#endif
}

[[noreturn]] void die_of_host_access(const void* address) {
  char text[320];
  const Allocation* near = watched_memory->nearest(address);
  int length = 0;
  if (near == nullptr) {
    length = std::snprintf(text, sizeof text,
                           "emulated CUDA: host code touched device memory at %p, where nothing is "
                           "allocated\n",
                           address);
  } else {
    const long long offset =
        static_cast<const unsigned char*>(address) - static_cast<const unsigned char*>(near->data);
    const bool inside = offset >= 0 && static_cast<unsigned long long>(offset) < near->bytes;
    length = std::snprintf(text, sizeof text,
                           "emulated CUDA: host code touched device memory at allocation #%llu of "
                           "%zu bytes, offset %lld%s\n",
                           static_cast<unsigned long long>(near->number), near->bytes, offset,
                           inside ? "" : " (outside of it)");
  }
  if (length > 0) {
    [[maybe_unused]] const auto written =
        write(STDERR_FILENO, text, static_cast<std::size_t>(length));
  }
  _exit(exit_code_of_host_access);
}

void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& previous = signal == SIGSEGV ? previous_segv : previous_bus;
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
    // The instruction runs again, and this time the default action strikes.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
  } else {
    previous.sa_handler(signal);
  }
}

void handle(int signal, siginfo_t* info, void* context) {
  const void* address = info->si_addr;
  BlockRunner* runner = BlockRunner::running();
  const bool on_device = watched_memory->contains(address);
  if (runner != nullptr) {
    fault_address = address;
    fault_on_stack_guard = runner->is_stack_guard(address);
    // Under AddressSanitizer other wild accesses are its to report: it names the line.
    if (on_device || fault_on_stack_guard || !under_asan) {
      void* stack = fault_on_stack_guard ? runner->emergency_stack_top() : nullptr;
      if (redirect_to_landing(context, stack)) return;
    }
  } else if (on_device) {
    die_of_host_access(address);
  }
  pass_on(signal, info, context);
}

}  // namespace

void install_fault_handler(const DeviceMemory& memory) {
  static std::once_flag once;
  std::call_once(once, [&memory] {
    watched_memory = &memory;
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &previous_segv);
    sigaction(SIGBUS, &action, &previous_bus);
  });
}

}  // namespace emulation::detail
