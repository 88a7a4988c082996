"""Packs src/ into function.zip: the same files give the same bytes, hence the same digest and key."""

import hashlib
import pathlib
import sys
import zipfile

SOURCE = pathlib.Path("src")
PACKAGE = pathlib.Path("function.zip")


def main() -> int:
    files = sorted(path for path in SOURCE.rglob("*") if path.is_file())
    if not any(path == SOURCE / "index.js" for path in files):
        print("src/index.js is missing: the function's handler is index.handler", file=sys.stderr)
        return 1
    with zipfile.ZipFile(PACKAGE, "w") as package:
        for path in files:
            # No time, no owner, one mode: none of them is a reason for another version.
            entry = zipfile.ZipInfo(path.relative_to(SOURCE).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            package.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    digest = hashlib.sha256(PACKAGE.read_bytes()).hexdigest()
    print(f"{PACKAGE}: {len(files)} files, {PACKAGE.stat().st_size} bytes, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
