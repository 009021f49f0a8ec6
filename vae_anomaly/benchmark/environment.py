"""What every table carries besides its figures: versions, processors, and how busy the machine was."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from vae_anomaly._version import __version__

_PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "scikit-learn", "pyod")
_BUSY = 0.5


@dataclass(frozen=True)
class Environment:
    """Where figures were measured.

    Parameters
    ----------
    versions : str
        Python, this package, and what it was measured with and against.
    system : str
        Operating system and architecture.
    cpus : int
        Processors that this process may use.
    load : float
        Processes that wanted one during the minute before the first measurement; NaN where the system does not say.
    """

    versions: str
    system: str
    cpus: int
    load: float

    @property
    def busy(self) -> bool:
        """Whether something else was running, so that seconds are not to be quoted."""
        return self.load > _BUSY * self.cpus


def environment() -> Environment:
    """The environment of this run, without importing any of its packages.

    Examples
    --------
    >>> here = environment()
    >>> here.versions.startswith("python 3"), here.cpus > 0
    (True, True)
    """
    found = [("python", platform.python_version()), ("vae-anomaly", __version__)]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "absent"))
    return Environment(
        versions=", ".join(f"{name} {number}" for name, number in found),
        system=f"{platform.system()} {platform.machine()}",
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan"),
    )


def show_environment(where: Environment) -> None:
    """Print it, and say so if the machine was busy."""
    print(f"versions  {where.versions}")
    print(f"machine   {where.system}, {where.cpus} CPUs, load {where.load:.2f} before the first measurement")
    if where.busy:
        print("          The machine was busy: do not quote these seconds, and ratios only with this line.")
