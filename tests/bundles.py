"""Small, whole bundles for tests: five graph files of a few bytes, two of which share a weight file."""

from pathlib import Path

from mdsgen.bundle import DENOISER, GRAPHS, VOCODER, Manifest, describe_graph, write_manifest
from mdsgen.geometry import PAPER
from mdsgen.parity import Parity
from mdsgen.tensor import TensorSpec

INPUTS = (TensorSpec("x", "float32", ("steps", 4)), TensorSpec("gain", "float32", (1,)))
OUTPUTS = (TensorSpec("y", "float16", ("steps", 4)),)


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes, as it stands in a file."""
    head, length = number << 3 | 2, len(content)
    numbers = b""
    for value in (head, length):
        while value >= 0x80:
            numbers, value = numbers + bytes([value & 0x7F | 0x80]), value >> 7
        numbers += bytes([value])
    return numbers + content


def onnx_file(words: str, location: str | None = None) -> bytes:
    """An ONNX file of a description, and one tensor whose data lie elsewhere."""
    model = field(6, words.encode())
    if location is None:
        return model
    return model + field(7, field(5, field(13, field(1, b"location") + field(2, location.encode()))))


def fill_bundle(folder: Path) -> Manifest:
    """Write graphs and manifest into an existing folder."""
    (folder / "shared.bin").write_bytes(b"weights" * 1000)
    graphs = {}
    for name in GRAPHS:
        path = folder / f"{name}.onnx"
        data = (folder / "shared.bin",) if name in (DENOISER, VOCODER) else ()
        path.write_bytes(onnx_file(name * 20, "shared.bin" if data else None))
        graphs[name] = describe_graph(path, INPUTS, OUTPUTS, data)
    manifest = Manifest(
        geometry=PAPER,
        graphs=graphs,
        precision="fp16",
        model={"size": "tiny", "width": 192, "depth": 7, "heads": 3, "parameters": 5_012_345},
        provenance={"weights": "seeded, untrained"},
        licence="Apache-2.0",
        parity=(
            Parity("denoiser", "noise", 52.25, 40.0),
            Parity("vocoder", "waveform", float("inf"), 30.0),
            Parity("latent_decoder", "mel", 21.5, 30.0),
        ),
    )
    write_manifest(folder, manifest)
    return manifest


def make_bundle(folder: Path) -> Manifest:
    """Make the folder, and a bundle of it."""
    folder.mkdir()
    return fill_bundle(folder)
