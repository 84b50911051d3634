"""The key with which this user signs: made on first use, kept in the user's own folder, never sent anywhere.

    USER DATA/faceswap/credentials/SERIAL/chain.pem   the key's certificate, and that of the authority behind it
                                         /key.pem     the private key, readable by the user alone

The authority exists for one certificate: its own key is thrown away as soon as it has signed that.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import platformdirs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from faceswap.errors import OutputError

_YEARS = 20  # without a timestamp from somebody on the network, what was signed is valid as long as the certificate
_CHAIN, _KEY = "chain.pem", "key.pem"


@dataclass(frozen=True)
class SigningKey:
    """An ECDSA key on the curve P-256 (ES256) with its certificates, as PEM."""

    chain: str
    """First the key's own certificate, then the authority's."""
    key: str


def signing_key() -> SigningKey:
    """This user's key; a new one if there is none or its time is over. Raises OutputError if it cannot be kept."""
    now = datetime.now(UTC)
    known = [key for place in _places() if (key := _usable(place, now)) is not None]
    if known:
        return max(known, key=lambda key: _certificates(key.chain)[0].not_valid_after_utc)

    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: several processes may be the first at the same time, each with a key of its own.
        fresh = Path(tempfile.mkdtemp(dir=folder, prefix="."))  # readable by the user alone

        serial, made = _make(now)
        for name, text in ((_CHAIN, made.chain), (_KEY, made.key)):
            descriptor = os.open(fresh / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(folder / f"{serial:x}")
    except OSError as error:
        raise OutputError(
            f"the key that signs what is made cannot be kept in {folder} ({error.strerror})",
            "Make that folder writable; on Linux, XDG_DATA_HOME can name another place",
        ) from error

    return made


def known_authorities() -> list[str]:
    """The certificates, as PEM, of the authorities behind all keys that this user ever had; damaged ones are passed
    over."""
    found = []
    for place in _places():
        with suppress(OSError, ValueError):
            found.append(_certificates((place / _CHAIN).read_text())[-1].public_bytes(Encoding.PEM).decode())
    return found


def _usable(place: Path, now: datetime) -> SigningKey | None:
    """The key that a folder holds, if it is whole and its time is not over."""
    try:
        key = SigningKey((place / _CHAIN).read_text(), (place / _KEY).read_text())
        certificate, private = _certificates(key.chain)[0], load_pem_private_key(key.key.encode(), None)
    except (OSError, ValueError):
        return None
    whole = certificate.public_key() == private.public_key()
    return key if whole and certificate.not_valid_after_utc > now else None


def _places() -> list[Path]:
    return sorted(_folder().glob("[!.]*"))


def _folder() -> Path:
    return platformdirs.user_data_path("faceswap") / "credentials"


def _certificates(chain: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(chain.encode())


def _make(now: datetime) -> tuple[int, SigningKey]:
    """The certificate's serial number, and the key. The certificates are as C2PA asks for (C2PA 2, 14.5)."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name, name = _name("local authority of a faceswap user"), _name("a faceswap user's own key")
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    authority = (
        _builder(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign"), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )

    certificate = (
        _builder(name, authority_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )

    chain = "".join(one.public_bytes(Encoding.PEM).decode() for one in (certificate, authority))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return certificate.serial_number, SigningKey(chain, secret)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=365 * _YEARS))
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "faceswap"),
        ]
    )


def _usage(wanted: str) -> x509.KeyUsage:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{use: use == wanted for use in every})
