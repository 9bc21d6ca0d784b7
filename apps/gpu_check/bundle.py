#!/usr/bin/env python3
"""Makes a bundle of a build with the CUDA backend: a folder, and its archive, that runs on another x86-64 Linux of the same
age or newer with a GPU, a driver and CUDA's libraries, and none of our packages. `./mf bundle` builds and then does this.

Taken along: program, tests, backend, shipped data, experiments, the peers' scripts, `mf`, this check, and every shared
library that these need, each once, found beside one another through $ORIGIN. Not taken along: the C library and its
family (every Linux has its own, and they do not mix) and CUDA's libraries (they come with the toolkit or with PyTorch).
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 40 * 2**20
PROGRAMS = ("manyfold", "kernels_tests", "models_tests")
LIBRARIES = ("libmanyfold.so", "libmanyfold_cuda.so")
FOLDERS = ("apps/experiments", "apps/bench/peers", "apps/gpu_check")
FILES = ("mf", "LICENSE", "apps/data/NOTICE")
C_LIBRARY = re.compile(r"^(ld-linux.*|lib(c|m|mvec|pthread|dl|rt|resolv|util|nsl|anl|BrokenLocale|thread_db|nss_\w+))\.so(\.\d+)*$")
CUDA = re.compile(r"^lib(cuda|cudart|cublas|cublasLt|cusolver|cusolverMg|cusparse|curand|cufft|nvJitLink|nvrtc|cupti|nvToolsExt)\.so(\.\d+)*$")
MARK = "BUNDLE"  # the file that says that a folder is one


class Failure(Exception):
    pass


def output(*command, **options) -> str:
    try:
        return subprocess.run([str(word) for word in command], check=True, text=True, stdout=subprocess.PIPE, **options).stdout
    except FileNotFoundError:
        raise Failure(f"{command[0]} is missing")
    except subprocess.CalledProcessError as error:
        raise Failure(f"{' '.join(map(str, command))}: exit code {error.returncode}")


def needed(file: Path) -> dict[str, Path | None]:
    """Every shared library that is loaded with a file: soname -> where it is found here."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    found = {}
    for line in output("ldd", file, env=environment).splitlines():
        match = re.match(r"\s*(\S+) => (not found|(/.+) \(0x)", line)
        if match:
            found[Path(match[1]).name] = Path(match[3]) if match[3] else None
    return found


def travels(name: str) -> bool:
    return not C_LIBRARY.match(name) and not CUDA.match(name)


def closure(files) -> dict[str, Path]:
    """soname -> file, without those of the C library and of CUDA; what only CUDA's own libraries need stays out as well."""
    libraries, waiting, seen = {}, list(files), set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        direct = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "--dynamic", "--wide", file))
        found = needed(file)
        for name in direct:
            if not travels(name):
                continue
            path = found.get(name)
            if path is None:
                raise Failure(f"{file} needs {name}, which is not found here")
            if name not in libraries:
                libraries[name] = path
                waiting.append(path)
    return libraries


def copy_sources(target: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".venv", "*.partial")
    for folder in FOLDERS:
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
    for file in FILES:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, target / file)


def split_debug(file: Path, debug: Path) -> None:
    """Line tables of our own code into a file beside the bundle; device code keeps its own."""
    debug.parent.mkdir(parents=True, exist_ok=True)
    output("objcopy", "--only-keep-debug", file, debug)
    output("strip", "--strip-unneeded", file)
    output("objcopy", f"--add-gnu-debuglink={debug}", file)


def packages(paths) -> dict[str, str]:
    """File -> "package version" where Debian's tools know it."""
    found = {}
    for path in paths:
        for candidate in dict.fromkeys((path.resolve(), path)):
            # dpkg knows files by the names under which they were unpacked, with or without the merged /usr.
            for name in (candidate, Path("/") / candidate.relative_to("/usr") if candidate.is_relative_to("/usr") else candidate):
                asked = subprocess.run(["dpkg-query", "--search", str(name)], text=True, capture_output=True) if shutil.which("dpkg-query") else None
                if asked and asked.returncode == 0:
                    found.setdefault(path, asked.stdout.split(": ")[0].split(",")[0])
    return found


def check(target: Path) -> None:
    """Everything is found inside, except the C library and CUDA."""
    for file in [*(target / "bin").iterdir(), *(target / "lib").iterdir()]:
        for name, path in needed(file).items():
            if travels(name) and (path is None or not path.resolve().is_relative_to(target)):
                # What CUDA's own libraries want is their business.
                if name in direct_of(file):
                    raise Failure(f"{file.name} finds {name} at {path}, outside of the bundle")


