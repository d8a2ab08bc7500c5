from pathlib import Path

from lxml import etree

from reflexarc.control.security.transport import OPENSSL_CONF, profile

NAMESPACE = {"f": "http://www.eprosima.com"}


def found(text: str, path: str) -> list[str]:
    return [element.text for element in etree.fromstring(text.encode()).iterfind(path, NAMESPACE)]


def made(port: int | None, *peers: int) -> str:
    return profile(Path("/k & y/key.pem"), Path("/c"), Path("/ca"), port, peers)


def test_there_is_one_transport_with_tls_on_loopback() -> None:
    text = made(20002, 20001)
    assert found(text, ".//f:useBuiltinTransports") == ["false"]
    assert found(text, ".//f:transport_descriptor/f:type") == ["TCPv4"]
    assert found(text, ".//f:interfaceWhiteList/f:address") == ["127.0.0.1"]
    assert found(text, ".//f:tls/f:private_key_file") == ["/k & y/key.pem"]
    assert found(text, ".//f:verify") == ["VERIFY_PEER", "VERIFY_FAIL_IF_NO_PEER_CERT"]


def test_who_listens_says_where_and_connects_to_those_before() -> None:
    text = made(20002, 20000, 20001)
    assert found(text, ".//f:listening_ports/f:port") == ["20002"]
    assert found(text, ".//f:metatrafficUnicastLocatorList//f:physical_port") == ["20002"]
    assert found(text, ".//f:defaultUnicastLocatorList//f:physical_port") == ["20002"]
    assert found(text, ".//f:initialPeersList//f:physical_port") == ["20000", "20001"]


def test_the_first_has_itself_for_a_peer_since_an_empty_list_means_everybody() -> None:
    assert found(made(20000), ".//f:initialPeersList//f:physical_port") == ["20000"]


def test_who_only_connects_opens_no_port() -> None:
    text = made(None, 20000, 20001)
    assert found(text, ".//f:listening_ports/f:port") == []
    assert found(text, ".//f:metatrafficUnicastLocatorList//f:physical_port") == []
    assert found(text, ".//f:initialPeersList//f:physical_port") == ["20000", "20001"]


def test_openssl_asks_both_ends_for_a_certificate() -> None:
    sections = OPENSSL_CONF.splitlines()
    assert "VerifyMode = Peer,Request,Require" in sections
    assert "[default]" not in sections  # OpenSSL's own section, whose entries count for nothing here
