"""Which files of CERT_FOLDER belong together: a private key and its certificate, in one file or in two.

In: the texts of the files, by their names relative to the folder. Out: one PEM for each certificate, and why the other
files are passed over. It understands one file with both, `x.crt` with `x.key` or `x.crt.key`, secrets of an engine, which
have names without ending, and certbot's folders (`fullchain.pem` with `privkey.pem`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from proxy.grammar.certificates import PemBlocks, belongs_to, split_pem

PEM_SUFFIXES = (".pem", ".crt", ".cer", ".key")
"""A file whose name ends so is expected to hold PEM. Of other files, only those that do hold PEM are looked at."""
FOREIGN_SUFFIXES = (".p12", ".pfx", ".der", ".jks")
BACKUP_SUFFIXES = ("~", ".bak", ".old", ".orig", ".save", ".tmp")
"""Names of files that editors and people leave behind. Their certificates are nearly always outdated ones."""


@dataclass(slots=True, kw_only=True)
class Pairs:
    """`pems` are certificates with their keys, by file name. `passed_over` says why another file is not used."""

    pems: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)


def pair_files(texts: Mapping[str, str]) -> Pairs:
    """Put the files of a folder together. A PEM that is incomplete is returned as it is, so that its fault is reported."""
    found = Pairs()
    folders: dict[str, dict[str, PemBlocks]] = {}
    for name in sorted(texts):
        path = PurePosixPath(name)
        blocks = split_pem(texts[name])
        if path.suffix.lower() in FOREIGN_SUFFIXES:
            found.passed_over[name] = "is not PEM; convert it (openssl pkcs12 -nodes, or openssl x509 -inform der)"
        elif not blocks and path.suffix.lower() not in PEM_SUFFIXES:
            continue
        elif name.endswith(BACKUP_SUFFIXES):
            found.passed_over[name] = "looks like a backup by its name; rename it if it is to be served, or remove it"
        else:
            folders.setdefault(str(path.parent), {})[name] = blocks
    for files in folders.values():
        _pair_folder(files, texts, found)
    return found


def _pair_folder(files: Mapping[str, PemBlocks], texts: Mapping[str, str], found: Pairs) -> None:
    keys = {name: blocks for name, blocks in files.items() if blocks.keys and not blocks.chain}
    used_keys: set[str] = set()
    complete = {name for name, blocks in files.items() if blocks.keys and blocks.chain}
    found.pems |= {name: texts[name] for name in complete}
    shown = {block for name in complete for block in files[name].chain}
    # The longest chain first: beside certbot's `fullchain.pem`, its `cert.pem` and `chain.pem` are not needed.
    chains = sorted((name for name in files if name not in complete | keys.keys()), key=lambda n: (-len(files[n].chain), n))
    for name in chains:
        chain = files[name].chain
        if chain and set(chain) <= shown:
            continue
        key = _key_of(name, chain, keys)
        if key:
            used_keys.add(key)
            shown |= set(chain)
            found.pems[name] = texts[key] + "\n" + texts[name]
        elif name.lower().endswith(".key") or not chain:
            found.pems[name] = texts[name]
        else:
            found.passed_over[name] = "holds a certificate, and the folder has no private key for it"
    for name in keys.keys() - used_keys:
        found.passed_over[name] = "holds a private key, and the folder has no certificate for it"


def _key_of(name: str, chain: tuple[str, ...], keys: Mapping[str, PemBlocks]) -> str | None:
    """Return the file of the key of a certificate: by its name, else the one that fits."""
    if not chain:
        return None
    named = next((key for key in _key_names(name) if key in keys), None)
    return named or next((key for key in sorted(keys) if belongs_to(keys[key].keys[0], chain[0])), None)


def _key_names(name: str) -> Iterator[str]:
    yield f"{name}.key"
    yield str(PurePosixPath(name).with_suffix(".key"))
