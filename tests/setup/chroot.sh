#!/usr/bin/env bash
# Proves the set-up commands of README.md on a machine that has nothing: makes a bare Debian 12 in a
# folder (debootstrap, minbase), puts a clean clone of this checkout in it, and runs one job of ./mf
# there, each job in a fresh system. Prints the time it took and the disk it used.
#
#   sudo tests/setup/chroot.sh                       ./mf quickstart, then ./mf test
#   sudo tests/setup/chroot.sh quickstart            only that one (any job of ./mf)
#
#   --mirror URL     where Debian's packages come from (default: where this machine's apt takes them)
#   --suite NAME     Debian's release (default: bookworm)
#   --base FILE      keep the bare system in this archive, and start from it the next time
#   --folder DIR     where the systems are made (default: a new folder under ${TMPDIR:-/tmp})
#   --work-tree      take the files as they are here, committed or not, instead of a clone
#   --keep           leave the systems where they are, for a look inside
#
# Run by hand: it needs root, debootstrap, and 3 GB of disk. What this machine's apt is told about
# the network (sources, proxies, checks of dates) and the proxies in the environment hold inside too.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
checkout=$(readlink -f "$here/../..")
mirror='' suite=bookworm base='' folder='' work_tree=no keep=no jobs=()

fail() {
  printf 'chroot.sh: %s\n' "$@" >&2
  exit 2
}

while (($# > 0)); do
  case $1 in
    --mirror | --suite | --base | --folder)
      (($# > 1)) || fail "$1 needs a value."
      declare "${1#--}=$2"
      shift
      ;;
    --work-tree) work_tree=yes ;;
    --keep) keep=yes ;;
    -h | --help)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    -*) fail "there is no option $1 (--help lists them)." ;;
    *) jobs+=("$1") ;;
  esac
  shift
done
if ((${#jobs[@]} == 0)); then jobs=(quickstart test); fi

((EUID == 0)) || fail 'it needs root (debootstrap and chroot do).'
command -v debootstrap >/dev/null || fail 'debootstrap is missing: apt-get install debootstrap'

# --- how this machine's apt is set up ----------------------------------------------------------

sources=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
  'Identifier: Packages' 2>/dev/null |
  awk -v suite="$suite" '$1 == "Debian" && index($2, suite) == 1 { print "deb", $3, $4, $5 }' | sort -u)
if [[ -n $mirror ]]; then
  sources="deb $mirror $suite main"
elif [[ -n $sources ]]; then
  mirror=$(awk -v suite="$suite" '$3 == suite { print $2; exit }' <<<"$sources")
fi
[[ -n $mirror ]] ||
  fail "this machine's apt has no source of Debian $suite (perhaps apt-get update was never run):" \
    'name one with --mirror URL.'
settings=$(apt-config dump |
  grep -E '^Acquire::((http|https|ftp)::|Check-|Retries|ForceIPv|Max-ValidTime|Min-ValidTime)' || true)

proxies=()
for name in http_proxy https_proxy ftp_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [[ -n ${!name:-} ]]; then proxies+=("$name=${!name}"); fi
done

# --- the bare system ---------------------------------------------------------------------------

if [[ -z $folder ]]; then
  folder=$(mktemp -d "${TMPDIR:-/tmp}/manyfold-chroot.XXXXXX")
else
  mkdir -p "$folder"
  folder=$(readlink -f "$folder")
fi

root=
leave() { # unmount first: a removal must never reach into /proc
  if [[ -n $root && -d $root ]]; then
    if mountpoint -q "$root/proc"; then umount "$root/proc" || umount -l "$root/proc"; fi
    if [[ $keep == no ]] && ! mountpoint -q "$root/proc"; then
      rm -rf --one-file-system "$root"
    fi
  fi
}
finish() {
  leave
  if [[ $keep == no ]]; then rmdir "$folder" 2>/dev/null || true; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

bare_system() { # bare_system ROOT
  if [[ -n $base && -f $base ]]; then
    mkdir -p "$1"
    tar -C "$1" --numeric-owner -xpf "$base"
  else
    local include=()
    if [[ $mirror == https:* ]]; then include=(--include=ca-certificates); fi
    debootstrap --variant=minbase ${include[@]+"${include[@]}"} "$suite" "$1" "$mirror" >"$1.log" ||
      {
        tail -n 20 "$1.log" >&2
        exit 1
      }
    rm -f "$1.log"
    rm -f "$1"/var/cache/apt/archives/*.deb
    if [[ -n $base ]]; then tar -C "$1" --numeric-owner -czpf "$base" --exclude=./proc/* .; fi
  fi
  printf '%s\n' "$sources" >"$1/etc/apt/sources.list"
  printf '%s\n' "$settings" >"$1/etc/apt/apt.conf.d/90host"
  cp -L /etc/resolv.conf "$1/etc/resolv.conf"
  mount -t proc proc "$1/proc" 2>/dev/null || mount --bind /proc "$1/proc"
}

inside() { # inside ROOT COMMAND
  env -i HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    ${proxies[@]+"${proxies[@]}"} chroot "$1" bash -c "$2" </dev/null
}

megabytes() { du -smx "$1" | cut -f 1; }

results=()
status=0
for job in "${jobs[@]}"; do
  root="$folder/$job"
  [[ ! -e $root ]] || fail "$root is there already."
  printf '\n=== %s: a bare Debian %s in %s\n' "$job" "$suite" "$root"
  bare_system "$root"
  if [[ $work_tree == yes ]]; then
    mkdir -p "$root/root/manyfold"
    git -C "$checkout" ls-files -z --cached --others --exclude-standard |
      (cd "$checkout" && while IFS= read -r -d '' file; do
        if [[ -e $file ]]; then printf '%s\0' "$file"; fi
      done) |
      tar -C "$checkout" --null --files-from=- -cf - | tar -C "$root/root/manyfold" --no-same-owner -xf -
  else
    git clone --quiet --no-local "$checkout" "$root/root/manyfold"
  fi
  before=$(megabytes "$root")
  printf '=== %s: ./mf %s (%s packages installed, %d MB)\n' "$job" "$job" \
    "$(inside "$root" 'dpkg-query -f . -W | wc -c')" "$before"
  started=$SECONDS outcome=passed
  inside "$root" "cd /root/manyfold && ./mf $job" || outcome="FAILED (status $?)"
  taken=$((SECONDS - started))
  after=$(megabytes "$root")
  archives=$(megabytes "$root/var/cache/apt")
  checkout_size=$(megabytes "$root/root/manyfold")
  results+=("$(printf './mf %-10s %s in %d s; disk %d MB before, %d MB after (+%d MB: %d MB in the checkout, %d MB of package archives, the rest installed packages)' \
    "$job" "$outcome" "$taken" "$before" "$after" $((after - before)) "$checkout_size" "$archives")")
  if [[ $outcome != passed ]]; then status=1; fi
  leave
  root=
done

printf '\n=== bare Debian %s, %d cores\n' "$suite" "$(nproc)"
printf '%s\n' "${results[@]}"
exit "$status"
