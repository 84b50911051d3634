"""Trying out whether a container can hold a copy of a track."""

from __future__ import annotations

import io
from typing import Any

import av
from av.packet import Packet
from av.stream import Stream


def accepts(muxer: str, track: Stream, packet: Packet[Any] | None = None) -> bool:
    """Whether a file of this kind can hold a copy of the track: only writing a header, and best a packet, tells."""
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            copy = trial.add_stream_from_template(track, opaque=True)
            trial.start_encoding()
            if packet is not None and packet.size:
                packet.stream = copy
                trial.mux(packet)
    except (ValueError, av.FFmpegError):
        return False
    return True
