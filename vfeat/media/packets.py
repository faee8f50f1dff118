"""A video's packets in decoding order, over all its parts, each with its time.

A recording may consist of several that were joined: in a transport or program stream the later ones
bring streams that were not there when the file was opened, or another codec under the old name.
Such a file is read as parts. Each is opened at its own byte, and the clock goes on from one to the
next. Parts begin at ever later bytes, so reading them ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import TYPE_CHECKING

import av.error

from vfeat.errors import UnitError
from vfeat.media.clock import RESTART_S, Clock, Timed
from vfeat.media.container import Opened, is_io, out_of_memory
from vfeat.media.joined import another_file
from vfeat.media.source import Progress, storage_failure

if TYPE_CHECKING:
    from typing import Any

    from av.packet import Packet

    AnyPacket = Packet[Any]

# Formats that can be entered at any byte, with the length of their packet header.
_HEADERS = {"mpegts": 188, "mpeg": 4}
_MAX_PARTS = 1000
_MAX_LOOKS = 32
# What may follow the last packet without being a part of its own: tables, the end of sound.
_TAIL_BYTES = 4096


class Read:
    """A packet and the part that it comes from, to whose decoder it belongs.

    Attributes:
        packet, opened: the two.
        pts: presentation time as the container has it, ticks; None for a hidden packet.
        dts: decoding time as the container has it, ticks.
        duration: display length as the container has it, ticks.
    """

    __slots__ = ("dts", "duration", "opened", "packet", "pts")

    def __init__(self, packet: AnyPacket, opened: Opened) -> None:
        self.packet, self.opened = packet, opened
        self.pts: int | None = None if packet.is_discard else packet.pts
        self.dts: int | None = packet.dts
        self.duration: int | None = packet.duration


class PacketReader:
    """The packets of a video's default stream; the owner closes it.

    Attributes:
        opened: the part that is read now.
        clock: times of the packets read since the last `seek` or `rewind`.
        parts: number of parts opened so far.
        warnings: sentences on what could not be read.
    """

    def __init__(
        self,
        opened: Opened,
        progress: Progress,
        *,
        continues: bool = True,
        on_other: Callable[[AnyPacket], None] | None = None,
    ) -> None:
        """Begin at the container's current position.

        Args:
            opened: the video; its owner closes it, the reader closes only what it opens itself.
            progress: called with the byte that reading has reached.
            continues: a clock that starts again goes on instead.
            on_other: called with the packets of all other streams.
        """
        self._progress = progress
        self._continues = continues
        self._on_other = on_other
        self.parts = 1
        self.warnings: list[str] = []
        self.opened = opened
        self._own: list[Opened] = []
        self._enter()

    def _enter(self) -> None:
        opened = self.opened
        self.clock: Clock[Read] = Clock(
            opened.tick_s,
            opened.interval,
            opened.stream.codec_context.reorder_depth,
            continues=self._continues,
        )
        self._slack = ceil(RESTART_S / opened.tick_s)
        self._last_byte: int | None = None
        self._previous: int | None = None
        self._looks = 0
        self._next: Opened | None = None
        self._cut_by_stream = False

    def report_to(self, progress: Progress) -> None:
        """Call another function with the byte that reading has reached."""
        self._progress = progress

    def rewind(self) -> None:
        """Open the video anew, to be read from its start."""
        opened = Opened(self.opened.source, self.opened.max_pixels)
        self.close()
        self.opened = opened
        self._own.append(opened)
        self._enter()

    def seek(self, tick: int) -> bool:
        """Seek to about a tick, at or before it if the container can; return whether it worked.

        Raises:
            UnitError: storage.
        """
        try:
            self.opened.container.seek(tick, backward=True, stream=self.opened.stream)
        except av.error.FFmpegError:
            return False
        except Exception as error:
            if not is_io(error):
                raise
            raise storage_failure(self.opened.source.uri, error) from error
        self._enter()
        return True

    def packets(self) -> Iterator[Timed[Read]]:
        """Yield all packets from here to the end, or to the first that cannot be read.

        Raises:
            UnitError: storage or too_large.
        """
        return self.clock.times(self._all_parts())

    def _all_parts(self) -> Iterator[Read]:
        while True:
            yield from self._part()
            following = self._next or self._following()
            if following is None:
                return
            self.opened, self._next = following, None
            self._previous, self._cut_by_stream = None, False
            self.parts += 1

    def _part(self) -> Iterator[Read]:
        opened, index = self.opened, self.opened.stream.index
        first_byte = opened.first_byte
        for packet in self._demuxed(opened):
            byte = first_byte + max(packet.pos or 0, 0)
            self._progress(byte)
            if packet.stream_index != index:
                if self._on_other is not None:
                    self._on_other(packet)
                continue
            if self._is_another_part(packet):
                return
            read = Read(packet, opened)
            if read.dts is not None:
                self._previous = read.dts
            if self._last_byte is None or byte > self._last_byte:
                self._last_byte = byte
            yield read

    def _demuxed(self, opened: Opened) -> Iterator[AnyPacket]:
        """Yield packets of one part until its end or the first that cannot be read."""
        wanted = () if self._on_other else (opened.stream,)
        try:
            for packet in opened.container.demux(*wanted):
                # What is empty and has no time marks the end of a stream.
                if packet.size or packet.dts is not None or packet.pts is not None:
                    yield packet
        except IndexError:
            # PyAV has only the streams that were there at opening, and stops at any other.
            self._cut_by_stream = True
        except MemoryError as error:
            raise out_of_memory(opened.source.uri) from error
        except Exception as error:
            if is_io(error):
                raise storage_failure(opened.source.uri, error) from error
            if not isinstance(error, av.error.FFmpegError):
                raise

    def _is_another_part(self, packet: AnyPacket) -> bool:
        """Return whether the clock starts again because another codec or stream begins here."""
        before, dts = self._previous, packet.dts
        if before is None or dts is None or dts >= before - self._slack:
            return False
        if self._looks >= _MAX_LOOKS or (at := self._byte_behind()) is None:
            return False
        self._looks += 1
        following = self._open_at(at)
        if following is None:
            return False
        if following.same_stream(self.opened):
            following.close()
            return False
        self._next = following
        return True

    def _byte_behind(self) -> int | None:
        """Return the first byte at which another part can begin, or None."""
        header = _HEADERS.get(self.opened.container.format.name)
        if header is None or self._last_byte is None or self.parts >= _MAX_PARTS:
            return None
        return self._last_byte + header

    def _following(self) -> Opened | None:
        """Open the part behind the one that has ended, if there is any."""
        at = self._byte_behind()
        if at is None:
            self._warn_of_rest()
            return None
        left = self.opened.first_byte + self.opened.container.size - at
        if not self._cut_by_stream and left <= _TAIL_BYTES:
            return None
        return self._open_at(at)

    def _open_at(self, byte: int) -> Opened | None:
        source, max_pixels = self.opened.source, self.opened.max_pixels
        try:
            part = Opened(source, max_pixels, byte, like=self.opened)
        except UnitError as error:
            if error.error_class not in ("unreadable", "no_video", "undecodable"):
                raise
            return None
        self._own.append(part)
        return part

    def _warn_of_rest(self) -> None:
        """Warn of bytes behind the end, in formats that are not read in parts."""
        byte = self._last_byte or 0
        found = another_file(self.opened, byte + 1)
        why = None
        if self._cut_by_stream:
            why = f"behind byte {byte:,} a stream begins that was not there at the start"
        elif found is not None:
            why = f"another file begins at byte {found:,}"
        if why is not None:
            self.warnings.append(
                f"{self.opened.source.uri}: {why}; only the first recording was read. Split the "
                "file there to have the rest"
            )

    def close(self) -> None:
        """Close the parts that were opened here."""
        while self._own:
            self._own.pop().close()
