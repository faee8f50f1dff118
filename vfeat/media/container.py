"""Opening of a container: its default video stream, or an error written for a person."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, cast

import av
import av.error

from vfeat.errors import StorageError, UnitError
from vfeat.media.encryption import is_encrypted
from vfeat.media.formats import FORMATS, HEAD_BYTES, describe
from vfeat.media.source import Source, storage_failure

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.video.stream import VideoStream

_OPTIONS = {
    "protocol_whitelist": "file,subfile",
    # Checked by FFmpeg after it has recognised a container and before it reads on.
    "format_whitelist": ",".join(FORMATS),
}


class Opened:
    """An open container with its default video stream; a context manager.

    Attributes:
        container, stream: PyAV's objects.
        tick_s: seconds per tick of the stream.
        source, max_pixels: as given.
        first_byte: byte of the file at which the container begins; not 0 in joined recordings.
    """

    def __init__(
        self,
        source: Source,
        max_pixels: int,
        first_byte: int = 0,
        like: Opened | None = None,
        acceleration: HWAccel | None = None,
    ) -> None:
        """Open and choose the stream.

        Args:
            source: the video.
            max_pixels: budget of a frame, pixels.
            first_byte: where to begin, in a file that can be entered anywhere.
            like: prefer the stream with the number of this one's stream.
            acceleration: what a GPU decodes the video with, where it can; also in what is opened
                `like` this.

        Raises:
            UnitError: unreadable, no_video, undecodable, too_large or storage.
        """
        self.source = source
        self.max_pixels = max_pixels
        self.first_byte = first_byte
        self._acceleration: HWAccel | None = acceleration or (like._acceleration if like else None)
        self._file = source.open()
        try:
            self.container: InputContainer = _open(
                source, self._file, first_byte, self._acceleration
            )
            self.stream: VideoStream = best_video(self.container, source.uri)
            if like is not None:
                self.stream = _same_number(self.container, like.stream.id) or self.stream
            _check_encryption(self.container, source)
            check_codec(self.stream, source.uri, max_pixels)
        except BaseException:
            self.close()
            raise
        self.tick_s = Fraction(self.stream.time_base or Fraction(1, 1000))

    @property
    def interval(self) -> int:
        """Ticks between two frames by the header's frame rate; 0 if it gives none."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return round(1 / (rate * self.tick_s)) if rate else 0

    def same_stream(self, other: Opened) -> bool:
        """Return whether one decoder can decode both streams."""
        ours, theirs = self.stream, other.stream
        same_codec = ours.codec_context.codec.id == theirs.codec_context.codec.id
        return ours.id == theirs.id and same_codec

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release FFmpeg's memory and the file."""
        container = getattr(self, "container", None)
        if container is not None:
            container.close()
        if not isinstance(self._file, str):
            with suppress(Exception):
                self._file.close()


def _open(
    source: Source, file: str | BinaryIO, first_byte: int, acceleration: HWAccel | None
) -> InputContainer:
    if first_byte:
        # FFmpeg's own protocol for a part of a file; everything behind the colon is the name.
        file = (
            f"subfile,,start,{first_byte},end,0,,:{file}"
            if isinstance(file, str)
            else cast(BinaryIO, _From(file, first_byte))
        )
    try:
        # No max_pixels here: FFmpeg would forget the size that the message must name.
        return av.open(file, "r", options=dict(_OPTIONS), hwaccel=acceleration)
    except Exception as error:
        raise explain_open(source, error) from error


class _From:
    """The part of a seekable file that begins at a byte."""

    def __init__(self, file: BinaryIO, first_byte: int) -> None:
        self._file = file
        self._first = first_byte
        file.seek(first_byte)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        place = offset + self._first if whence == 0 else offset
        return self._file.seek(place, whence) - self._first

    def tell(self) -> int:
        return self._file.tell() - self._first


def _same_number(container: InputContainer, number: int) -> VideoStream | None:
    return next((stream for stream in container.streams.video if stream.id == number), None)


def explain_open(source: Source, error: Exception) -> UnitError:
    """Turn a failure to open into the error of the unit."""
    if isinstance(error, MemoryError):
        return out_of_memory(source.uri)
    if is_io(error):
        return storage_failure(source.uri, error)
    return UnitError("unreadable", f"{source.uri}: {_what_it_is(source)}")


def is_io(error: BaseException) -> bool:
    """Return whether the bytes could not be read, as opposed to not parsed."""
    # PyAV's own errors, OSErrors among them, concern the content of the bytes.
    ours = isinstance(error, (StorageError, OSError))
    return ours and not isinstance(error, av.error.FFmpegError)


def out_of_memory(uri: str) -> UnitError:
    """Build the error of a file that needs more memory than a child may use."""
    return UnitError(
        "too_large",
        f"{uri}: decoding needs more memory than a decoder child may use "
        "(limit: decode memory_bytes)",
    )


def _what_it_is(source: Source) -> str:
    return describe(source.glance(HEAD_BYTES))


def best_video(container: InputContainer, uri: str) -> VideoStream:
    """Return FFmpeg's default video stream; cover art does not count.

    Raises:
        UnitError: no_video.
    """
    stream = container.streams.best("video")
    pictures = av.stream.Disposition.attached_pic
    if stream is None or stream.disposition & pictures:
        kinds = sorted({str(s.type) for s in container.streams}) or ["nothing"]
        cover = " (cover art only)" if stream is not None else ""
        raise UnitError("no_video", f"{uri}: no video stream{cover}; holds {', '.join(kinds)}")
    return stream  # type: ignore[return-value]


def check_codec(stream: VideoStream, uri: str, max_pixels: int) -> None:
    """Refuse a stream that cannot or must not be decoded, before anything is decoded.

    Raises:
        UnitError: undecodable or too_large.
    """
    context = stream.codec_context
    if context is None or not context.is_decoder:
        raise UnitError("undecodable", f"{uri}: no decoder for the video stream's codec")
    width = max(context.width, context.coded_width)
    height = max(context.height, context.coded_height)
    check_pixels(width, height, uri, max_pixels)


def _check_encryption(container: InputContainer, source: Source) -> None:
    # Only of local files: a remote one would have to be read twice as often.
    if not source.is_local or not container.format.name.startswith("mov,"):
        return
    with suppress(OSError), source.open_file() as file:  # FFmpeg reports what is wrong now
        if is_encrypted(file):
            raise UnitError(
                "undecodable", f"{source.uri}: is encrypted (DRM); expected a video without it"
            )


def check_pixels(width: int, height: int, uri: str, max_pixels: int) -> None:
    """Refuse a frame over the budget.

    Args:
        width, height: size of the frame, pixels.
        uri: video, for the message.
        max_pixels: budget of a frame.

    Raises:
        UnitError: too_large.
    """
    if width * height > max_pixels:
        raise UnitError(
            "too_large",
            f"{uri}: frames of {width}x{height} pixels; the limit is {max_pixels} "
            "(decode max_frame_pixels)",
        )
