"""Who asks a running board: not as the board, which would push it off the broker."""

from pathlib import Path

from msgspec.structs import replace

from sensor_adapters.settings import Broker, read_broker

FILE = "operator.toml"


def toml(folder: Path, host: str, port: int, *, tls: bool, certificate: bool) -> str:
    """Return a ``[broker]`` for the operator, which commands take as ``--broker``."""
    lines = ["[broker]", f'host = "{host}"', f"port = {port}", 'username = "operator"']
    lines.append(f'password_file = "{folder}/secrets/operator"')
    if tls:
        lines += ["tls = true", f'ca_file = "{folder}/ca.crt"']
    if certificate:
        lines.append(f'cert_file = "{folder}/clients/operator.crt"')
        lines.append(f'key_file = "{folder}/clients/operator.key"')
    return "\n".join(lines) + "\n"


def as_operator(board: Broker) -> Broker:
    """Return the board's way to its broker, with the operator's name and secret.

    Where `access` made neither the board's secret nor its certificate, nobody knows of an operator:
    then it is the board's own.

    Raises:
        ConfigError: the operator's file is wrong.
    """
    for path, made_in in ((board.password_file, "secrets"), (board.cert_file, "clients")):
        folder = Path(path).parent
        file = folder.parent / FILE
        if path and folder.name == made_in and file.is_file():
            operator = read_broker(file)
            identity = ("username", "password_file", "cert_file", "key_file")
            return replace(board, **{name: getattr(operator, name) for name in identity})
    return board
