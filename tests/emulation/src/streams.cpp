// Streams, events and host functions.
#include <algorithm>

#include "runtime.hpp"

namespace emulation::detail {
int device_of_thread();

namespace {

cudaError_t create_stream(cudaStream_t* handle, unsigned int flags, int priority) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (handle == nullptr || (flags & ~static_cast<unsigned int>(cudaStreamNonBlocking)) != 0) {
          return cudaErrorInvalidValue;
        }
        auto stream = std::make_unique<CUstream_st>();
        stream->id = runtime.next_id_++;
        stream->flags = flags;
        stream->priority = std::clamp(priority, -5, 0);
        stream->device = device_of_thread();
        *handle = stream.get();
        runtime.streams_.push_back(std::move(stream));
        return cudaSuccess;
      });
}

// For calls that wait for a stream: an error (which spoils the capture) if it is being captured.
cudaError_t refuse_captured(Runtime& runtime, CUstream_st& stream) {
  if (stream.capture) {
    runtime.invalidate(*stream.capture);
    return cudaErrorStreamCaptureUnsupported;
  }
  const cudaError_t error = runtime.check_usable(stream);
  return error != cudaSuccess ? error : runtime.refuse_during_capture();
}

cudaError_t refuse_captured(Runtime& runtime, const CUevent_st& event) {
  if (event.capture) {
    if (!event.capture->ended) runtime.invalidate(*event.capture);
    return cudaErrorCapturedEvent;
  }
  return runtime.refuse_during_capture();
}

}  // namespace
}  // namespace emulation::detail

using namespace emulation::detail;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* pStream) {
  return create_stream(pStream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* pStream, unsigned int flags) {
  return create_stream(pStream, flags, 0);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* pStream, unsigned int flags, int priority) {
  return create_stream(pStream, flags, priority);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return Runtime::instance().release_call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        if (handle == cudaStreamLegacy || handle == cudaStreamPerThread || handle == nullptr) {
          return cudaErrorInvalidResourceHandle;
        }
        CUstream_st* stream = runtime.stream_of(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (stream->capture) {
          Capture& capture = *stream->capture;
          runtime.invalidate(capture);
          std::erase(capture.streams, stream);
          if (capture.origin == stream) {
            runtime.forget_capture(*std::shared_ptr<Capture>(stream->capture));
          }
        }
        cudaError_t error = cudaSuccess;
        if (stream->last) error = runtime.run_until({stream->last}, lock);
        erase_owned(runtime.streams_, static_cast<const CUstream_st*>(stream));
        return error;
      });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* stream = runtime.stream_of(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const cudaError_t error = refuse_captured(runtime, *stream);
        if (error != cudaSuccess) return error;
        return stream->last ? runtime.run_until({stream->last}, lock) : cudaSuccess;
      });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    CUstream_st* stream = runtime.stream_of(handle);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    const cudaError_t error = refuse_captured(runtime, *stream);
                                    if (error != cudaSuccess) return error;
                                    const PointRef last = stream->last;
                                    if (!last || last->reached) return cudaSuccess;
                                    runtime.run_some({last}, lock);
                                    if (runtime.sticky_ != cudaSuccess) return runtime.sticky_;
                                    return last->reached ? cudaSuccess : cudaErrorNotReady;
                                  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned int) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* stream = runtime.stream_of(handle);
        if (stream == nullptr || !runtime.is_event(event)) return cudaErrorInvalidResourceHandle;
        const cudaError_t usable = runtime.check_usable(*stream);
        if (usable != cudaSuccess) return usable;
        if (event->capture) {
          const std::shared_ptr<Capture>& capture = event->capture;
          if (capture->ended) return cudaErrorCapturedEvent;
          if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
          if (stream->capture && stream->capture != capture) {
            runtime.invalidate(*stream->capture);
            runtime.invalidate(*capture);
            return cudaErrorStreamCaptureMerge;
          }
          if (!stream->capture) {  // the stream joins the capture
            if (stream == &runtime.legacy_) {
              runtime.invalidate(*capture);
              return cudaErrorStreamCaptureImplicit;
            }
            stream->capture = capture;
            capture->streams.push_back(stream);
          }
          for (CUgraphNode_st* node : event->tips) {
            if (std::find(stream->tips.begin(), stream->tips.end(), node) == stream->tips.end()) {
              stream->tips.push_back(node);
            }
          }
          return cudaSuccess;
        }
        if (!event->point) return cudaSuccess;  // never recorded
        if (stream->capture) {
          runtime.invalidate(*stream->capture);
          return cudaErrorStreamCaptureIsolation;
        }
        Task task;
        task.name = "wait";
        return runtime.enqueue(*stream, std::move(task), nullptr, lock, {event->point});
      });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t fn, void* userData) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    CUstream_st* stream = runtime.stream_of(handle);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    if (fn == nullptr) return cudaErrorInvalidValue;
                                    Task task;
                                    task.kind = Task::Kind::host;
                                    task.name = "host function";
                                    task.host = [fn, userData] { fn(userData); };
                                    return runtime.enqueue(*stream, std::move(task), nullptr, lock);
                                  });
}

cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t callback,
                                  void* userData, unsigned int flags) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    CUstream_st* stream = runtime.stream_of(handle);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    if (callback == nullptr || flags != 0)
                                      return cudaErrorInvalidValue;
                                    if (stream->capture) return refuse_captured(runtime, *stream);
                                    Task task;
                                    task.kind = Task::Kind::host;
                                    task.name = "callback";
                                    task.host = [=] { callback(handle, cudaSuccess, userData); };
                                    return runtime.enqueue(*stream, std::move(task), nullptr, lock);
                                  });
}

cudaError_t cudaStreamGetPriority(cudaStream_t hStream, int* priority) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    const CUstream_st* stream = runtime.stream_of(hStream);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    *priority = stream->priority;
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t hStream, unsigned int* flags) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    const CUstream_st* stream = runtime.stream_of(hStream);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    *flags = stream->flags;
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaStreamGetId(cudaStream_t hStream, unsigned long long* streamId) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    const CUstream_st* stream = runtime.stream_of(hStream);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    *streamId = stream->id;
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaStreamGetDevice(cudaStream_t hStream, int* device) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    const CUstream_st* stream = runtime.stream_of(hStream);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    *device = stream->device;
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    if (event == nullptr) return cudaErrorInvalidValue;
                                    auto made = std::make_unique<CUevent_st>();
                                    made->flags = flags;
                                    *event = made.get();
                                    runtime.events_.push_back(std::move(made));
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned int) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* stream = runtime.stream_of(handle);
        if (stream == nullptr || !runtime.is_event(event)) return cudaErrorInvalidResourceHandle;
        const cudaError_t usable = runtime.check_usable(*stream);
        if (usable != cudaSuccess) return usable;
        if (stream->capture) {
          event->capture = stream->capture;
          event->tips = stream->tips;
          event->point = nullptr;
          return cudaSuccess;
        }
        event->capture = nullptr;
        event->tips.clear();
        Task task;
        task.name = "record";
        return runtime.enqueue(*stream, std::move(task), &event->point, lock);
      });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    if (!runtime.is_event(event))
                                      return cudaErrorInvalidResourceHandle;
                                    const cudaError_t error = refuse_captured(runtime, *event);
                                    if (error != cudaSuccess) return error;
                                    const PointRef point = event->point;
                                    if (!point || point->reached) return cudaSuccess;
                                    runtime.run_some({point}, lock);
                                    if (runtime.sticky_ != cudaSuccess) return runtime.sticky_;
                                    return point->reached ? cudaSuccess : cudaErrorNotReady;
                                  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        if (!runtime.is_event(event)) return cudaErrorInvalidResourceHandle;
        const cudaError_t error = refuse_captured(runtime, *event);
        if (error != cudaSuccess) return error;
        return event->point ? runtime.run_until({event->point}, lock) : cudaSuccess;
      });
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (ms == nullptr) return cudaErrorInvalidValue;
        if (!runtime.is_event(start) || !runtime.is_event(end) || !start->point || !end->point ||
            ((start->flags | end->flags) & cudaEventDisableTiming) != 0) {
          return cudaErrorInvalidResourceHandle;
        }
        if (!start->point->reached || !end->point->reached) return cudaErrorNotReady;
        *ms =
            std::chrono::duration<float, std::milli>(end->point->when - start->point->when).count();
        return cudaSuccess;
      });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return Runtime::instance().release_call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        return erase_owned(runtime.events_, static_cast<const CUevent_st*>(event))
                   ? cudaSuccess
                   : cudaErrorInvalidResourceHandle;
      });
}

}  // extern "C"
