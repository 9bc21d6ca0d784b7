#!/usr/bin/env bash
# Makes the peers' virtual environments: DIR/main (NumPy, SciPy, JAX, PyTorch) and DIR/neural-tangents.
# About 6 GB of disk. Environments that already hold the pinned versions are left as they are.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$here/../../../build/peers
flavour=cpu
python=""

usage() {
  cat <<EOF
setup.sh [--venv DIR] [--gpu] [--python PYTHON]
  --venv DIR       where the environments go (default build/peers)
  --gpu            JAX for CUDA 13 too (PyTorch from PyPI always comes with CUDA)
  --python PYTHON  an interpreter from 3.11 to 3.13 (default: python3.11, else python3)
EOF
}

while [ $# -gt 0 ]; do
  case $1 in
    --venv) venv=${2:?--venv needs a directory}; shift 2 ;;
    --gpu) flavour=gpu; shift ;;
    --python) python=${2:?--python needs an interpreter}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
done

works() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }
if [ -z "$python" ]; then
  for candidate in python3.11 python3; do
    if works "$candidate"; then python=$candidate; break; fi
  done
fi
if [ -z "$python" ] || ! works "$python"; then
  echo "setup.sh: needs Python 3.11 to 3.13 (found: $(python3 --version 2>&1)); name one with --python" >&2
  exit 3
fi

# environment name, requirements, further pip arguments
environment() {
  local target=$venv/$1 requirements=$here/$2
  shift 2
  if ! [ -x "$target/bin/python" ]; then
    "$python" -m venv "$target" || {
      echo "setup.sh: '$python -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
      exit 3
    }
  fi
  "$target/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
  if [ $# -gt 0 ]; then
    "$target/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  fi
}

mkdir -p "$venv"
venv=$(cd "$venv" && pwd)
environment main "requirements-$flavour.txt"
environment neural-tangents requirements-neural-tangents.txt --no-deps neural-tangents==0.6.5

cd "$here"
for peer in numpy lapack jax pytorch torch.func; do
  "$venv/main/bin/python" -c "import implementations as i, sys; print('%-16s %s' % (sys.argv[1], i.module(sys.argv[1]).version()))" "$peer"
done
"$venv/neural-tangents/bin/python" -c "import implementations as i; print('%-16s %s' % ('neural-tangents', i.module('neural-tangents').version()))"
echo "environments in $venv; next: $here/run_peers.py --scale quick"
