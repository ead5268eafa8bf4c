"""The number of an information element enters, its name and the way its bytes read leave.

Source: IANA's registry "IP Flow Information Export (IPFIX) Entities", whose numbers up to 127 are those of NetFlow v9
(RFC 3954 section 8). Names are IANA's in small letters with underscores, as other collectors write them.
"""

import re
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Convert = Callable[[bytes], Any]

#: RFC 5103: an element of the other direction has IANA's number under this enterprise.
REVERSE_ENTERPRISE = 29305

_UNSIGNED = """
1 octetDeltaCount|2 packetDeltaCount|3 deltaFlowCount|4 protocolIdentifier|5 ipClassOfService|6 tcpControlBits
7 sourceTransportPort|9 sourceIPv4PrefixLength|10 ingressInterface|11 destinationTransportPort
13 destinationIPv4PrefixLength|14 egressInterface|16 bgpSourceAsNumber|17 bgpDestinationAsNumber
19 postMCastPacketDeltaCount|20 postMCastOctetDeltaCount|21 flowEndSysUpTime|22 flowStartSysUpTime
23 postOctetDeltaCount|24 postPacketDeltaCount|25 minimumIpTotalLength|26 maximumIpTotalLength
29 sourceIPv6PrefixLength|30 destinationIPv6PrefixLength|31 flowLabelIPv6|32 icmpTypeCodeIPv4|33 igmpType
34 samplingInterval|35 samplingAlgorithm|36 flowActiveTimeout|37 flowIdleTimeout|38 engineType|39 engineId
40 exportedOctetTotalCount|41 exportedMessageTotalCount|42 exportedFlowRecordTotalCount|46 mplsTopLabelType
48 samplerId|49 samplerMode|50 samplerRandomInterval|52 minimumTTL|53 maximumTTL|54 fragmentIdentification
55 postIpClassOfService|58 vlanId|59 postVlanId|60 ipVersion|61 flowDirection|64 ipv6ExtensionHeaders
85 octetTotalCount|86 packetTotalCount|88 fragmentOffset|89 forwardingStatus|98 postIpDiffServCodePoint
99 multicastReplicationFactor|128 bgpNextAdjacentAsNumber|129 bgpPrevAdjacentAsNumber|132 droppedOctetDeltaCount
133 droppedPacketDeltaCount|134 droppedOctetTotalCount|135 droppedPacketTotalCount|136 flowEndReason
137 commonPropertiesId|138 observationPointId|139 icmpTypeCodeIPv6|141 lineCardId|142 portId|143 meteringProcessId
144 exportingProcessId|145 templateId|146 wlanChannelId|148 flowId|149 observationDomainId|150 flowStartSeconds
151 flowEndSeconds|152 flowStartMilliseconds|153 flowEndMilliseconds|154 flowStartMicroseconds
155 flowEndMicroseconds|156 flowStartNanoseconds|157 flowEndNanoseconds|158 flowStartDeltaMicroseconds
159 flowEndDeltaMicroseconds|160 systemInitTimeMilliseconds|161 flowDurationMilliseconds
162 flowDurationMicroseconds|163 observedFlowTotalCount|164 ignoredPacketTotalCount|165 ignoredOctetTotalCount
166 notSentFlowTotalCount|167 notSentPacketTotalCount|168 notSentOctetTotalCount|171 postOctetTotalCount
172 postPacketTotalCount|173 flowKeyIndicator|176 icmpTypeIPv4|177 icmpCodeIPv4|178 icmpTypeIPv6|179 icmpCodeIPv6
180 udpSourcePort|181 udpDestinationPort|182 tcpSourcePort|183 tcpDestinationPort|184 tcpSequenceNumber
185 tcpAcknowledgementNumber|186 tcpWindowSize|187 tcpUrgentPointer|188 tcpHeaderLength|189 ipHeaderLength
190 totalLengthIPv4|191 payloadLengthIPv6|192 ipTTL|193 nextHeaderIPv6|194 mplsPayloadLength|195 ipDiffServCodePoint
196 ipPrecedence|197 fragmentFlags|198 octetDeltaSumOfSquares|199 octetTotalSumOfSquares|206 isMulticast|207 ipv4IHL
218 tcpSynTotalCount|219 tcpFinTotalCount|220 tcpRstTotalCount|221 tcpPshTotalCount|222 tcpAckTotalCount
223 tcpUrgTotalCount|224 ipTotalLength|227 postNAPTSourceTransportPort|228 postNAPTDestinationTransportPort
229 natOriginatingAddressRealm|230 natEvent|231 initiatorOctets|232 responderOctets|233 firewallEvent
234 ingressVRFID|235 egressVRFID|239 biflowDirection|243 dot1qVlanId|244 dot1qPriority|245 dot1qCustomerVlanId
246 dot1qCustomerPriority|252 ingressPhysicalInterface|253 egressPhysicalInterface|254 postDot1qVlanId
256 ethernetType|258 collectionTimeMilliseconds|298 initiatorPackets|299 responderPackets|302 selectorId
304 selectorAlgorithm|305 samplingPacketInterval|306 samplingPacketSpace|307 samplingTimeInterval
308 samplingTimeSpace|309 samplingSize|310 samplingPopulation|322 observationTimeSeconds
323 observationTimeMilliseconds|324 observationTimeMicroseconds|325 observationTimeNanoseconds
346 privateEnterpriseNumber|351 layer2SegmentId|352 layer2OctetDeltaCount|353 layer2OctetTotalCount
361 portRangeStart|362 portRangeEnd|368 ingressInterfaceType|369 egressInterfaceType|457 httpStatusCode
"""
_ADDRESSES = """
8 sourceIPv4Address|12 destinationIPv4Address|15 ipNextHopIPv4Address|18 bgpNextHopIPv4Address|27 sourceIPv6Address
28 destinationIPv6Address|44 sourceIPv4Prefix|45 destinationIPv4Prefix|47 mplsTopLabelIPv4Address
62 ipNextHopIPv6Address|63 bgpNextHopIPv6Address|130 exporterIPv4Address|131 exporterIPv6Address
140 mplsTopLabelIPv6Address|169 destinationIPv6Prefix|170 sourceIPv6Prefix|211 collectorIPv4Address
212 collectorIPv6Address|225 postNATSourceIPv4Address|226 postNATDestinationIPv4Address
281 postNATSourceIPv6Address|282 postNATDestinationIPv6Address
"""
_MACS = "56 sourceMacAddress|57 postDestinationMacAddress|80 destinationMacAddress|81 postSourceMacAddress"
_TEXTS = """
82 interfaceName|83 interfaceDescription|84 samplerName|94 applicationDescription|96 applicationName|100 className
147 wlanSSID|236 VRFname|300 observationDomainName|335 selectorName|371 userName|372 applicationCategoryName
459 httpRequestMethod|460 httpRequestHost|461 httpRequestTarget|462 httpMessageVersion|468 httpUserAgent
469 httpContentType|470 httpReasonPhrase
"""
_FLOATS = "311 samplingProbability|320 absoluteError|321 relativeError"
_OTHERS = "90 mplsVpnRouteDistinguisher|95 applicationId|210 paddingOctets|313 ipHeaderPacketSection"

