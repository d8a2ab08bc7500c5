"""Documents: governance and permissions of DDS-Security, as XML (OMG DDS-Security 1.1, 9.4.1.2 and 9.4.1.3).

What is not named is denied. A robot's own ROS 2 reads them from the keystore, signed.
"""

import datetime
from collections.abc import Iterable
from xml.etree import ElementTree

__all__ = ["DISCOVERY_TOPIC", "governance", "permissions"]

DISCOVERY_TOPIC = "ros_discovery_info"
"""Through this DDS topic the participants of ROS 2 tell each other their nodes; each has to write and read it."""

_SCHEMA = "http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_{}.xsd"
_SCHEMA_ATTRIBUTE = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"


def governance(domain: int) -> bytes:
    """What holds for everyone in a domain: nobody without a certificate, nothing in the clear.

    Args:
        domain: ROS domain.
    """
    root = _root("governance")
    rule = _child(_child(root, "domain_access_rules"), "domain_rule")
    _domains(rule, domain)
    for name, value in (
        ("allow_unauthenticated_participants", "false"),
        ("enable_join_access_control", "true"),
        ("discovery_protection_kind", "ENCRYPT"),
        ("liveliness_protection_kind", "ENCRYPT"),
        ("rtps_protection_kind", "SIGN"),  # what it wraps is encrypted already
    ):
        _child(rule, name, value)
    topic_rule = _child(_child(rule, "topic_access_rules"), "topic_rule")
    for name, value in (
        ("topic_expression", "*"),
        ("enable_discovery_protection", "true"),
        ("enable_liveliness_protection", "true"),
        ("enable_read_access_control", "true"),
        ("enable_write_access_control", "true"),
        ("metadata_protection_kind", "ENCRYPT"),
        ("data_protection_kind", "ENCRYPT"),
    ):
        _child(topic_rule, name, value)
    return _text(root)


def permissions(
    name: str,
    domain: int,
    writes: Iterable[str],
    reads: Iterable[str],
    not_before: datetime.datetime,
    not_after: datetime.datetime,
) -> bytes:
    """What one process may write and read, and nothing else.

    Args:
        name: Common name of its certificate.
        domain: ROS domain.
        writes: Names of DDS topics.
        reads: Names of DDS topics.
        not_before: From when it holds, UTC.
        not_after: Until when it holds, UTC.
    """
    root = _root("permissions")
    grant = _child(_child(root, "permissions"), "grant")
    grant.set("name", name)
    _child(grant, "subject_name", f"CN={name}")
    validity = _child(grant, "validity")
    _child(validity, "not_before", f"{not_before:%Y-%m-%dT%H:%M:%S}")  # without a zone it is UTC
    _child(validity, "not_after", f"{not_after:%Y-%m-%dT%H:%M:%S}")
    rule = _child(grant, "allow_rule")
    _domains(rule, domain)
    for kind, topics in (("publish", writes), ("subscribe", reads)):
        listed = _child(_child(rule, kind), "topics")
        for topic in sorted({*topics, DISCOVERY_TOPIC}):
            _child(listed, "topic", topic)
    _child(grant, "default", "DENY")
    return _text(root)


def _root(schema: str) -> ElementTree.Element:
    ElementTree.register_namespace("xsi", "http://www.w3.org/2001/XMLSchema-instance")
    return ElementTree.Element("dds", {_SCHEMA_ATTRIBUTE: _SCHEMA.format(schema)})


def _child(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = text
    return child


def _domains(parent: ElementTree.Element, domain: int) -> None:
    _child(_child(parent, "domains"), "id", str(domain))


def _text(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"
