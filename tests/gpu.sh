#!/bin/sh
# All that only a GPU can show, part after part, whatever fails; what failed is named at the end.
#   tests/gpu.sh PYTHON_BIN_FOLDER
set -u
bin=$1
built=build/gpu
failed=""

part() { # part NAME COMMAND…
    name=$1
    shift
    printf '\n=== %s\n' "$name"
    "$@" || failed="$failed
  $name"
}

sanitize() { # sanitize TOOL
    command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not on the PATH: left out"; return 0; }
    compute-sanitizer --tool "$1" --error-exitcode 1 "$bin/python" -m pytest -q -m gpu tests/kernels
}

mkdir -p "$built"
part "install TensorRT, pycuda, cuda-bindings" "$bin/python" -m pip install --quiet --editable '.[tensorrt]'
part "plans: untrained Tiny, paper geometry, FP16" "$bin/mdsgen-export" --untrained --model tiny --geometry paper \
    --precision fp16 --engine tensorrt --replace -o "$built/tiny"
part "plans: demo model, FP16" "$bin/mdsgen-export" --precision fp16 --engine tensorrt --replace -o "$built/demo"
part "tests" env MDSGEN_GPU_BUNDLE="$built/tiny" "$bin/python" -m pytest -m gpu -rs
part "memory errors" sanitize memcheck
part "races" sanitize racecheck
part "stages of Tiny" "$bin/mdsgen-bench" --bundle "$built/tiny" --engine tensorrt --steps 25 --repeat 30
part "stages of the demo model" "$bin/mdsgen-bench" --bundle "$built/demo" --engine tensorrt --repeat 30
part "loops of 25 steps, Tiny" "$bin/mdsgen-bench" --bundle "$built/tiny" --of loop --steps 25 --repeat 30 --warmup 5 \
    --compare torch-fp16,torch-compile,tensorrt-stream,tensorrt
part "clips of 25 steps, Tiny" "$bin/mdsgen-bench" --bundle "$built/tiny" --of clip --steps 25 --torch-steps 25 \
    --repeat 10 --warmup 3 --compare torch-fp16,torch-compile,tensorrt-stream,tensorrt
part "attention kernel" "$bin/python" -m mdsgen.bench.attention

if [ -n "$failed" ]; then
    printf '\nfailed:%s\n' "$failed"
    exit 1
fi
printf '\nall parts passed\n'
