"""XMP: a few lines of metadata that picture and video programs show. Here they say what kind of work a file is.

IPTC's "Digital Source Type" is what search engines and social networks look at to label synthetic media.
"""

from __future__ import annotations

import mmap
import re
import zlib
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
_XMP = re.compile(rb"<x:xmpmeta.{0,65536}?</x:xmpmeta>", re.DOTALL)
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
        _insert(file, 2, b"\xff\xe1" + (2 + len(segment)).to_bytes(2, "big") + segment)
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
            packets = _XMP.findall(content)  # XMP is made to be found in files of unknown kinds
        kinds = (kind for packet in packets for kind in _KIND.findall(packet))
        return next(kinds, b"").decode()
    except ValueError:  # an empty file cannot be mapped
        return ""
    except OSError as error:
        raise MediaError(f"{file} cannot be read ({error.strerror})", "Check its name and permissions") from error


def _insert(file: Path, at: int, data: bytes) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:at] + data + content[at:])
