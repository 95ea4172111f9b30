"""Scans and tables with something wrong in them: as many as wanted, the same ones for the same seed."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np

GRID = (21, 27, 23)
AFFINE = np.array([[8.0, 0, 0, -84], [0, 8.0, 0, -120], [0, 0, 8.0, -74], [0, 0, 0, 1]])
N_VOLUMES, REPETITION_TIME_S = 6, 2.0
TYPES = ("u1", "i2", "u2", "i4", "f4", "f8", "i8")
# What the reader acts on; other fields are overwritten less often.
FIELDS = (
    *("dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter", "xyzt_units", "magic"),
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "qoffset_x", "srow_x", "srow_y", "srow_z", "intent_code"),
)
# Behind the header, where nothing counts the bytes of a bomb but the reader.
BOMB_BYTES = 96 * 2**20
INTEGERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 127, 255, 352, 540, 32_767, -32_768, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
NUMBERS = (0.0, -0.0, 1e-45, 1e-7, 0.5, 352.5, 1e9, 3e38, 1e300, -1.0, float("nan"), float("inf"), float("-inf"))
CELLS = (
    *("", "n/a", "nan", "inf", "-inf", "1e999", "-1e308", "1_000", "0x10", "١٢", "-0", "1e-320", "1,5", "true", "None"),
    *("\x00", '"', "'", "=1+1", "sub-01", "\u202e1", "9" * 400, "x" * 5_000, "faces", "shapes", " 1 ", "1\u00a0", "½"),
)
FILLINGS = ("0", "1", "n/a", "1e29", "-1e29", "1e-300", "1e15", "nan", "0.30000000000000004", "1e200", "-1")
VALUES = (None, True, 0, -1, 1e-9, 0.04, 99.9, 2_000, 1e300, 10**400, "", "2", "n/a", [], [1, 2], {}, float("nan"))
JSONS = (b"{", b"[]", b"null", b"NaN", b'{"RepetitionTime": "2"}', b'{"RepetitionTime": 1e400}', b"[" * 100_000)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One input and what was done to it."""

    what: str
    content: bytes


def sound_scan(
    dtype: str = "i2", *, order: str = "<", version: int = 1, n_volumes: int = N_VOLUMES, seed: int = 0
) -> bytes:
    """Return a small series in MNI space, not compressed, every voxel with its own noise."""
    kind = np.dtype(dtype).newbyteorder(order)
    rng = np.random.default_rng(seed)
    voxels = (100 + 12 * rng.standard_normal((*GRID, n_volumes))).astype(kind)
    header = (nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header)(endianness=order)
    header.set_data_dtype(kind)
    image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(voxels, AFFINE, header, dtype=kind)
    image.set_sform(AFFINE, code=4)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = REPETITION_TIME_S
    return bytes(image.to_bytes())


def mutated_scans(n: int, *, seed: int) -> Iterator[Mutant]:
    """Yield `n` scans: header fields, cuts, damaged gzip, bombs; some are sound after all."""
    draw = random.Random(seed)
    sound = [
        (sound_scan(dtype, order=order, version=version), order, version)
        for dtype in TYPES
        for order in "<>"
        for version in (1, 2)
    ]
    packed = [gzip.compress(block, 1) for block, _, _ in sound]
    ways: tuple[Callable[[random.Random, bytes], Mutant], ...] = (_cut, _flipped, _spliced, _repeated)
    for _ in range(n):
        number = draw.randrange(len(sound))
        block, order, version = sound[number]
        match draw.randrange(10):
            case 0 | 1 | 2 | 3:
                mutant = _with_fields(draw, block, order, version)
                content = mutant.content if draw.random() < 0.7 else gzip.compress(mutant.content, 1)
                yield Mutant(mutant.what, content)
            case 4:
                yield _with_random_header(draw, block)
            case 5:
                yield _with_voxels(draw, block, version)
            case 6 | 7:
                yield draw.choice(ways)(draw, packed[number])
            case 8:
                yield _rewrapped(draw, block)
            case _:
                yield draw.choice(ways)(draw, block) if draw.random() < 0.95 else _bomb(draw, block)


def mutated_tables(n: int, *, sound: bytes, seed: int) -> Iterator[Mutant]:
    """Yield `n` tables made from a sound one: cells, rows, columns, bytes, line ends, character sets."""
    draw = random.Random(seed)
    ways = (
        *(_cell, _cell, _header_cell, _row_lost, _row_doubled, _ragged, _column_lost, _column_doubled, _recoded),
        *(_column_refilled, _column_refilled, _columns_alike),
    )
    bytewise: tuple[Callable[[random.Random, bytes], Mutant], ...] = (_cut, _flipped, _spliced, _repeated)
    for _ in range(n):
        if draw.random() < 0.25:
            yield draw.choice(bytewise)(draw, sound)
            continue
        mutant = Mutant("", sound)
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            changed = draw.choice(ways)(draw, mutant.content)
            mutant = Mutant(f"{mutant.what} {changed.what}", changed.content)
        yield mutant


