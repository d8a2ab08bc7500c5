from pathlib import Path

from reflexarc.control.security.layout import AUTHORITY, authority_beside


def test_the_authority_is_found_from_a_profile():
    assert authority_beside(Path("keys/transport/guard/profile.xml")) == Path("keys") / AUTHORITY
