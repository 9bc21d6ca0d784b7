"""The GPU at hand, its driver and libraries, and the host, without any package: the driver is asked through ctypes."""

from __future__ import annotations

import ctypes
import glob
import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Gpu:
    name: str
    compute_capability: str
    multiprocessors: int
    memory_bytes: int
    driver: str
    cuda: str  # the newest CUDA that the driver knows
    devices: int
    kind: str = "cuda"

    @property
    def description(self) -> str:
        return f"{self.name}, sm_{self.compute_capability.replace('.', '')}, driver {self.driver}, CUDA {self.cuda}"

    def document(self) -> dict:
        return asdict(self)


_why = ""


def why_no_gpu() -> str:
    return _why


def _refuse(reason: str) -> None:
    global _why
    _why = reason


def gpu() -> Gpu | None:
    """Device 0, as the driver describes it; None, and `why_no_gpu` says why."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return _refuse(f"no NVIDIA driver ({error})")
    code = driver.cuInit(0)
    count = ctypes.c_int(0)
    if code != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return _refuse(f"the driver finds no device (cuInit returned {code})")
    device, name, memory, version = ctypes.c_int(0), ctypes.create_string_buffer(256), ctypes.c_size_t(0), ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    driver.cuDriverGetVersion(ctypes.byref(version))

    def attribute(number: int) -> int:
        value = ctypes.c_int(0)
        driver.cuDeviceGetAttribute(ctypes.byref(value), number, device)
        return value.value

    multiprocessors, major, minor = attribute(16), attribute(75), attribute(76)
    return Gpu(name.value.decode(), f"{major}.{minor}", multiprocessors, memory.value, _driver_version(), _cuda(version.value), count.value)


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver_version() -> str:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        text = ctypes.create_string_buffer(96)
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0:
            return text.value.decode()
    except OSError:
        pass
    try:
        found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", Path("/proc/driver/nvidia/version").read_text())
        return found[1] if found else "unknown"
    except OSError:
        return "unknown"


def cuda_homes() -> list[Path]:
    named = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")]
    return [Path(home) for home in dict.fromkeys([*filter(None, named), "/usr/local/cuda", *sorted(glob.glob("/usr/local/cuda-*"), reverse=True)])]


def tool_path() -> str:
    folders = [os.environ.get("PATH", ""), *(str(home / "bin") for home in cuda_homes())]
    return os.pathsep.join(filter(None, folders))


def library_folders(library: Path) -> list[Path]:
    """Where the CUDA libraries that `library` needs are, as far as the system's own search would miss them: a toolkit's
    folder first, then those of a PyTorch or JAX installed by pip for this Python."""
    wanted = sorted(set(re.findall(rb"lib(?:cudart|cublas|cublasLt|cusolver|cusparse|nvJitLink)\.so\.\d+", library.read_bytes())))
    candidates = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    for home in cuda_homes():
        candidates += [home / "lib64", home / "targets" / "x86_64-linux" / "lib"]
    for site in sys.path:
        candidates += sorted(Path(site).glob("nvidia/*/lib")) if site else []
    folders = []
    for name in wanted:
        found = next((folder for folder in candidates if (folder / name.decode()).exists()), None)
        if found and found not in folders:
            folders.append(found)
    return folders


def host() -> dict:
    model = platform.processor()
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        model = found[1] if found else model
    except OSError:
        pass
    system = f"{platform.system()} {platform.release()}"
    try:
        release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.M))
        system = f"{release['PRETTY_NAME']}, {system}"
    except (OSError, KeyError):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": model, "cores": cores, "os": system, "python": platform.python_version()}
