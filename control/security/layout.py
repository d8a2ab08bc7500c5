"""Layout: where the files of a keystore lie, for those who only read one."""

from pathlib import Path

__all__ = ["AUTHORITY", "authority_beside"]

AUTHORITY = "public/ca.cert.pem"
"""Certificate of the authority."""


def authority_beside(profile: Path) -> Path:
    """That certificate in the keystore of a process's transport profile, `transport/PROCESS/profile.xml`."""
    return profile.parents[2] / AUTHORITY
