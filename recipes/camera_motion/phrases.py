"""Words for what a camera does: noun phrases and verb phrases, by what they mean.

Each meaning has phrases for training and others that occur in no training caption. The words of
the latter all occur in training, in other phrases, so that a vocabulary made from the training
captions holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """Phrases of one meaning.

    Attributes:
        nouns: after "a": `pan to the left`.
        verbs: after "the camera": `pans left`.
        wholes: complete captions.
    """

    nouns: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _turned(text: str, **words: str) -> tuple[str, ...]:
    return _words(text.format(**words))


def _pan(side: str) -> Phrases:
    return Phrases(
        _turned("pan to the {s}, {s} pan, pan {s}, {s}ward pan, camera pan to the {s}, "
                "turn to the {s}, swing to the {s}, camera movement to the {s}, "
                "horizontal pan {s}, move to the {s}, pan towards the {s}, sweep {s}", s=side),
        _turned("pans {s}, pans to the {s}, turns {s}, turns to the {s}, moves to the {s}, "
                "swings {s}, looks {s}, rotates to the {s}, sweeps to the {s}, moves {s}, "
                "goes {s}, is panning {s}, is turning to the {s}", s=side),
        _turned("panning {s}, panning to the {s}, camera turning {s}, moving {s}, "
                "sweeping to the {s}", s=side),
    )  # fmt: skip


def _tilt(way: str) -> Phrases:
    return Phrases(
        _turned("tilt {w}, {w}ward tilt, camera tilt {w}, vertical move {w}, tilt {w}wards, "
                "vertical tilt {w}, camera movement {w}, swing {w}, move {w}wards", w=way),
        _turned("tilts {w}, tilts {w}wards, looks {w}, turns {w}, swings {w}, moves {w}, "
                "goes {w}, is tilting {w}, is looking {w}", w=way),
        _turned("tilting {w}, camera looking {w}, moving {w}wards, tilting the camera {w}", w=way),
    )  # fmt: skip


def _roll(way: str) -> Phrases:
    return Phrases(
        _turned("{w} roll, roll {w}, camera roll {w}, {w} rotation of the camera, "
                "dutch roll {w}, {w} turn around the lens, {w} rotation, "
                "spin {w}", w=way),
        _turned("rolls {w}, rotates {w}, turns {w} around the lens, is rolling {w}, "
                "spins {w}", w=way),
        _turned("rolling {w}, camera rotating {w}, rolling the camera {w}", w=way),
    )  # fmt: skip


def _joined(first: Phrases, second: Phrases) -> Phrases:
    return Phrases(
        first.nouns + second.nouns, first.verbs + second.verbs, first.wholes + second.wholes
    )


TRAINED: Mapping[str, Phrases] = {
    "static": Phrases(
        _words("static shot, still camera, locked-off shot, fixed camera, tripod shot, "
               "static camera, motionless camera, steady tripod shot, "
               "shot without camera movement, stationary camera, locked camera"),
        _words("stands still, does not move, is static, is fixed, is locked off, stays still, "
               "is on a tripod, holds still, is not moving, stays where it is"),
        _words("nothing moves, no camera movement, no camera motion, still, static, locked off, "
               "camera standing still, tripod"),
    ),
    "pan_left": _pan("left"),
    "pan_right": _pan("right"),
    "tilt_up": _tilt("up"),
    "tilt_down": _tilt("down"),
    "pan": Phrases(
        _words("pan, horizontal pan, sideways pan, sideways camera movement"),
        _words("pans, moves sideways, is panning"),
        _words("pan, panning, panning camera"),
    ),
    "tilt": Phrases(
        _words("tilt, vertical tilt, vertical camera movement"),
        _words("tilts, moves vertically, is tilting"),
        _words("tilt, tilting, tilting camera"),
    ),
    "zoom": Phrases(
        _words("zoom, camera zoom, zoom shot"), _words("zooms, is zooming"),
        _words("zoom, zooming"),
    ),
    "roll": Phrases(
        _words("roll, camera roll, rotation of the camera"),
        _words("rolls, rotates, is rolling, spins"), _words("roll, rolling, rotating camera"),
    ),
    "moving": Phrases(
        _words("moving camera, camera movement, camera motion, moving shot"),
        _words("moves, is moving, is in motion"),
        _words("moving camera, camera movement, camera motion"),
    ),
    "zoom_in": Phrases(
        _words("zoom in, push in, zoom into the picture, camera zoom in, move closer, dolly in, "
               "zoom towards the subject, move in, inward zoom"),
        _words("zooms in, pushes in, moves closer, goes closer, moves in, zooms into the scene, "
               "comes nearer, is zooming in, dollies in, moves towards the subject"),
        _words("zooming in, pushing in, getting closer, moving in, the picture grows larger, "
               "the subject gets bigger"),
    ),
    "zoom_out": Phrases(
        _words("zoom out, pull back, camera zoom out, pull out, move away, dolly out, "
               "zoom away from the subject, move back, outward zoom"),
        _words("zooms out, pulls back, moves away, goes back, moves back, pulls out, "
               "zooms out of the scene, is zooming out, dollies out, moves away from the subject"),
        _words("zooming out, pulling back, getting wider, moving back, the picture grows smaller, "
               "the subject gets smaller"),
    ),
    "roll_cw": _roll("clockwise"),
    "roll_ccw": _joined(_roll("counterclockwise"), _roll("anticlockwise")),
    "shake": Phrases(
        _words("shaky shot, hand-held shot, handheld camera, shaky camera, camera shake, "
               "unsteady camera, shaky handheld shot, wobbly shot, jittery camera, "
               "shot from the hand"),
        _words("shakes, is shaky, trembles, wobbles, is held in the hand, is hand-held, "
               "is shaking, is unsteady, jitters"),
        _words("hand-held, handheld, shaky, camera shake, shaking, unsteady, wobbling camera, "
               "trembling, hand-held and shaky"),
    ),
    "cut": Phrases(
        _words("cut, hard cut, cut to another shot, jump cut, cut between two shots, sudden cut, "
               "change of shot, cut to a new scene, abrupt cut, straight cut"),
        _words("cuts to another shot, cuts, jumps to another scene, cuts to a new shot"),
        _words("cut, hard cut, the shot changes, the scene changes suddenly, cutting to another "
               "scene, one shot ends and another begins"),
    ),
    "several cuts": Phrases(
        _words("series of cuts, sequence of several cuts, quick series of shots"),
        _words("cuts several times, cuts again and again"),
        _words("several cuts, many cuts, fast cutting, quick cuts"),
    ),
    "dissolve": Phrases(
        _words("dissolve, cross dissolve, crossfade, dissolve to another shot, soft transition, "
               "dissolve between two shots, cross-fade, "
               "dissolve to a new scene, blend of two shots"),
        _words("dissolves to another shot, dissolves, blends into another scene"),
        _words("dissolve, crossfade, one shot blends into another, one picture dissolves into the "
               "next, dissolving to another scene, a scene melts into another"),
    ),
    "fade": Phrases(
        _words("fade, fade transition"), _words("fades"), _words("fade, fading"),
    ),
    "fade out black": Phrases(
        _words("fade to black, fade out, fade-out, fade out to black"),
        _words("fades to black, fades out"),
        _words("fading to black, fading out, the picture goes black, it gets dark"),
    ),
    "fade in black": Phrases(
        _words("fade from black, fade in, fade-in, fade in from black"),
        _words("fades in, fades in from black"),
        _words("fading in, fading in from black, the picture appears out of black"),
    ),
    "fade out white": Phrases(
        _words("fade to white, fade out to white"), _words("fades to white"),
        _words("fading to white, the picture goes white"),
    ),
    "fade in white": Phrases(
        _words("fade from white, fade in from white"), _words("fades in from white"),
        _words("fading in from white, the picture appears out of white"),
    ),
    "fade through black": Phrases(
        _words("fade through black, fade to black and in again, dip to black"),
        _words("fades through black"), _words("fading through black"),
    ),
    "fade through white": Phrases(
        _words("fade through white, fade to white and in again, dip to white"),
        _words("fades through white"), _words("fading through white"),
    ),
}  # fmt: skip

HELD_OUT: Mapping[str, Phrases] = {
    "static": Phrases(_words("fixed shot, still tripod shot"), _words("is locked, stays fixed")),
    **{
        f"pan_{side}": Phrases(
            _turned("sweep to the {s}, {s} turn, rotation to the {s}", s=side),
            _turned("goes to the {s}, swings to the {s}, is moving {s}", s=side),
        )
        for side in ("left", "right")
    },
    **{
        f"tilt_{way}": Phrases(
            _turned("{w}ward move, turn {w}wards", w=way),
            _turned("swings {w}wards, is turning {w}", w=way),
        )
        for way in ("up", "down")
    },
    "zoom_in": Phrases(_words("push closer, zoom closer"), _words("is moving closer, gets nearer")),
    "zoom_out": Phrases(_words("pull away, zoom back"), _words("is pulling back, goes away")),
    "roll_cw": Phrases(_words("clockwise spin"), _words("is turning clockwise")),
    "roll_ccw": Phrases(
        _words("counterclockwise spin, anticlockwise turn"), _words("is turning anticlockwise")
    ),
    "shake": Phrases(
        _words("trembling camera, jittery shot, unsteady shot"), _words("is wobbly, is trembling")
    ),
    "cut": Phrases(_words("abrupt change of scene, jump to another shot"), _words("jumps")),
    "dissolve": Phrases(
        _words("blend to another scene, soft dissolve"), _words("blends into another shot")
    ),
    "fade out black": Phrases(_words("transition to black"), _words("goes black")),
    "fade in black": Phrases(_words("transition from black"), _words("appears from black")),
}
"""By the same meanings; not every one has any."""

SPEED: Mapping[str, tuple[str, ...]] = {
    "slow": ("slow", "gentle", "gradual", "slow and steady"),
    "fast": ("fast", "quick", "rapid", "swift"),
}
SPEED_ADVERB: Mapping[str, tuple[str, ...]] = {
    "slow": ("slowly", "gently", "gradually"),
    "fast": ("fast", "quickly", "rapidly", "swiftly"),
}
