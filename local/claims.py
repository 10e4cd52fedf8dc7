"""The claims of a token as API Gateway passes them to functions. Builds for `sam local` contain this file."""


def as_text(claim: object) -> str:
    """Return a claim as a string: an array becomes "[a b]", true becomes "true"."""
    if isinstance(claim, list):
        return f"[{' '.join(map(as_text, claim))}]"
    return str(claim).lower() if isinstance(claim, bool) else str(claim)
