"""Envelopes enter and are signed; signed ones enter and are verified (XML Signature 1.1, W3C 2013).

Enveloped, RSA with SHA-256, exclusive canonical form; the signature stands in the message's header.
"""

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import InvalidInput, InvalidSignature
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from pipeline.messages import HaidangError
from sharing.cv2290.reading import Wrong, parse
from sharing.keys import Key

_DS = "http://www.w3.org/2000/09/xmldsig#"
_SIGNATURE = f"{{{_DS}}}Signature"
_C14N = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0


def sign(content: bytes, key: Key, certificate: x509.Certificate) -> bytes:
    """Return an envelope with its signature in the header."""
    root = etree.fromstring(content)
    header = next(iter(root[0]))
    etree.SubElement(header, _SIGNATURE, {"Id": "placeholder"}, nsmap={"ds": _DS})
    signer = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=_C14N,
    )
    made = signer.sign(root, key=key, key_info=_key_info(certificate))  # type: ignore[arg-type]  # signs as one does
    return bytes(etree.tostring(made, xml_declaration=True, encoding="UTF-8"))


def _key_info(certificate: x509.Certificate) -> Any:
    info = etree.Element(f"{{{_DS}}}KeyInfo", nsmap={"ds": _DS})
    data = etree.SubElement(info, f"{{{_DS}}}X509Data")
    etree.SubElement(data, f"{{{_DS}}}X509SubjectName").text = certificate.subject.rfc4514_string()
    pem = certificate.public_bytes(Encoding.PEM).decode()
    etree.SubElement(data, f"{{{_DS}}}X509Certificate").text = "".join(pem.split("\n")[1:-2])
    return info


def verify(data: bytes, trusted: Sequence[x509.Certificate]) -> Any:
    """Return the root of what was signed, by one of the certificates that are trusted.

    Nothing outside of what the signature covers is looked at, and the signature stands where it belongs, once: a second
    body beside the signed one (signature wrapping, McIntosh and Austel 2005) changes nothing.

    Raises:
        Wrong: it is no such message, or not signed so by any of them.
    """
    root = parse(data)
    if len(signatures := root.findall(f".//{_SIGNATURE}")) != 1:
        raise Wrong("sharing.signatures", count=len(signatures))
    place = "/".join(etree.QName(each).localname for each in reversed(list(signatures[0].iterancestors())))
    if place != "edXMLEnvelope/edXMLHeader/MessageHeader":
        raise Wrong("sharing.signature_place", place=place[:200])
    fault: Exception | None = None
    for certificate in trusted:
        try:
            found = XMLVerifier().verify(root, x509_cert=certificate, expect_config=_EXPECTED)
        except (InvalidInput, InvalidSignature, ValueError) as error:
            fault = error
            continue
        result = found[0] if isinstance(found, list) else found
        signed = result.signed_xml
        if signed is None or etree.QName(signed).localname != "edXMLEnvelope":
            raise Wrong("sharing.signed_part")
        return signed
    raise Wrong("sharing.not_signed", fault=str(fault)[:300]) from fault


_EXPECTED = SignatureConfiguration(
    require_x509=True,
    location="./*/*/",
    expect_references=1,
    signature_methods=frozenset({SignatureMethod.RSA_SHA256}),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
)


def certificates_of(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        HaidangError: there is none in it.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise HaidangError("sharing.bad_certificate", file="-", fault=error) from error
