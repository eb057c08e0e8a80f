#!/bin/sh
# All that only a GPU can show, part after part, whatever fails; what failed or was left out is named at the end.
#   tests/gpu.sh PYTHON_BIN_FOLDER
#   TENSORRT='tensorrt-cu12 pycuda cuda-bindings==12.* polygraphy' tests/gpu.sh PYTHON_BIN_FOLDER
# TENSORRT is what pip installs beside mdsgen: packages for an older driver, or all but the first on a Jetson.
set -uf
bin=$1
packages=${TENSORRT:-"--editable .[tensorrt]"}
built=build/gpu
failed=""
left_out=""
export MDSGEN_GPU_BUNDLE="$built/tiny" # the tests take it, and with it no GPU is a failure, not a reason to skip

part() { # part NAME COMMAND…
    name=$1
    shift
    printf '\n=== %s\n' "$name"
    "$@" || failed="$failed
  $name"
}

sanitize() { # sanitize NAME TOOL
    if command -v compute-sanitizer >/dev/null; then
        part "$1" compute-sanitizer --tool "$2" --error-exitcode 1 \
            "$bin/python" -m pytest -q -m gpu -o timeout=3600 tests/kernels
    else
        left_out="$left_out
  $1: compute-sanitizer is not on the PATH"
    fi
}

mkdir -p "$built"
printf '\n=== %s\n' "install TensorRT, pycuda, cuda-bindings"
"$bin/python" -m pip install --quiet $packages # several, without quotes
"$bin/python" -c 'import tensorrt, pycuda.driver, cuda.bindings.driver
from mdsgen.engines.cuda import Device
device = Device.acquire()
print(f"TensorRT {tensorrt.__version__}, {device.name}, {device.compute_capability}, CUDA {device.cuda}")
device.release()' || { printf '\nnothing was run: see "Needed" in docs/tensorrt.md\n'; exit 1; }

part "plans: untrained Tiny, paper geometry, FP16" "$bin/mdsgen-export" --untrained --model tiny --geometry paper \
    --precision fp16 --engine tensorrt --replace -o "$built/tiny"
part "plans: demo model, FP16" "$bin/mdsgen-export" --precision fp16 --engine tensorrt --replace -o "$built/demo"
part "tests" "$bin/python" -m pytest -m gpu -rsP
sanitize "memory errors" memcheck
sanitize "races" racecheck
part "stages of Tiny" "$bin/mdsgen-bench" --bundle "$built/tiny" --engine tensorrt --steps 25 --repeat 30
part "stages of the demo model" "$bin/mdsgen-bench" --bundle "$built/demo" --engine tensorrt --repeat 30
part "loops of 25 steps, Tiny" "$bin/mdsgen-bench" --bundle "$built/tiny" --of loop --steps 25 --repeat 30 --warmup 5 \
    --compare torch-fp16,torch-compile,tensorrt-stream,tensorrt
part "clips of 25 steps, Tiny" "$bin/mdsgen-bench" --bundle "$built/tiny" --of clip --steps 25 --torch-steps 25 \
    --repeat 10 --warmup 3 --compare torch-fp16,torch-compile,tensorrt-stream,tensorrt

[ -z "$left_out" ] || printf '\nleft out:%s\n' "$left_out"
if [ -n "$failed" ]; then
    printf '\nfailed:%s\n' "$failed"
    exit 1
fi
[ -n "$left_out" ] && printf '\nall other parts passed\n' || printf '\nall parts passed\n'
