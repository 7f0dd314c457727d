"""Create .venv and install the platform into it, saying what was downloaded and how long it took.

    python3 scripts/install.py demo|dev

Standard library only, and no syntax newer than Python 3.6, so that an older Python gets the message below.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# What each choice installs, and which stamps say so: the tools of development include the demo.
STAMPS = {"demo": [".demo"], "dev": [".demo", ".dev"]}
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
FETCHED = re.compile(r"(Downloading|Using cached) (\S+?)-(\d\S*?)-\S+\.whl \(([\d.]+) (kB|MB|GB)\)")
WORTH_A_LINE = 20e6  # bytes


def main(extra):
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit(
            "Python >= 3.11 is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11 ..."
        )
    started = time.monotonic()
    make_environment()
    print("Installing into .venv; on Linux torch makes this several GB and minutes ...", flush=True)
    downloaded, cached = install(extra)
    seconds, disk = time.monotonic() - started, size_of(VENV)
    for stamp in STAMPS[extra]:
        (VENV / stamp).touch()
    print(
        f"Installed in {seconds:.0f} s: {megabytes(downloaded)} downloaded, {megabytes(cached)} from pip's cache, "
        f"{megabytes(disk)} on disk"
    )


def make_environment():
    """A working .venv: kept if its Python runs, made again if it does not."""
    python = VENV / "bin" / "python"
    if (
        python.exists()
        and subprocess.run([python, "-m", "pip", "--version"], check=False, capture_output=True).returncode
        == 0
    ):
        return
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=False)
    if made.returncode:
        sys.exit("The venv module does not work here (on Debian: apt-get install python3-venv).")


def install(extra):
    """Run pip; return the bytes downloaded and those taken from its cache."""
    log = VENV / "install.log"
    command = [VENV / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "-c", "constraints.txt", "-e", f".[{extra}]"]
    totals = {"Downloading": 0.0, "Using cached": 0.0}
    with log.open("w") as out:
        pip = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        )
        for line in pip.stdout:
            out.write(line)
            count(line, totals)
    if pip.wait():
        sys.exit(
            "".join(log.read_text().splitlines(keepends=True)[-20:]) + f"pip failed; all of it is in {log}"
        )
    return totals["Downloading"], totals["Using cached"]


def count(line, totals):
    """Add a wheel's size to the total of its kind; a large one gets a line, since it takes a while."""
    found = FETCHED.search(line)
    if found:
        how, name, version, number, unit = found.groups()
        size = float(number) * UNITS[unit]
        totals[how] += size
        if size >= WORTH_A_LINE:
            print(f"  {name} {version}, {megabytes(size)}", flush=True)


def size_of(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def megabytes(size):
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in STAMPS:
        sys.exit(__doc__)
    main(sys.argv[1])
