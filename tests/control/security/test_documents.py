import datetime
from pathlib import Path

import pytest
from lxml import etree

from reflexarc.control.security.documents import DISCOVERY_TOPIC, governance, permissions

HERE = Path(__file__).parent
SINCE = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)
UNTIL = datetime.datetime(2027, 11, 24, tzinfo=datetime.timezone.utc)


def checked(kind: str, text: bytes) -> etree._Element:
    root = etree.fromstring(text)
    etree.XMLSchema(etree.parse(HERE / f"{kind}.xsd")).assertValid(root)
    return root


def test_permissions_name_what_is_allowed_and_deny_the_rest() -> None:
    text = permissions("/guard", 7, ["rt/b", "rt/a"], ["rt/c"], SINCE, UNTIL)
    grant = checked("permissions", text).find("permissions/grant")
    assert grant.findtext("subject_name") == "CN=/guard"
    assert grant.findtext("default") == "DENY"
    assert grant.findtext("validity/not_after") == "2027-11-24T00:00:00"
    (rule,) = grant.findall("allow_rule")
    assert [e.text for e in rule.iterfind("domains/id")] == ["7"]
    assert [e.text for e in rule.iterfind("publish/topics/topic")] == [DISCOVERY_TOPIC, "rt/a", "rt/b"]
    assert [e.text for e in rule.iterfind("subscribe/topics/topic")] == [DISCOVERY_TOPIC, "rt/c"]


def test_governance_lets_in_nobody_unknown_and_nothing_in_the_clear() -> None:
    rule = checked("governance", governance(7)).find("domain_access_rules/domain_rule")
    assert rule.findtext("domains/id") == "7"
    assert rule.findtext("allow_unauthenticated_participants") == "false"
    assert rule.findtext("enable_join_access_control") == "true"
    assert rule.findtext("discovery_protection_kind") == "ENCRYPT"
    assert rule.findtext("liveliness_protection_kind") == "ENCRYPT"
    (topic,) = rule.findall("topic_access_rules/topic_rule")
    assert topic.findtext("topic_expression") == "*"
    assert {e.text for e in topic if e.tag.startswith("enable_")} == {"true"}
    assert {e.text for e in topic if e.tag.endswith("_kind")} == {"ENCRYPT"}


def test_the_schemas_refuse_what_is_not_such_a_document() -> None:
    right = permissions("/guard", 7, [], [], SINCE, UNTIL)
    for old, new in ((b"DENY", b"MAYBE"), (b"<id>7<", b"<id>233<"), (b"allow_rule", b"rule")):
        with pytest.raises(etree.DocumentInvalid):
            checked("permissions", right.replace(old, new))
    with pytest.raises(etree.DocumentInvalid):
        checked("governance", governance(7).replace(b">ENCRYPT<", b">LATER<"))
