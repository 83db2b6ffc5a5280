"""Signs and verifies messages with dkimpy: the message on standard input, what to do as JSON in the first argument.

Keys are files with PEM, named by where DNS would have them: {"s1._domainkey.acme.example": "/path"}.
"""

import json
import re
import sys

import authres
import dkim
from cryptography.hazmat.primitives import serialization


def pem(path):
    with open(path, "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    return key, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def dns(keys):
    """A resolver that knows these keys and nothing else."""
    from base64 import b64encode

    def answer(name, timeout=5):
        path = keys.get((name.decode() if isinstance(name, bytes) else name).rstrip("."))
        if path is None:
            return None
        public = pem(path)[0].public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return b"v=DKIM1; k=rsa; p=" + b64encode(der)

    return answer


def fields(message, name):
    header = message.split(b"\r\n\r\n", 1)[0].decode() + "\r\n"
    return re.findall(rf"(?im)^{name}\s*:[^\n]*\n(?:[ \t][^\n]*\n)*", header)


order, message = json.loads(sys.argv[1]), sys.stdin.buffer.read()
if order["do"] == "sign":
    canonicalize = tuple(word.encode() for word in order["canonicalize"].split("/"))
    include = [name.encode() for name in order["headers"]]
    domain, selector = order["domain"].encode(), order["selector"].encode()
    signature = dkim.sign(message, selector, domain, pem(order["key"])[1], include_headers=include, canonicalize=canonicalize)
    sys.stdout.buffer.write(signature + message)
elif order["do"] == "seal":
    domain, selector = order["domain"].encode(), order["selector"].encode()
    # It says of the chain what the results say.
    chain = b"; arc=pass" if fields(message, "ARC-Seal") else b""
    results = b"Authentication-Results: " + domain + b"; spf=pass smtp.mailfrom=x.example" + chain + b"\r\n"
    made = dkim.arc_sign(results + message, selector, domain, pem(order["key"])[1], domain)
    sys.stdout.buffer.write(b"".join(made) + message)
elif order["do"] == "records":
    json.dump({name: dns(order["keys"])(name).decode() for name in order["keys"]}, sys.stdout)
elif order["do"] == "verify":
    resolver = dns(order["keys"])
    verifier = dkim.DKIM(message)
    count = len(fields(message, "DKIM-Signature"))
    signatures = []
    for index in range(count):
        try:
            signatures.append(bool(verifier.verify(idx=index, dnsfunc=resolver)))
        except dkim.DKIMException as error:
            signatures.append(str(error))
    chain, sets, reason = dkim.arc_verify(message, dnsfunc=resolver)
    results = []
    for field in fields(message, "Authentication-Results"):
        header = authres.AuthenticationResultsHeader.parse(field.strip())
        results.append({"id": header.authserv_id, "results": [[str(r.method), str(r.result)] for r in header.results]})
    json.dump(
        {
            "dkim": signatures,
            "arc": "ended" if chain is None else chain.decode(),
            "reason": str(reason),
            "instances": sorted(one["instance"] for one in sets),
            "valid": [bool(one["ams-valid"] and one["as-valid"]) for one in sorted(sets, key=lambda one: one["instance"])],
            "results": results,
        },
        sys.stdout,
    )
