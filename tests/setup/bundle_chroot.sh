#!/usr/bin/env bash
# Proves that a bundle (./mf bundle) needs none of our packages: unpacks it in a bare Debian 12 in a folder (debootstrap,
# minbase: no Python, no compiler) and runs program and tests there on the CPU. That the CUDA backend is found, and what it
# misses on a machine without a driver, is read off `manyfold info`.
#
#   sudo tests/setup/bundle_chroot.sh [OPTIONS] build/manyfold-bundle.tar.xz
#
#   --base FILE      the bare system as an archive: used where it exists, else made and kept (chroot.sh's --base)
#   --mirror URL     where Debian's packages come from (default: deb.debian.org), --suite NAME (default: bookworm)
#   --keep           leave the system where it is, for a look inside
#
# Run by hand: it needs root and 600 MB of disk.
set -euo pipefail

mirror=http://deb.debian.org/debian suite=bookworm base='' keep=no archive=''
fail() {
  printf 'bundle_chroot.sh: %s\n' "$@" >&2
  exit 2
}
while (($# > 0)); do
  case $1 in
    --mirror | --suite | --base)
      (($# > 1)) || fail "$1 needs a value."
      declare "${1#--}=$2"
      shift
      ;;
    --keep) keep=yes ;;
    -h | --help)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    -*) fail "there is no option $1 (--help lists them)." ;;
    *) archive=$1 ;;
  esac
  shift
done
[[ -f $archive ]] || fail "the bundle's archive is missing: '$archive' (./mf bundle makes one)."
((EUID == 0)) || fail 'it needs root (chroot does).'

root=$(mktemp -d "${TMPDIR:-/tmp}/manyfold-bundle.XXXXXX")
finish() { # unmount first: a removal must never reach into /proc
  if mountpoint -q "$root/proc"; then umount "$root/proc" || umount -l "$root/proc"; fi
  if [[ $keep == yes ]]; then
    printf 'the system: %s\n' "$root"
  elif ! mountpoint -q "$root/proc"; then
    rm -rf --one-file-system "$root"
  fi
}
trap finish EXIT
trap 'exit 130' INT TERM

if [[ -n $base && -f $base ]]; then
  tar -C "$root" --numeric-owner -xpf "$base"
else
  command -v debootstrap >/dev/null || fail 'debootstrap is missing: apt-get install debootstrap'
  debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" || {
    tail -n 20 "$root.log" >&2
    exit 1
  }
  rm -f "$root.log" "$root"/var/cache/apt/archives/*.deb
  if [[ -n $base ]]; then tar -C "$root" --numeric-owner -czpf "$base" --exclude='./proc/*' .; fi
fi
mount -t proc proc "$root/proc" 2>/dev/null || mount --bind /proc "$root/proc"
# An ordinary user, and a folder with a space in its name: a bundle may be anywhere.
mkdir -p "$root/home/somebody/some where"
tar -C "$root/home/somebody/some where" --no-same-owner --strip-components=1 -xf "$archive"
chown -R 1234:1234 "$root/home/somebody"

failures=0 checks=0
inside() { # inside NAME COMMAND: runs it in the bundle as that user; shows the end of its output
  local name=$1 started=$SECONDS status=0
  checks=$((checks + 1))
  printf '\n=== %s: %s\n' "$name" "$2"
  env -i HOME=/home/somebody LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot --userspec=1234:1234 "$root" bash -c "cd '/home/somebody/some where' && $2" \
    >"$root/output" 2>&1 </dev/null || status=$?
  tail -n "${3:-4}" "$root/output"
  if ((status != ${4:-0})); then
    printf '=== %s FAILED: status %d, expected %d\n' "$name" "$status" "${4:-0}"
    failures=$((failures + 1))
  else
    printf '=== %s passed in %d s\n' "$name" $((SECONDS - started))
  fi
}

inside 'devices' 'bin/manyfold info' 6
# The backend is there; what it waits for is a driver, or CUDA's libraries, and nothing else.
inside 'the CUDA backend' "bin/manyfold info | grep -E '^cuda .*not usable .*(driver|libcuda|libcublas)'"
inside 'a run' "bin/manyfold run apps/experiments/first.toml --device cpu --quiet --out /tmp/first \
  --set 'sweep.\"seed\"={range=[0,1]}' && test -s /tmp/first/record.nc"
inside 'kernel tests' "bin/kernels_tests --gtest_filter='*/cpu' --gtest_brief=1"
inside 'model tests' "bin/models_tests --gtest_filter='*/cpu' --gtest_brief=1"
inside 'a benchmark' 'bin/manyfold bench factorization --device cpu --seconds 0.05 --repeats 3' 6
inside 'help' './mf help' 2
inside 'no job of a checkout' './mf build' 2 2
inside 'no Python' './mf gpu-check' 2 3

printf '\n%s: %d of %d checks failed (%s packages installed)\n' "${archive##*/}" "$failures" "$checks" \
  "$(chroot "$root" dpkg-query -f . -W | wc -c)"
((failures == 0))
