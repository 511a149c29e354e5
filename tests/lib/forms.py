"""What a text looks like in a file of somebody who kept it, in whatever way."""

import base64
import hashlib


def forms_of(secret):
    """Everything by which a text could be found in a file: itself, and what is derived from it without a key."""
    raw = secret.encode()
    forms = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):  # base64 of it inside something longer: what does not depend on the neighbours
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(bytes(before) + raw)
            forms.add(text[(before * 8 + 5) // 6:(before * 8 + len(raw) * 8) // 6])
    for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
        digest = hashlib.new(name, raw).digest()
        forms |= {digest, digest.hex().encode(), digest.hex().upper().encode(), base64.b64encode(digest)[:20]}
    return forms
