"""An estimate of decoding time, from measured rates."""

from __future__ import annotations

from vfeat.job.recipe import ClipSpec
from vfeat.video_facts import Timeline

# Megapixels per CPU second, conversion and resize to 224 included.
_MEGAPIXELS_PER_S = {
    "h264": 130.0,
    "hevc": 110.0,
    "vp9": 115.0,
    "vp8": 130.0,
    "av1": 170.0,
}
_OTHER_MEGAPIXELS_PER_S = 130.0
_FRAME_S = 1e-4
_OPEN_S = 0.02


def decode_cost_s(
    codec: str, pixels: int, clip: ClipSpec, timeline: Timeline, n_keyframes: int
) -> float:
    """Estimate the CPU seconds to decode all clips of one video.

    Args:
        codec: FFmpeg's name of the codec.
        pixels: pixels of one frame.
        clip: clip grid of the recipe.
        timeline: timeline of the video.
        n_keyframes: keyframes of the timeline; 0 if unknown (one every 100 frames is assumed).
    """
    rate = _MEGAPIXELS_PER_S.get(codec, _OTHER_MEGAPIXELS_PER_S) * 1e6
    frame_s = pixels / rate + _FRAME_S
    frames = timeline.n_frames
    group = frames / n_keyframes if n_keyframes else min(frames, 100)
    return _OPEN_S + frame_s * _frames_to_decode(clip, timeline, group)


def _frames_to_decode(clip: ClipSpec, timeline: Timeline, group: float) -> float:
    """Count the frames that are decoded when seeking to the keyframe before each target."""
    frames = float(timeline.n_frames)
    if clip.sampling == "sparse":
        samples = min(frames, clip.sparse_clips * clip.num_frames)
        return min(frames, samples * (1 + group / 2))
    duration_s = max(float(timeline.duration_s), 1e-6)
    per_clip = frames * min(1.0, clip.clip_s / duration_s) + group / 2
    clips = duration_s / clip.stride_s
    looked = frames if clip.sampling == "shots" else 0.0  # to find the shots
    return looked + min(frames, max(1.0, clips * per_clip))
