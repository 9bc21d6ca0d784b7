// Names and descriptions of errors.
#include <cctype>
#include <map>
#include <mutex>
#include <string>

#include "cuda_runtime_api.h"

namespace {

const char* name_of(cudaError_t error) {
  switch (error) {
#define EMULATION_ERROR(name) \
  case name:                  \
    return #name;
#include "error_names.inc"
#undef EMULATION_ERROR
  }
  return nullptr;
}

// "cudaErrorInvalidPitchValue" -> "invalid pitch value", for errors without a text of their own.
std::string words_of(const std::string& name) {
  std::string text;
  for (const char c : name.substr(name.starts_with("cudaError") ? 9 : 0)) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !text.empty()) text += ' ';
    text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

}  // namespace

extern "C" {

const char* cudaGetErrorName(cudaError_t error) {
  const char* name = name_of(error);
  return name != nullptr ? name : "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorLaunchOutOfResources:
      return "too many resources requested for launch";
    case cudaErrorNotPermitted:
      return "operation not permitted";
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      break;
  }
  const char* name = name_of(error);
  if (name == nullptr) return "unrecognized error code";
  static std::mutex mutex;
  static auto& texts = *new std::map<cudaError_t, std::string>;
  const std::lock_guard lock(mutex);
  return texts.try_emplace(error, words_of(name)).first->second.c_str();
}

}  // extern "C"