#: RFC 3954 section 6.1: what an options record of v9 is about.
SCOPES = {1: "scope_system", 2: "scope_interface", 3: "scope_line_card", 4: "scope_cache", 5: "scope_template"}

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _snake(name: str) -> str:
    return _WORD.sub("_", name.replace("IPv", "Ipv").replace("MCast", "Mcast")).lower()


def _table(text: str, kind: str) -> dict[int, tuple[str, str]]:
    pairs = (item.split(" ") for item in text.replace("\n", "|").strip("|").split("|"))
    return {int(number): (_snake(name), kind) for number, name in pairs}


ELEMENTS: dict[int, tuple[str, str]] = {
    **_table(_UNSIGNED, "number"), **_table(_ADDRESSES, "address"), **_table(_MACS, "mac"), **_table(_TEXTS, "text"),
    **_table(_FLOATS, "float"), **_table(_OTHERS, "bytes"),
}  # fmt: skip


def element(enterprise: int, number: int) -> tuple[str, str]:
    """Return the name of an element and how it reads; one that is not known keeps its number."""
    if enterprise == REVERSE_ENTERPRISE:
        name, kind = ELEMENTS.get(number, (f"ie_{number}", "unknown"))
        return f"reverse_{name}", kind
    if enterprise:
        return f"ie_{enterprise}_{number}", "unknown"
    return ELEMENTS.get(number, (f"ie_{number}", "unknown"))


@lru_cache(maxsize=16_384)
def as_address(raw: bytes) -> str:
    """Read an address; bytes of another length as hexadecimal digits."""
    if len(raw) == 4:
        return socket.inet_ntop(socket.AF_INET, raw)
    return socket.inet_ntop(socket.AF_INET6, raw) if len(raw) == 16 else raw.hex()


def as_mac(raw: bytes) -> str:
    """Read a hardware address."""
    return raw.hex("-").upper()


def as_text(raw: bytes) -> str:
    """Read a text, which may be filled up with zeros."""
    return raw.rstrip(b"\0 ").decode("utf-8", "replace")


def as_number(raw: bytes) -> int:
    """Read a whole number of any length."""
    return int.from_bytes(raw[-8:], "big")


CONVERTERS: dict[str, Convert] = {
    "number": as_number, "address": as_address, "mac": as_mac, "text": as_text, "bytes": bytes.hex,
    "unknown": bytes.hex, "float": bytes.hex,
}  # fmt: skip
