"""Transport: how Fast DDS is told to speak TLS over TCP, both ends with a certificate, and nothing else.

Processes connect one way, each to those before it in the list: with a full mesh four of eleven runs crashed.
A file that is missing or cannot be read is only logged by Fast DDS, which then opens UDP ports, or speaks TCP
without TLS; `nodes.secure_transport` looks for that in each process after its start.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["OPENSSL_CONF", "profile"]

OPENSSL_CONF = """openssl_conf = modules
[modules]
ssl_conf = contexts
[contexts]
system_default = every_context
[every_context]
VerifyMode = Peer,Request,Require
MinProtocol = TLSv1.3
"""
"""For the variable of this name. Fast DDS has those who connect check whom they reach, and forgets to have
those who listen check who comes; this asks both to. `default` would be no name for a section: OpenSSL has its own."""

_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com"><profiles>
 <transport_descriptors><transport_descriptor>
  <transport_id>tls</transport_id><type>TCPv4</type>
  <sendBufferSize>4194304</sendBufferSize><receiveBufferSize>4194304</receiveBufferSize>
  <interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>
  {listening}<enable_tcp_nodelay>true</enable_tcp_nodelay>
  <tls>
   <private_key_file>{key}</private_key_file>
   <cert_chain_file>{certificate}</cert_chain_file>
   <verify_file>{authority}</verify_file>
   <verify_mode><verify>VERIFY_PEER</verify><verify>VERIFY_FAIL_IF_NO_PEER_CERT</verify></verify_mode>
   <options>
    <option>NO_SSLV2</option><option>NO_SSLV3</option>
    <option>NO_TLSV1</option><option>NO_TLSV1_1</option><option>NO_TLSV1_2</option>
   </options>
  </tls>
 </transport_descriptor></transport_descriptors>
 <participant profile_name="reflexarc" is_default_profile="true"><rtps>
  {default}<userTransports><transport_id>tls</transport_id></userTransports>
  <useBuiltinTransports>false</useBuiltinTransports>
  <builtin>
   <discovery_config>
    <initialAnnouncements><count>20</count><period><sec>0</sec><nanosec>50000000</nanosec></period></initialAnnouncements>
    <leaseAnnouncement><sec>1</sec><nanosec>0</nanosec></leaseAnnouncement>
   </discovery_config>
   {metatraffic}<initialPeersList>{peers}</initialPeersList>
  </builtin>
 </rtps></participant>
</profiles></dds>
"""
"""TLS 1.3 agrees on its keys over X25519, so no Diffie-Hellman parameters are needed."""


def profile(
    key: Path, certificate: Path, authority: Path, port: int | None, peer_ports: Sequence[int]
) -> str:
    """The XML profile of one process.

    Args:
        key: Its private key.
        certificate: Its certificate.
        authority: Certificate of the authority that it trusts.
        port: Where it listens; None for one that only connects to others.
        peer_ports: Where those listen that it connects to. For the first there is none: it then has itself, since
            Fast DDS takes an empty list for 'multicast'.
    """
    own = "" if port is None else _locator(port)
    return _PROFILE.format(
        key=escape(str(key)),
        certificate=escape(str(certificate)),
        authority=escape(str(authority)),
        listening="" if port is None else f"<listening_ports><port>{port}</port></listening_ports>\n  ",
        default=f"<defaultUnicastLocatorList>{own}</defaultUnicastLocatorList>\n  " if own else "",
        metatraffic=f"<metatrafficUnicastLocatorList>{own}</metatrafficUnicastLocatorList>\n   "
        if own
        else "",
        peers="".join(map(_locator, peer_ports)) or own,
    )


def _locator(port: int) -> str:
    return (
        "<locator><tcpv4><address>127.0.0.1</address>"
        f"<physical_port>{port}</physical_port><port>{port}</port></tcpv4></locator>"
    )
