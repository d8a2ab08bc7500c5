from ipaddress import IPv4Address

import pytest

from reflexarc.control.errors import FlowError
from reflexarc.control.flow_file import FLOWS, load_flow
from reflexarc.control.training.digests import config_digest, environment_digest

TEXT = (FLOWS / "arm_catch.yaml").read_text(encoding="utf-8")

GOOD = """
deployment:
  hosts: {head: {address: 10.0.0.1}, arm: {address: 10.0.0.2}}
  processes:
    eyes: {host: head, modules: [perception]}
    brain: {host: head, modules: [estimation, policy]}
    guard: {host: arm, modules: [guard]}
"""


def load(tmp_path, deployment):
    path = tmp_path / "flow.yaml"
    path.write_text(TEXT + deployment, encoding="utf-8")
    return load_flow(str(path))


def test_modules_are_in_processes_and_processes_on_hosts(tmp_path):
    deployment = load(tmp_path, GOOD).deployment
    assert deployment.processes["brain"].modules == ("estimation", "policy")
    assert [deployment.process_of(m) for m in ("perception", "policy", "guard")] == ["eyes", "brain", "guard"]
    assert deployment.process_of("recorder") is None
    assert deployment.hosts["head"].address == IPv4Address("10.0.0.1")
    assert list(deployment.peers_of("head")) == [IPv4Address("10.0.0.2")]


def test_processes_need_no_hosts(tmp_path):
    one = "deployment: {processes: {all: {modules: [perception, estimation, policy, guard]}}}\n"
    assert load(tmp_path, one).deployment.processes["all"].host is None


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ("[perception]", "[percepton]",
            [(5, "process eyes: there is no module 'percepton'. Did you mean 'perception'?"),
            (4, "deployment: module 'perception' is in no process. Add it to one.")]),
        ("modules: [perception]", "modules: [perception, policy]",
            [(5, "process eyes: module 'policy' is placed 2 times."),
            (6, "process brain: module 'policy' is placed 2 times.")]),
        ("[perception]", "[]", [(5, "deployment: processes.eyes.modules is []: Tuple should have at least 1 item after "
            "validation, not 0.")]),
        ("eyes: {host: head", "eyes: {host: haed",
            [(5, "process eyes: there is no host 'haed'. Did you mean 'head'?")]),
        ("eyes: {host: head, ", "eyes: {", [(5, "process eyes: key 'host' is missing. Known: head, arm.")]),
        ("  hosts: {head: {address: 10.0.0.1}, arm: {address: 10.0.0.2}}\n", "\n",
            [(n, f"process {name}: there is no host '{host}'. There is none in deployment.hosts.")
            for n, name, host in ((5, "eyes", "head"), (6, "brain", "head"), (7, "guard", "arm"))]),
        ("10.0.0.1", "10.0.0.256", [(3, "deployment: hosts.head.address is '10.0.0.256': Input is not a valid IPv4 "
            "address.")]),
        ("10.0.0.1", "0.0.0.0", [(3, "host head: 0.0.0.0 is not the address of a host.")]),
        ("10.0.0.1", "239.0.0.1", [(3, "host head: 239.0.0.1 is not the address of a host.")]),
        ("10.0.0.1", "7", [(3, "host head: 0.0.0.7 is not the address of a host.")]),
        ("10.0.0.1", "127.0.0.1", [(3, "host head: 127.0.0.1 is each host's own; the others do not reach it there.")]),
        ("10.0.0.1", "10.0.0.2", [(3, f"host {name}: 10.0.0.2 is given to 2 hosts.") for name in ("head", "arm")]),
        ("    eyes:", "    policy:", [(5, "process policy: has the name of a node that it does not host.")]),
        ("    eyes:", "    twin:", [(5, "process twin: has the name of a node that it does not host.")]),
        ("    eyes:", "    Eyes:", [(5, "process Eyes: its name is lower snake case: files are named by it.")]),
        ("eyes: {host", "eyes: {core: 1, host", [(5, "deployment: unknown key 'processes.eyes.core'.")]),
        ("  processes:", "  processs:", [(2, "deployment: key 'processes' is missing."),
            (4, "deployment: unknown key 'processs'. Did you mean 'processes'?")]),
    ],
)  # fmt: skip
def test_problems_are_said_with_file_and_line(tmp_path, old, new, problems):
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(FlowError) as refused:
        load(tmp_path, text)
    before = TEXT.count("\n")
    expected = [f"{tmp_path}/flow.yaml:{before + line}: {said}" for line, said in problems]
    assert sorted(str(refused.value).splitlines()) == sorted(expected)


def test_several_problems_are_said_at_once(tmp_path):
    text = (
        GOOD.replace("host: head", "host: haed").replace("[guard]", "[gaurd]").replace("10.0.0.2", "10.0.0.1")
    )
    with pytest.raises(FlowError) as refused:
        load(tmp_path, text)
    assert len(str(refused.value).splitlines()) == 7


def test_no_training_depends_on_it(tmp_path):
    """So the artifacts that ship are those of any deployment."""
    flow, deployed = load_flow("arm_catch"), load(tmp_path, GOOD)
    assert environment_digest(deployed) == environment_digest(flow)
    for module in flow.training_order:
        assert config_digest(deployed, module, {}) == config_digest(flow, module, {})
