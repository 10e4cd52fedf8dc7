"""The claims of a token as API Gateway passes them to functions. Builds for `sam local` contain this file."""


def as_text(claim: object) -> str:
    """Return a claim as a string, in the format of Go.

    An array becomes "[a b]", an object "map[k:v l:w]" with sorted keys, null "<nil>", and true "true".
    """
    if isinstance(claim, list):
        return f"[{' '.join(map(as_text, claim))}]"
    if isinstance(claim, dict):
        return f"map[{' '.join(f'{name}:{as_text(value)}' for name, value in sorted(claim.items()))}]"
    if claim is None:
        return "<nil>"
    return str(claim).lower() if isinstance(claim, bool) else str(claim)
