"""`krp sign`: answer for a bundle with a key, so that services take it and nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import say
from predictor.errors import UsageError
from predictor.exit_codes import DONE
from predictor.store_address import add_store

NOTES = """\
A pair of keys is made with OpenSSL; keep the private one away from the service:
  openssl genpkey -algorithm ed25519 -out signing.pem && chmod 600 signing.pem
  openssl pkey -in signing.pem -pubout -out signing.pub.pem
A service started with KRP_BUNDLE_PUBLIC_KEY=signing.pub.pem refuses bundles that are not signed with it."""


def add_sign(subparsers: Subparsers[Any]) -> None:
    """Add `krp sign` to the command line."""
    parser = add_command(
        subparsers,
        "sign",
        help="sign a bundle, so that services that ask for it take no other",
        description=(
            "Sign the manifest of a bundle with an Ed25519 key. A folder gets the file manifest.sig; a registered "
            "version a tag. Nothing else of the bundle changes, its digest included."
        ),
        examples=(
            "krp sign bundle --key signing.pem",
            "krp sign ketamine-response/1 --key signing.pem",
        ),
        notes=NOTES,
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or MODEL/VERSION in the registry")
    parser.add_argument("--key", required=True, type=Path, metavar="PEM", help="Ed25519 private key, no passphrase")
    add_store(parser)
    parser.set_defaults(run=_sign)


def _sign(arguments: argparse.Namespace) -> int:
    from predictor.model.bundle import verify_bundle
    from predictor.model.signature import read_private_key, sign_folder

    key = read_private_key(arguments.key)
    folder = Path(arguments.bundle)
    if folder.is_dir():
        digest = verify_bundle(folder)  # nobody should answer for files that were changed
        sign_folder(folder, key)
        say(f"Signed   the bundle {digest[:19]}")
        return DONE
    if arguments.bundle.count("/") != 1:
        raise UsageError(
            "expected a bundle folder or MODEL/VERSION, found neither.",
            where="BUNDLE",
            remedy="Name a folder that exists, or a registered version such as ketamine-response/1.",
        )
    from training.log_book.tracking import open_store
    from training.shelf.signing import sign_version

    name, version = sign_version(arguments.bundle, key, store=open_store(arguments.store, must_exist=True))
    say(f"Signed   {name} {version}")
    return DONE
