#!/bin/sh
# The lean install and its tests, in a virtual environment of their own, for each Python version named that is present:
# "3.12" with the newest packages, "3.10=tests/lowest.txt" with those that the file says.
# No step may hang: each has a limit, far beyond what it takes.
set -eu

interpreter() {
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

for wanted in "$@"; do
    version=${wanted%%=*}
    constraints=
    if [ "$version" != "$wanted" ]; then constraints="--constraint ${wanted#*=}"; fi
    if ! python=$(interpreter "$version"); then
        echo "lean tests: Python $version is not here, skipped"
        continue
    fi
    venv=".venv-lean-$version"
    echo "lean tests: Python $version ${constraints:-with the newest packages}"
    "$python" -m venv "$venv"
    timeout -k 10 300 "$venv/bin/python" -m pip install --quiet --no-input --upgrade pip </dev/null
    timeout -k 10 900 "$venv/bin/python" -m pip install --quiet --no-input $constraints --editable '.[test]' </dev/null
    "$venv/bin/python" -c 'import importlib.util as u; assert not u.find_spec("torch") and not u.find_spec("onnx")'
    OMP_NUM_THREADS=1 timeout -k 10 1800 "$venv/bin/python" -m pytest -q -n "${WORKERS:-2}" --dist worksteal
done