def mutated_documents(n: int, *, sound: bytes, seed: int) -> Iterator[Mutant]:
    """Yield `n` JSON documents: mostly members that are lost, renamed or of another kind, else damaged bytes."""
    draw = random.Random(seed)
    bytewise: tuple[Callable[[random.Random, bytes], Mutant], ...] = (_cut, _flipped, _spliced, _repeated, _recoded)
    for _ in range(n):
        if draw.random() < 0.25:
            yield draw.choice(bytewise)(draw, sound)
            continue
        document = json.loads(sound)
        place, name = document, draw.choice(sorted(document))
        if isinstance(document[name], dict) and document[name] and draw.random() < 0.7:
            place = document[name]
            name = draw.choice(sorted(place))
        value = place.pop(name)
        kept_name = name if draw.random() < 0.8 else draw.choice(CELLS)
        place[kept_name] = draw.choice((*VALUES, [value], {name: value}, str(value)))
        yield Mutant(f"member {kept_name[:20]!r}", json.dumps(document).encode("utf-8", "replace"))


def _with_fields(draw: random.Random, block: bytes, order: str, version: int) -> Mutant:
    """Overwrite one to three header fields, without nibabel's checks."""
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    header: Any = kind.from_fileobj(_file_of(block), endianness=order, check=False)
    length = len(header.binaryblock)
    fields = np.frombuffer(header.binaryblock, dtype=kind.template_dtype.newbyteorder(order)).copy()[0]
    names = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        name = draw.choice(FIELDS if draw.random() < 0.8 else fields.dtype.names)
        names.append(name)
        start, kept = fields.dtype.fields[name][1], bytearray(fields.tobytes())
        raw = kept[start : start + fields.dtype[name].itemsize]
        kept[start : start + len(raw)] = _raw_value(draw, fields.dtype[name], raw)
        fields = np.frombuffer(bytes(kept), dtype=fields.dtype)[0]
    return Mutant(f"fields {names}", fields.tobytes() + block[length:])


def _raw_value(draw: random.Random, dtype: np.dtype[Any], raw: bytearray) -> bytes:
    """Return a field's bytes with one of its numbers replaced by a nasty one, or by a neighbour of what it was."""
    base = dtype.base
    if base.kind not in "if" or draw.random() < 0.1:
        return draw.randbytes(len(raw))
    at = draw.randrange(len(raw) // base.itemsize) * base.itemsize
    old = np.frombuffer(bytes(raw[at : at + base.itemsize]), dtype=base)[0]
    if base.kind == "i":
        limits = np.iinfo(base)
        wanted = draw.choice((*INTEGERS, int(old) + 1, int(old) - 1, draw.randrange(3_000)))
        value = np.array(min(max(wanted, limits.min), limits.max), dtype=base)
    else:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            factors = (float(old) * 1.001, -float(old), float(old) * 2, draw.gauss(0, 100))
            value = np.array(draw.choice((*NUMBERS, *factors))).astype(base)
    raw[at : at + base.itemsize] = value.tobytes()
    return bytes(raw)


def _file_of(block: bytes) -> Any:
    return io.BytesIO(block)


def _with_random_header(draw: random.Random, block: bytes) -> Mutant:
    changed = bytearray(block)
    for _ in range(draw.choice((1, 2, 5, 30))):
        changed[draw.randrange(4, 352)] = draw.randrange(256)
    return Mutant("header bytes", bytes(changed))


def _with_voxels(draw: random.Random, block: bytes, version: int) -> Mutant:
    """Overwrite all voxels by one byte, random bytes, or not-a-numbers."""
    start = 352 if version == 1 else 544
    n_bytes = len(block) - start
    fill = draw.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"\x7f\xf0\0\0\0\0\0\0", b"\0\0\xc0\x7f", b""))
    voxels = (fill * (n_bytes // len(fill) + 1))[:n_bytes] if fill else draw.randbytes(n_bytes)
    return Mutant(f"voxels {fill.hex() or 'random'}", gzip.compress(block[:start] + voxels, 1))


def _rewrapped(draw: random.Random, block: bytes) -> Mutant:
    """Write gzip members with a false trailer, odd flags, or cut at odd places."""
    cuts = sorted(draw.randrange(len(block)) for _ in range(draw.choice((0, 1, 5, 200))))
    pieces = [block[start:end] for start, end in zip([0, *cuts], [*cuts, len(block)], strict=True)]
    flags = draw.choice((0, 0, 0x02, 0x04, 0x08, 0x10, 0x1E, 0x20, 0xFF))
    extra = draw.choice((b"", b"name\0", b"\xff\xff", draw.randbytes(40), b"n" * 200_000))
    wrong = draw.choice((0, 0, 1))
    content = b"".join(
        b"\x1f\x8b\x08"
        + bytes([flags])
        + bytes(4)
        + b"\0\xff"
        + extra
        + zlib.compress(piece, 1)[2:-4]
        + struct.pack("<II", zlib.crc32(piece) ^ wrong, len(piece))
        for piece in pieces
    )
    return Mutant(f"{len(pieces)} members, flags {flags:#x}", content)


def _bomb(draw: random.Random, block: bytes) -> Mutant:
    """Put zeros behind the image, or promise that they belong to it."""
    content = bytearray(block)
    promised = draw.random() < 0.5
    if promised and content[:4] == b"\x5c\x01\0\0":
        content[40:50] = struct.pack("<5h", 4, *GRID, 5_000)
    return Mutant(f"bomb, promised {promised}", gzip.compress(bytes(content) + bytes(BOMB_BYTES), 1))


def _cut(draw: random.Random, content: bytes) -> Mutant:
    at = draw.choice((draw.randrange(len(content)), draw.randrange(min(600, len(content)))))
    return Mutant(f"cut at {at}", content[:at])


def _flipped(draw: random.Random, content: bytes) -> Mutant:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 4, 64))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return Mutant("bits", bytes(changed))


