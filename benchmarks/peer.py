"""Times a network in TensorFlow Lite or Larq Compute Engine, for a benchmark in another process.

This runs in a virtual environment of its own (`scripts/setup_peers.sh`), and imports nothing of the rest:

    python peer.py NETWORK convert FOLDER         writes FOLDER/NETWORK.tflite and FOLDER/NETWORK.larq.tflite
    python peer.py NETWORK tflite|larq FOLDER     answers each line "N" with the seconds of one of N runs

Weights are random: neither engine's time depends on them. Both run on one thread; TensorFlow Lite computes in float32
on XNNPACK, as it is delivered, and Larq Compute Engine with its indirect BGEMM, which is its fastest on x86-64.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")


def binary(layer: Any, *arguments: Any, first: bool = False, **options: Any) -> Any:
    """A layer of Larq with bits for weights and, but for the ``first``, for inputs."""
    signs = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip", "use_bias": False}
    return layer(*arguments, **signs, **({} if first else {"input_quantizer": "ste_sign"}), **options)


def mnist(keras: Any, larq: Any) -> Any:
    """The convolutional network of Larq's tutorial on MNIST."""
    conv, dense = larq.layers.QuantConv2D, larq.layers.QuantDense

    def norm() -> Any:
        return keras.layers.BatchNormalization(scale=False)

    return keras.Sequential(
        [
            binary(conv, 32, 3, first=True, input_shape=(28, 28, 1)),
            keras.layers.MaxPooling2D(2),
            norm(),
            binary(conv, 64, 3),
            keras.layers.MaxPooling2D(2),
            norm(),
            binary(conv, 64, 3),
            norm(),
            keras.layers.Flatten(),
            binary(dense, 64),
            norm(),
            binary(dense, 10),
            norm(),
            keras.layers.Activation("softmax"),
        ]
    )


def cifar10(keras: Any, larq: Any) -> Any:
    """The network of Larq's example for CIFAR-10."""
    conv, dense = larq.layers.QuantConv2D, larq.layers.QuantDense
    layers = [
        binary(conv, 128, 3, first=True, input_shape=(32, 32, 3)),
        keras.layers.BatchNormalization(scale=False),
    ]
    for channels, pool in ((128, True), (256, False), (256, True), (512, False), (512, True)):
        layers.append(binary(conv, channels, 3, padding="same"))
        layers += [keras.layers.MaxPooling2D(2)] if pool else []
        layers.append(keras.layers.BatchNormalization(scale=False))
    layers.append(keras.layers.Flatten())
    for outs in (1024, 1024, 10):
        layers += [binary(dense, outs), keras.layers.BatchNormalization(scale=False)]
    return keras.Sequential([*layers, keras.layers.Activation("softmax")])


def model(network: str) -> Any:
    """The network in Keras."""
    import larq
    import tensorflow

    if network in ("mnist", "cifar10"):
        return {"mnist": mnist, "cifar10": cifar10}[network](tensorflow.keras, larq)
    import larq_zoo

    kind = getattr(larq_zoo.sota, network, None) or getattr(larq_zoo.literature, network)
    return kind(weights=None, input_shape=(224, 224, 3))


def convert(network: str, folder: Path) -> None:
    """Write the network in both forms."""
    import larq_compute_engine
    import tensorflow

    built = model(network)
    (folder / f"{network}.larq.tflite").write_bytes(larq_compute_engine.convert_keras_model(built))
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(built)
    (folder / f"{network}.tflite").write_bytes(converter.convert())


def tflite(path: Path) -> Callable[[], object]:
    """One run of TensorFlow Lite."""
    import numpy as np
    import tensorflow

    interpreter = tensorflow.lite.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]
    interpreter.set_tensor(place["index"], np.random.default_rng(0).random(place["shape"], np.float32))
    return lambda: interpreter.invoke()


def larq_engine(path: Path) -> Callable[[], object]:
    """One run of Larq Compute Engine, with the copies that its interface makes."""
    import numpy as np
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    interpreter = Interpreter(path.read_bytes(), num_threads=1, use_indirect_bgemm=True)
    (shape,) = interpreter.input_shapes
    sample = [np.random.default_rng(0).random(shape, np.float32)]
    return lambda: interpreter.interpreter.predict(sample)


def serve(run: Callable[[], object]) -> None:
    """Answer each number of runs with the seconds of one."""
    run()
    print("ready", flush=True)
    for line in sys.stdin:
        count = int(line)
        begin = time.perf_counter()
        for _ in range(count):
            run()
        print((time.perf_counter() - begin) / count, flush=True)


def main(network: str, verb: str, folder: str) -> None:
    """Convert, or serve one engine."""
    if verb == "convert":
        convert(network, Path(folder))
    elif verb == "larq":
        serve(larq_engine(Path(folder) / f"{network}.larq.tflite"))
    else:
        serve(tflite(Path(folder) / f"{network}.tflite"))


if __name__ == "__main__":
    main(*sys.argv[1:])