def direct_of(file: Path) -> list[str]:
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "--dynamic", "--wide", file))


def make(build: Path, target: Path) -> None:
    debug = target.with_name(target.name + ".debug")
    for folder in (target, debug):
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
            raise Failure(f"{folder} exists and is no bundle: remove it, or name another folder")
        shutil.rmtree(folder, ignore_errors=True)
    (target / "bin").mkdir(parents=True)
    (target / "lib").mkdir()
    debug.mkdir()
    (debug / MARK).write_text("line tables of the bundle of the same name, for gdb\n")

    ours = []
    for folder, names in (("bin", PROGRAMS), ("lib", LIBRARIES)):
        for name in names:
            source = build / folder / name
            if not source.exists():
                raise Failure(f"{source} is missing: the bundle needs a build with tests and with the CUDA backend")
            ours.append(target / folder / name)
            shutil.copy2(source, ours[-1])
    libraries = closure([build / folder / name for folder, names in (("bin", PROGRAMS), ("lib", LIBRARIES)) for name in names])
    for name in LIBRARIES:
        libraries.pop(name, None)
    for name, path in sorted(libraries.items()):
        shutil.copyfile(path.resolve(), target / "lib" / name)
        os.chmod(target / "lib" / name, 0o755)
    for file in ours:
        split_debug(file, debug / f"{file.name}.debug")
    for file in (target / "bin").iterdir():
        output("patchelf", "--set-rpath", "$ORIGIN/../lib", file)
    for file in (target / "lib").iterdir():
        more = ":/usr/local/cuda/lib64" if file.name == "libmanyfold_cuda.so" else ""
        output("patchelf", "--set-rpath", "$ORIGIN" + more, file)
    shutil.copytree(build / "share", target / "share")
    copy_sources(target)

    owners = packages(libraries.values())
    notices = target / "share" / "doc"
    for package in sorted(set(owners.values())):
        notice = Path("/usr/share/doc") / package.split(":")[0] / "copyright"
        if notice.exists():
            notices.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notice, notices / f"{package.split(':')[0]}.copyright")
    check(target.resolve())
    version = output(target / "bin" / "manyfold", "--version", env={}).strip()
    needs = output("ldd", "--version").splitlines()[0].split()[-1]
    lines = [
        version,
        f"made {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC; needs x86-64 Linux with the GNU C library {needs} or newer,",
        "and for the GPU a driver and the libraries of CUDA that `./mf gpu-check` finds in LD_LIBRARY_PATH, a toolkit",
        "(CUDA_HOME, /usr/local/cuda), or the PyTorch or JAX of `python3`.",
        "",
        "./mf gpu-check     checks the GPU at hand      bin/manyfold --help     the program",
        "",
        "Shared libraries of others, with the packages they come from (their notices: share/doc):",
        *(f"  lib/{name:<28} {owners.get(path, 'unknown')}" for name, path in sorted(libraries.items())),
    ]
    (target / MARK).write_text("\n".join(lines) + "\n")


def archive(target: Path, file: Path) -> int:
    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return None if "__pycache__" in entry.name else entry

    partial = file.with_name(file.name + ".partial")
    with tarfile.open(partial, "w:xz", preset=6) as tar:
        tar.add(target, arcname=file.name[: -len(".tar.xz")], filter=plain)
    os.replace(partial, file)
    return file.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="a build folder with tests and the CUDA backend")
    parser.add_argument("target", type=Path, help="the folder to make, or the archive FILE.tar.xz; the other is made beside it")
    options = parser.parse_args()
    target = options.target.absolute()
    if target.name.endswith(".tar.xz"):
        target = target.with_name(target.name[: -len(".tar.xz")])
    file = target.with_name(target.name + ".tar.xz")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        make(options.build.resolve(), target)
        size = archive(target, file)
    except Failure as failure:
        print(f"bundle: {failure}", file=sys.stderr)
        return 1
    whole = sum(entry.stat().st_size for entry in target.rglob("*") if entry.is_file())
    count = len(list((target / "lib").iterdir()))
    print(f"folder   {target} ({whole / 2**20:.1f} MiB, {count} shared libraries)\narchive  {file} ({size / 2**20:.1f} MiB)")
    if size > LARGEST:
        print(f"bundle: the archive is larger than {LARGEST >> 20} MiB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
