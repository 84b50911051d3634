"""XMP: a few lines of metadata that picture and video programs show. Here they say what kind of work a file is.

IPTC's "Digital Source Type" is what search engines and social networks look at to label synthetic media.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import faceswap
from faceswap.errors import MediaError

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPE = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
"""What a swap is: a recording with parts that a trained network has made."""

_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:CreatorTool="faceswap {faceswap.__version__}" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()

_JPEG_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_NAME = b"XML:com.adobe.xmp\0\0\0\0\0"  # keyword; not compressed; no language, no translation
_PNG_HEADER = 33  # bytes: the signature and the first chunk, IHDR
_MP4_NAME = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")  # the UUID of a box that holds XMP
_MP4_SUFFIXES = (".mp4", ".m4v", ".mov")
_BEGIN, _END = b"<x:xmpmeta", b"</x:xmpmeta>"
_LONGEST = 1 << 16  # bytes of a packet
_MOST = 64  # packets that are looked at
_KIND = re.compile(re.escape(SOURCE_TYPES.encode()) + rb"(\w{1,64})")


def add_source_type(file: Path, suffix: str) -> None:
    """Write SOURCE_TYPE into a JPEG, PNG, MP4 or MOV file; one of another kind, by its suffix, is left as it is.

    The file must not have been signed yet. Raises OSError.
    """
    if suffix in _MP4_SUFFIXES:
        with file.open("ab") as video:
            video.write((24 + len(_PACKET)).to_bytes(4, "big") + b"uuid" + _MP4_NAME + _PACKET)
    elif suffix in (".jpg", ".jpeg"):
        segment = _JPEG_NAME + _PACKET
        _insert(file, _behind_jfif(file), b"\xff\xe1" + (2 + len(segment)).to_bytes(2, "big") + segment)
    elif suffix == ".png":
        chunk = b"iTXt" + _PNG_NAME + _PACKET
        check = zlib.crc32(chunk).to_bytes(4, "big")
        _insert(file, _PNG_HEADER, (len(chunk) - 4).to_bytes(4, "big") + chunk + check)


def read_source_type(file: Path) -> str:
    """The last word of the Digital Source Type that the file's XMP gives, such as "trainedAlgorithmicMedia"; "" if it
    gives none.

    Raises MediaError if the file cannot be read.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            kinds = [kind for packet in _packets(content) for kind in _KIND.findall(packet)]
        return kinds[0].decode() if kinds else ""
    except ValueError:  # an empty file cannot be mapped
        return ""
    except OSError as error:
        raise MediaError(f"{file} cannot be read ({error.strerror})", "Check its name and permissions") from error


def _packets(content: mmap.mmap) -> Iterator[bytes]:
    """The packets of XMP: they are made to be found in files of unknown kinds."""
    at = 0
    for _ in range(_MOST):
        begin = content.find(_BEGIN, at)
        if begin < 0:
            return
        end = content.find(_END, begin, begin + _LONGEST)
        at = begin + len(_BEGIN) if end < 0 else end
        if end >= 0:
            yield content[begin:end]


def _insert(file: Path, at: int, data: bytes) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:at] + data + content[at:])


def _behind_jfif(file: Path) -> int:
    """Where a JPEG's next segment may begin: that of JFIF, if there is one, has to be the first."""
    with file.open("rb") as picture:
        head = picture.read(6)
    return 4 + int.from_bytes(head[4:6], "big") if head[2:4] == b"\xff\xe0" else 2