def _spliced(draw: random.Random, content: bytes) -> Mutant:
    at = draw.randrange(len(content))
    new = draw.randbytes(draw.choice((1, 7, 500)))
    return Mutant(f"bytes put in at {at}", content[:at] + new + content[at + draw.choice((0, len(new))) :])


def _repeated(draw: random.Random, content: bytes) -> Mutant:
    start, end = sorted((draw.randrange(len(content)), draw.randrange(len(content))))
    return Mutant(f"bytes {start} to {end} twice", content[:end] + content[start:])


def _rows_of(content: bytes) -> list[list[str]]:
    return [line.split("\t") for line in content.decode("utf-8", "replace").rstrip("\n").split("\n")]


def _table_of(rows: list[list[str]]) -> bytes:
    return ("\n".join("\t".join(row) for row in rows) + "\n").encode("utf-8", "replace")


def _cell(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    row = draw.choice(rows[1:] or rows)
    cell = draw.choice(CELLS)
    row[draw.randrange(len(row))] = cell
    return Mutant(f"cell {cell[:20]!r}", _table_of(rows))


def _header_cell(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    rows[0][draw.randrange(len(rows[0]))] = draw.choice((*CELLS, *rows[0]))
    return Mutant("header cell", _table_of(rows))


def _row_lost(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    del rows[draw.randrange(len(rows))]
    return Mutant("row lost", _table_of(rows))


def _row_doubled(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    rows.insert(draw.randrange(len(rows)), list(draw.choice(rows)))
    return Mutant("row twice", _table_of(rows))


def _ragged(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    row = draw.choice(rows)
    row.insert(draw.randrange(len(row) + 1), "1") if draw.random() < 0.5 else row.pop()
    return Mutant("ragged", _table_of(rows))


def _column_lost(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    column = draw.randrange(max(1, len(rows[0])))
    return Mutant("column lost", _table_of([row[:column] + row[column + 1 :] for row in rows]))


def _column_doubled(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    column = draw.randrange(max(1, len(rows[0])))
    return Mutant("column twice", _table_of([[*row, *row[column : column + 1]] for row in rows]))


def _column_refilled(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    filling, column = draw.choice(FILLINGS), draw.randrange(max(1, len(rows[0])))
    with_noise = draw.random() < 0.3
    for row in rows[1:]:
        if column < len(row):
            row[column] = repr(draw.gauss(0, 1) * float(filling)) if with_noise and filling != "n/a" else filling
    return Mutant(f"column of {filling}", _table_of(rows))


def _columns_alike(draw: random.Random, content: bytes) -> Mutant:
    rows = _rows_of(content)
    first, second = (draw.randrange(max(1, len(rows[0]))) for _ in range(2))
    for row in rows[1:]:
        if max(first, second) < len(row):
            row[first] = row[second]
    return Mutant("columns alike", _table_of(rows))


def _recoded(draw: random.Random, content: bytes) -> Mutant:
    text = content.decode("utf-8", "replace")
    ways: dict[str, Callable[[], bytes]] = {
        "utf-16": lambda: text.encode("utf-16"),
        "latin-1": lambda: b"\xe9" + text.encode("latin-1", "replace"),
        "byte-order mark": lambda: b"\xef\xbb\xbf" + content,
        "commas": lambda: content.replace(b"\t", b","),
        "semicolons": lambda: content.replace(b"\t", b";"),
        "old line ends": lambda: content.replace(b"\n", b"\r"),
        "Windows line ends": lambda: content.replace(b"\n", b"\r\n"),
        "compressed": lambda: gzip.compress(content),
        "blank lines": lambda: content.replace(b"\n", b"\n\n"),
        "quoted": lambda: b'"' + content.replace(b"\t", b'"\t"').replace(b"\n", b'"\n"') + b'"',
        "nothing": lambda: b"",
        "many columns": lambda: b"\t".join(b"c%d" % number for number in range(6_000)) + b"\n",
        "many rows": lambda: b"a\n" + b"1\n" * 60_000,
        "many tabs": lambda: b"a\n" + b"\t" * 3_000_000,
        "JSON": lambda: draw.choice(JSONS),
    }
    name = draw.choice(sorted(ways))
    return Mutant(name, ways[name]())
